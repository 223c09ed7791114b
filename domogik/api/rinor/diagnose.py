"""`/diagnose`: checks of a host or of one component, in the style of Domogik's own paths."""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IReactorTime

from domogik.api.encoding import array
from domogik.api.rinor import envelope
from domogik.api.rinor.envelope import RinorError
from domogik.api.rinor.face import identifier
from domogik.api.router import Asked, Path
from domogik.components.health import DiagnosticCheck
from domogik.errors import NoAnswer
from domogik.manager.interfaces import IAllHosts

_TYPE = "check"
_HEAD = envelope.RinorAnswer().encoded()[:-1]


@attrs.define(eq=False)
class DiagnosePaths:
    """Everything under `/diagnose`. A repository's id has slashes in it, so the rest is the id."""

    _clock: IReactorTime
    _all_hosts: IAllHosts

    def routes(self) -> tuple[Path, ...]:
        """Every path with what answers there."""
        return (
            Path("diagnose/<host>", self.all),
            Path("diagnose/<host>/<rest...>", self.one),
        )

    async def all(self, asked: Asked) -> bytes:
        """Everything on that host."""
        host = identifier(asked["host"], "host")
        try:
            checks = await self._all_hosts.diagnose_all(host)
        except NoAnswer as error:
            raise RinorError(f"No data or timeout on diagnose host {host}", _TYPE) from error
        return await self._shown(checks)

    async def one(self, asked: Asked) -> bytes:
        """One component, by its id or bare name."""
        host, name = identifier(asked["host"], "host"), "/".join(asked.rest)
        try:
            checks = await self._all_hosts.diagnose(self._all_hosts.find(name, host))
        except NoAnswer as error:
            raise RinorError(f"No data or timeout on diagnose {name}", _TYPE) from error
        return await self._shown(checks)

    async def _shown(self, checks: tuple[DiagnosticCheck, ...]) -> bytes:
        items = await array(self._clock, checks, lambda check: envelope.spelled(check.to_json()))
        return b'%s, "%s": %s}' % (_HEAD, _TYPE.encode(), items)
