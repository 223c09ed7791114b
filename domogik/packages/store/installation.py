"""One installation, passed from the operation down to the store."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from domogik.packages.descriptor.reference import PackageRef


@attrs.frozen
class Place:
    """The location of an archive; `sha256` (hex) and `size` (bytes) are None if unknown."""

    url: str
    sha256: str | None = None
    size: int | None = None


@attrs.frozen
class Installation:
    """One release that is being installed.

    `tell` is called with each stage, and its percentage if known. `place` is the location of the
    archive, None for the repositories. `with_dependencies`: a plugin gets an environment of its
    own, with its Python dependencies.
    """

    ref: PackageRef
    _tell: Callable[[str, float | None], None] = lambda stage, percent: None
    place: Place | None = None
    with_dependencies: bool = False

    def stage(self, text: str) -> None:
        """Report the current stage."""
        self._tell(text, None)

    def fetched(self, received: int, total: int | None) -> None:
        """Report how many bytes of the archive have arrived."""
        self._tell("fetching", 100 * received / total if total else None)
