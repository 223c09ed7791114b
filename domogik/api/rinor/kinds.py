"""`/daemon` and `/unit`: what Domogik never had, in the style of its own paths."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping

import attrs

from domogik.api.access import Need
from domogik.api.rinor.envelope import Answer, RinorError
from domogik.api.rinor.paths import Asked, Operation, identifier
from domogik.api.rinor.plugin import status
from domogik.components.model import Component, Detail, Kind
from domogik.errors import NoAnswer, UnknownComponent
from domogik.manager.interfaces import IHouse


@attrs.define(eq=False)
class KindPaths:
    """Everything under `/<kind>`: look at components of it, and the `orders` that they obey."""

    _house: IHouse
    _kind: Kind
    _orders: Mapping[str, Callable[[Component], Awaitable[None]]]

    @property
    def _word(self) -> str:
        return self._kind.value

    def operations(self) -> tuple[Operation, ...]:
        """The lines of the table."""
        word = self._word
        return (
            Operation(f"{word}/list", self.list),
            Operation(f"{word}/detail/<host>/<name>", self.detail),
            *(
                Operation(f"{word}/{verb}/<host>/<name>", self._order(verb, act), Need.CHANGE)
                for verb, act in self._orders.items()
            ),
            Operation(f"{word}/diagnose/<host>/<name>", self.diagnose),
        )

    async def list(self, asked: Asked) -> Answer:
        """One item for each host that has some."""
        groups: dict[str, list[dict[str, object]]] = {}
        for component in self._house.components():
            if component.id.kind is self._kind:
                groups.setdefault(component.host, []).append(_item(component))
        lists = [{"host": host, "list": items} for host, items in groups.items()]
        return Answer(self._word, lists)

    async def detail(self, asked: Asked) -> Answer:
        """One of them with what it was configured with, secrets excepted."""
        component = self._find(asked)
        try:
            detail = await self._house.detail(component)
        except NoAnswer as error:
            text = f"No data or timeout on getting {self._word} detail for {asked['name']}"
            raise RinorError(text, self._word) from error
        return Answer(self._word, [_detail_item(detail)])

    async def diagnose(self, asked: Asked) -> Answer:
        """Every check of it."""
        checks = await self._house.diagnose(self._find(asked))
        return Answer("check", [check.to_json() for check in checks])

    def _find(self, asked: Asked) -> Component:
        host, name = identifier(asked["host"], "host"), identifier(asked["name"], "name")
        try:
            return self._house.find(f"{self._word}:{name}", host)
        except UnknownComponent as error:
            why = str(error).partition(": ")[2] if self._kind is Kind.UNIT else ""
            text = f"Component {name} doesn't exists on {host}"
            raise RinorError(f"{text}: {why}" if why else text) from error

    def _order(
        self, verb: str, act: Callable[[Component], Awaitable[None]]
    ) -> Callable[[Asked], Awaitable[Answer]]:
        async def order(asked: Asked) -> Answer:
            component = self._find(asked)
            try:
                await act(component)
            except NoAnswer as error:
                text = f"No data or timeout on {verb} {self._word} {asked['name']}"
                raise RinorError(text) from error
            return Answer()

        return order


def daemon_paths(house: IHouse) -> KindPaths:
    """Of managed daemons, which are there as long as their sections."""
    orders = {"start": house.start, "stop": house.stop, "restart": house.restart}
    return KindPaths(house, Kind.DAEMON, orders)


def unit_paths(house: IHouse) -> KindPaths:
    """Of declared units of systemd, by their sections' names or systemd's."""
    orders = {
        "enable": house.enable,
        "disable": house.disable,
        "start": house.start,
        "stop": house.stop,
    }
    return KindPaths(house, Kind.UNIT, orders)


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
        **({} if component.enabled is None else {"enabled": component.enabled}),
        "pid": component.pid,
        "configuration": [
            {"id": place, "key": key, "value": value}
            for place, (key, value) in enumerate(detail.values, start=1)
        ],
    }
