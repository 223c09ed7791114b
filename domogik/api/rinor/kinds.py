"""`/daemon`, `/unit` and other kinds that Domogik never had, in the style of its own paths."""

from __future__ import annotations

import attrs

from domogik.api.rinor.envelope import RinorAnswer, RinorError
from domogik.api.rinor.face import identifier, order
from domogik.api.rinor.plugin import status
from domogik.api.router import Asked, Path
from domogik.components.model import Component, Detail, Kind
from domogik.errors import NoAnswer, UnknownComponent, does_not_exist
from domogik.manager.operations.table import Context

#: units are started again on `/api/v1` only
_NOT_HERE = ((Kind.UNIT, "restart"),)


@attrs.define(eq=False)
class KindPaths:
    """Everything under `/{kind}`: look at components of it, and the orders that they obey."""

    _context: Context
    _kind: Kind

    @property
    def _word(self) -> str:
        return self._kind.value

    def routes(self) -> tuple[Path, ...]:
        """Every path with what answers there."""
        word = self._word
        return (
            Path(f"{word}/list", self.list),
            Path(f"{word}/detail/<host>/<name>", self.detail),
            *(
                order(self._context, word, verb, "name", self._find)
                for verb in self._kind.orders
                if (self._kind, verb) not in _NOT_HERE
            ),
            Path(f"{word}/diagnose/<host>/<name>", self.diagnose),
        )

    async def list(self, asked: Asked) -> RinorAnswer:
        """One item for each host that has some."""
        groups: dict[str, list[dict[str, object]]] = {}
        for component in self._context.all_hosts.components():
            if component.id.kind is self._kind:
                groups.setdefault(component.host, []).append(_item(component))
        lists = [{"host": host, "list": items} for host, items in groups.items()]
        return RinorAnswer(self._word, lists)

    async def detail(self, asked: Asked) -> RinorAnswer:
        """One of them with what it was configured with, secrets excepted."""
        component = self._find(asked)
        try:
            detail = await self._context.all_hosts.detail(component)
        except NoAnswer as error:
            text = f"No data or timeout on getting {self._word} detail for {asked['name']}"
            raise RinorError(text, self._word) from error
        return RinorAnswer(self._word, [_detail_item(detail)])

    async def diagnose(self, asked: Asked) -> RinorAnswer:
        """Every check of it."""
        checks = await self._context.all_hosts.diagnose(self._find(asked))
        return RinorAnswer("check", [check.to_json() for check in checks])

    def _find(self, asked: Asked) -> Component:
        host, name = identifier(asked["host"], "host"), identifier(asked["name"], "name")
        try:
            return self._context.all_hosts.find(f"{self._word}:{name}", host)
        except UnknownComponent as error:
            why = str(error).partition(": ")[2] if self._kind is Kind.UNIT else ""
            text = does_not_exist(name, host)
            raise RinorError(f"{text}: {why}" if why else text) from error


def kind_paths(context: Context) -> tuple[Path, ...]:
    """Return the paths of every kind that has a list of its own, each with the orders it obeys."""
    kinds = [kind for kind in Kind.all() if kind.has_own_list]
    return tuple(route for kind in kinds for route in KindPaths(context, kind).routes())


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
