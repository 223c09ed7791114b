"""What is remembered of a package: the releases it came from, and whether it is held."""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

import attrs

from domogik.config.files import read_bounded, write_atomically

_LIMIT = 64 * 1024
_ENTRIES = 50


@attrs.frozen
class History:
    """The way to the present release, oldest first, and whether updates leave the package alone.

    The present release itself is known from where the descriptor link points, and never from here:
    the way is written before the link is switched, and says the same when it never is.
    """

    way: tuple[str, ...] = ()
    held: bool = False
    #: releases that failed here as an update, and are not tried again by themselves
    given_up: tuple[str, ...] = ()

    def previous(self, present: str, stored: Collection[str]) -> str | None:
        """The release to go back to: the last one before the present that is still stored.

        After going back the present stands on the way, so going back again leads further back.
        """
        return next((one for one in reversed(self._before(present)) if one in stored), None)

    def leaving(self, present: str, following: str) -> History:
        """What to remember before the present release is replaced by another one."""
        way = [one for one in self._before(present) if one != following]
        return attrs.evolve(self, way=(*way, present)[-_ENTRIES:])

    def at(self, present: str) -> History:
        """The same, ending before the present release."""
        return attrs.evolve(self, way=self._before(present))

    def _before(self, present: str) -> tuple[str, ...]:
        return self.way[: self.way.index(present)] if present in self.way else self.way


def read_history(path: Path) -> History:
    """What was written there; nothing to remember where nothing is or nobody can read it."""
    try:
        found = json.loads(read_bounded(path, _LIMIT))
        way, given_up = (
            tuple(one for one in found.get(key, ()) if isinstance(one, str))
            for key in ("way", "given_up")
        )
        return History(way, found["held"] is True, given_up)
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return History()


def write_history(path: Path, history: History) -> None:
    """Remember it, over a power cut too; nothing to remember needs no file. Raises `OSError`."""
    if history == History():
        path.unlink(missing_ok=True)
    else:
        content = json.dumps(attrs.asdict(history))
        write_atomically(path, content.encode())
