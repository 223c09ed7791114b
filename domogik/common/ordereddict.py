"""The mapping in which plugins of Domogik 0.2 and 0.3 find the values of a message."""

import collections


class OrderedDict(collections.OrderedDict):  # type: ignore[type-arg]
    """An ordered dict that still has the `has_key` of Python 2."""

    def has_key(self, key: object) -> bool:
        """Return whether there is such a key."""
        return key in self
