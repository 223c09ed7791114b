"""`/package`: what is there of it before packages are managed."""

from __future__ import annotations

import attrs

from domogik.api.envelope import Answer
from domogik.api.rinor import Asked, Operation
from domogik.manager.interfaces import IHouse


@attrs.define(eq=False)
class PackagePaths:
    """The mode, which Domoweb asks for on every page."""

    _house: IHouse

    def operations(self) -> tuple[Operation, ...]:
        """The lines of the table."""
        return (Operation("package/get-mode", self.mode),)

    async def mode(self, asked: Asked) -> Answer:
        """`normal`: packages are managed; `development`: they are listed."""
        return Answer("mode", ["normal" if self._house.package_mode else "development"])
