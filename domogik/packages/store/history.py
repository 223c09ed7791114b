"""The history of a package: its former releases, and whether it is held."""

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
    """The releases before the present one, oldest first, and whether updates are held.

    The present release is always read from the descriptor link: the history is written before the
    link is switched, and stays valid if it never is.
    """

    way: tuple[str, ...] = ()
    held: bool = False
    #: releases that failed here as an update, and are not tried again by themselves
    given_up: tuple[str, ...] = ()

    def previous(self, present: str, stored: Collection[str]) -> str | None:
        """Return the release to roll back to: the last stored one before the present.

        After a rollback the present release is in the history, so the next one leads further back.
        """
        return next((one for one in reversed(self._before(present)) if one in stored), None)

    def leaving(self, present: str, following: str) -> History:
        """Return the history for the replacement of the present release by another one."""
        way = [one for one in self._before(present) if one != following]
        return attrs.evolve(self, way=(*way, present)[-_ENTRIES:])

    def at(self, present: str) -> History:
        """Return the history that ends before the present release."""
        return attrs.evolve(self, way=self._before(present))

    def _before(self, present: str) -> tuple[str, ...]:
        return self.way[: self.way.index(present)] if present in self.way else self.way


def read_history(path: Path) -> History:
    """Return the history in the file; empty if it is missing or invalid."""
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
    """Write it durably; an empty one removes the file. Raises `OSError`."""
    if history == History():
        path.unlink(missing_ok=True)
    else:
        content = json.dumps(attrs.asdict(history))
        write_atomically(path, content.encode())
