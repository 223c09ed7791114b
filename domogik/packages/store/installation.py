"""What one installation is about: it is handed down from the order to the store."""

from __future__ import annotations

from typing import Protocol

import attrs

from domogik.packages.descriptor.reference import PackageRef


@attrs.frozen
class Place:
    """Where an archive is; `sha256` (hex) and `size` (bytes) are None where nobody says."""

    url: str
    sha256: str | None = None
    size: int | None = None


class Tell(Protocol):
    """Is told what an installation does; `percent` of it is done, where that is known."""

    def __call__(self, text: str, percent: float | None = None) -> None: ...


def _untold(text: str, percent: float | None = None) -> None:
    pass


@attrs.frozen
class Installation:
    """One release that is being installed.

    `tell` is told `fetching`, `unpacking`, `preparing`, `switching` and `done`. `place` is where
    the archive is, None for the repositories. `with_dependencies`: a plugin gets an environment of
    its own, with what it needs of Python.
    """

    ref: PackageRef
    tell: Tell = _untold
    place: Place | None = None
    with_dependencies: bool = False

    def fetched(self, received: int, total: int | None) -> None:
        """Tell how much of the archive has arrived, in bytes."""
        self.tell("fetching", 100 * received / total if total else None)
