"""`/units`: what concerns all declared units of systemd; each of them is a component."""

from __future__ import annotations

import attrs

from domogik.api.http.exchange import Reply
from domogik.api.v1.routes import BASE, JSON, Asked, Parameter, Route, json_reply
from domogik.api.v1.shapes.components import TEXT, named
from domogik.manager.interfaces import IAllHosts


@attrs.define(eq=False)
class UnitRoutes:
    """The rule for polkit."""

    _all_hosts: IAllHosts

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (
            Route(
                "GET",
                f"{BASE}/units/rule",
                "getUnitRule",
                "A polkit rule that lets a manager without root manage the declared units",
                self.rule,
                {JSON: named("UnitRule")},
                query=(Parameter("user", "Who may, by default the user of the manager.", TEXT),),
                errors=(409,),
            ),
        )

    async def rule(self, asked: Asked) -> Reply:
        """Of this host's units."""
        return json_reply({"rule": self._all_hosts.unit_rule(asked.text("user"))})
