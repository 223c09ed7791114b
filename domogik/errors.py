"""What went wrong, where several rooms have to agree on the name for it."""

from __future__ import annotations


class DomogikError(Exception):
    """The ancestor of every error of ours; `str()` is a sentence for a person."""


class UnknownComponent(DomogikError):
    """Nothing of that name is here."""


class AmbiguousComponent(DomogikError):
    """A bare name that several kinds of component have.

    `candidates` are the full ids, to choose from.
    """

    def __init__(self, name: str, candidates: tuple[str, ...]) -> None:
        super().__init__(f"'{name}' may be any of {', '.join(candidates)}: name one of them")
        self.candidates = candidates


class OperationFailed(DomogikError):
    """What was asked was tried and did not succeed.

    The text is the one that Domogik's clients know; `reason` says more, where there is more.
    """

    def __init__(self, text: str, reason: str = "") -> None:
        super().__init__(text)
        self.reason = reason


class NotPossible(DomogikError):
    """What was asked makes no sense for this component, in this state or on this host."""


class InvalidFileName(DomogikError):
    """Not the name of a file in the directory that is meant; a path is none."""


class NotAllowed(DomogikError):
    """Who asks may not have this."""


class NoAnswer(DomogikError):
    """The other host, or the program asked, kept silent until the time was out."""
