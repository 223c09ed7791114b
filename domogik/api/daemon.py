"""`/daemon`: the managed daemons, in the style of Domogik's own paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs

from domogik.api.access import Need
from domogik.api.envelope import Answer, RinorError
from domogik.api.plugin import status
from domogik.api.rinor import Asked, Operation, identifier
from domogik.components.model import Component, Detail, Kind
from domogik.errors import AmbiguousComponent, NoAnswer, UnknownComponent
from domogik.manager.interfaces import IHouse


@attrs.define(eq=False)
class DaemonPaths:
    """Everything under `/daemon`."""

    _house: IHouse

    def operations(self) -> tuple[Operation, ...]:
        """The lines of the table."""
        house = self._house
        changing = {"start": house.start, "stop": house.stop, "restart": house.restart}
        return (
            Operation("daemon/list", self.list),
            Operation("daemon/detail/<host>/<name>", self.detail),
            *(
                Operation(f"daemon/{verb}/<host>/<name>", self._order(verb, act), Need.CHANGE)
                for verb, act in changing.items()
            ),
            Operation("daemon/diagnose/<host>/<name>", self.diagnose),
        )

    async def list(self, asked: Asked) -> Answer:
        """One item for each host that has daemons."""
        groups: dict[str, list[dict[str, object]]] = {}
        for component in self._house.components():
            if component.id.kind is Kind.DAEMON:
                groups.setdefault(component.host, []).append(_item(component))
        return Answer("daemon", [{"host": host, "list": items} for host, items in groups.items()])

    async def detail(self, asked: Asked) -> Answer:
        """One of them with what it was configured with, secrets excepted."""
        component = self._find(asked)
        try:
            detail = await self._house.detail(component)
        except NoAnswer as error:
            text = f"No data or timeout on getting daemon detail for {asked['name']}"
            raise RinorError(text, "daemon") from error
        return Answer("daemon", [_detail_item(detail)])

    async def diagnose(self, asked: Asked) -> Answer:
        """Every check of it."""
        checks = await self._house.diagnose(self._find(asked))
        return Answer("check", [check.to_json() for check in checks])

    def _find(self, asked: Asked) -> Component:
        host, name = identifier(asked["host"], "host"), identifier(asked["name"], "name")
        try:
            return self._house.find(f"daemon:{name}", host)
        except (UnknownComponent, AmbiguousComponent) as error:
            raise RinorError(f"Component {name} doesn't exists on {host}") from error

    def _order(
        self, verb: str, act: Callable[[Component], Awaitable[None]]
    ) -> Callable[[Asked], Awaitable[Answer]]:
        async def order(asked: Asked) -> Answer:
            component = self._find(asked)
            try:
                await act(component)
            except NoAnswer as error:
                raise RinorError(f"No data or timeout on {verb} daemon {asked['name']}") from error
            return Answer()

        return order


def _item(component: Component) -> dict[str, object]:
    return {
        "id": component.name,
        "technology": component.technology,
        "status": status(component),
        "type": component.id.kind.value,
        "host": component.host,
    }


def _detail_item(detail: Detail) -> dict[str, object]:
    component = detail.component
    return {
        **_item(component),
        "description": component.description,
        "state": component.state.value,
        "reason": component.reason,
        "pid": component.pid,
        "configuration": [
            {"id": place, "key": key, "value": value}
            for place, (key, value) in enumerate(detail.values, start=1)
        ],
    }
