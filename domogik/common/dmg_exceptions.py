"""Errors that plugins of Domogik 0.2 and 0.3 catch."""


class XplMessageError(Exception):
    """A message, or a part of one, that xPL does not allow."""
