"""`/host`: the hosts of the house."""

from __future__ import annotations

import attrs

from domogik.api.rinor.envelope import RinorAnswer
from domogik.api.router import Asked, Path
from domogik.manager.interfaces import IAllHosts


@attrs.define(eq=False)
class HostPaths:
    """All of them, or one with how it is."""

    _all_hosts: IAllHosts

    def routes(self) -> tuple[Path, ...]:
        """Every path with what answers there."""
        return (Path("host", self.list), Path("host/<host>", self.one))

    async def list(self, asked: Asked) -> RinorAnswer:
        """Who they are and which of them REST runs on."""
        return RinorAnswer(
            "host", [{"id": host.id, "primary": host.primary} for host in self._all_hosts.hosts()]
        )

    async def one(self, asked: Asked) -> RinorAnswer:
        """One host; for an unknown one an empty item, as clients expect."""
        for host in self._all_hosts.hosts():
            if host.id == asked["host"]:
                return RinorAnswer(
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
        return RinorAnswer("host", [{}])
