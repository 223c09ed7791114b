"""Packages, where they are managed; and what is said where they are not."""

from __future__ import annotations

import attrs

from domogik.errors import NotPossible
from domogik.manager.interfaces import IAllHosts
from domogik.manager.jobs import Job
from domogik.manager.packages.interfaces import IPackages
from domogik.packages.repositories.index import Offer

_LISTED = (
    "This is development mode: packages are listed, not managed (package_path in [domogik] "
    "switches that on)"
)
_ALONE = "Packages are managed by a manager, and REST runs here without one: start dmg_manager -r"


@attrs.frozen
class PackageAccess:
    """What both faces ask about packages."""

    all_hosts: IAllHosts
    given: IPackages | None = None

    @property
    def packages(self) -> IPackages:
        """Raises `NotPossible` where none are managed."""
        if not self.all_hosts.package_mode:
            raise NotPossible(_LISTED)
        if self.given is None:
            raise NotPossible(_ALONE)
        return self.given

    def jobs(self) -> tuple[Job, ...]:
        """What is under way and what ended last: not only of packages, so in every mode."""
        return self.all_hosts.jobs() if self.given is None else self.given.jobs()

    def offers(self) -> tuple[Offer, ...]:
        """All that the repositories offer."""
        return self.packages.offers()
