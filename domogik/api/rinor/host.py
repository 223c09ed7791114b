"""`/host`: the hosts of the house."""

from __future__ import annotations

import attrs

from domogik.api.rinor.envelope import Answer
from domogik.api.rinor.paths import Asked, Operation
from domogik.manager.interfaces import IHouse


@attrs.define(eq=False)
class HostPaths:
    """All of them, or one with how it is."""

    _house: IHouse

    def operations(self) -> tuple[Operation, ...]:
        """The lines of the table."""
        return (Operation("host", self.list), Operation("host/<host>", self.one))

    async def list(self, asked: Asked) -> Answer:
        """Who they are and which of them REST runs on."""
        return Answer(
            "host", [{"id": host.id, "primary": host.primary} for host in self._house.hosts()]
        )

    async def one(self, asked: Asked) -> Answer:
        """One host; for an unknown one an empty item, as clients expect."""
        for host in self._house.hosts():
            if host.id == asked["host"]:
                return Answer(
                    "host",
                    [
                        {
                            "id": host.id,
                            "status": "on" if host.on else "off",
                            "primary": host.primary,
                            "ip": host.ip,
                            "interval": host.interval,
                            "last_seen": host.last_seen,
                        }
                    ],
                )
        return Answer("host", [{}])
