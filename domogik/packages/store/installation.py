"""What one installation is about: it is handed down from the order to the store."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from domogik.packages.descriptor.reference import PackageRef


@attrs.frozen
class Place:
    """Where an archive is; `sha256` (hex) and `size` (bytes) are None where nobody says."""

    url: str
    sha256: str | None = None
    size: int | None = None


@attrs.frozen
class Installation:
    """One release that is being installed.

    `tell` is told each stage, and how many percent of it are done where that is known. `place` is
    where the archive is, None for the repositories. `with_dependencies`: a plugin gets an
    environment of its own, with what it needs of Python.
    """

    ref: PackageRef
    _tell: Callable[[str, float | None], None] = lambda stage, percent: None
    place: Place | None = None
    with_dependencies: bool = False

    def stage(self, text: str) -> None:
        """Tell what is done now."""
        self._tell(text, None)

    def fetched(self, received: int, total: int | None) -> None:
        """Tell how much of the archive has arrived, in bytes."""
        self._tell("fetching", 100 * received / total if total else None)
