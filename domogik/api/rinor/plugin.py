"""`/plugin`: the plugins and external members, as Domogik's clients see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs
from twisted.internet.interfaces import IReactorTime

from domogik.api.rinor.envelope import RinorAnswer, RinorError
from domogik.api.rinor.face import identifier, order
from domogik.api.router import Asked, Path
from domogik.components.model import Component, ConfigurationKey, Detail, InvalidId, Kind
from domogik.errors import (
    AmbiguousComponent,
    NoAnswer,
    OperationFailed,
    UnknownComponent,
    does_not_exist,
)
from domogik.manager.interfaces import IAllHosts
from domogik.manager.operations.table import Context

#: seconds an encoded list may be handed out again while no event said that something changed
LIST_AGE = 1.0


@attrs.define(eq=False)
class PluginPaths:
    """Everything under `/plugin` but its configuration."""

    _clock: IReactorTime
    _context: Context
    _list: bytes = b""
    _list_event: int = -1
    _list_until: float = 0.0

    def routes(self) -> tuple[Path, ...]:
        """Every path with what answers there."""
        return (
            Path("plugin/list", self.list),
            Path("plugin/detail/<host>/<id>", self.detail),
            *(
                order(self._context, "plugin", verb, "id", self._find)
                for verb in ("start", "stop", "enable", "disable")
            ),
        )

    def _find(self, asked: Asked) -> Component:
        return find_member(self._context.all_hosts, asked["host"], asked["id"])

    async def list(self, asked: Asked) -> bytes:
        """One item per host with plugins, then one per host of external members.

        Encoded once per change: the number of the newest event tells whether there was one, and
        what no event announces is at most `LIST_AGE` seconds old.
        """
        now = self._clock.seconds()
        event = self._context.all_hosts.events.last_id
        if event != self._list_event or now >= self._list_until:
            self._list = RinorAnswer(
                "plugin", plugin_list(self._context.all_hosts.components())
            ).encoded()
            self._list_event = event
            self._list_until = now + LIST_AGE
        return self._list

    async def detail(self, asked: Asked) -> RinorAnswer:
        """One plugin or member with what can be configured."""
        component = self._find(asked)
        try:
            detail = await self._context.all_hosts.detail(component)
        except NoAnswer as error:
            text = f"No data or timeout on getting plugin detail for {asked['id']}"
            raise RinorError(text, "plugin") from error
        except OperationFailed as error:
            raise RinorError(f"Error on detail request : {error}", "plugin") from error
        return RinorAnswer("plugin", [_detail_item(detail)])


def plugin_list(components: Iterable[Component]) -> list[dict[str, object]]:
    """`[{host, list: [{id, technology, status, type, host}]}]`."""
    groups: dict[tuple[str, str], list[dict[str, object]]] = {}
    for component in components:
        kind = component.id.kind
        if kind not in (Kind.PLUGIN, Kind.EXTERNAL):
            continue
        if component.enabled is False and not component.state.is_on:
            continue  # what is disabled is, for these clients, a package and no plugin
        name, host = component.name_and_host
        item: dict[str, object] = {
            "id": name,
            "technology": component.technology,
            "status": status(component),
            "type": kind.value,
            "host": host,
        }
        groups.setdefault((kind.value, host), []).append(item)
    # "plugin" sorts behind "external"; the hosts keep the order in which the house has them
    ordered = sorted(groups.items(), key=lambda group: group[0][0], reverse=True)
    return [{"host": host, "list": items} for (_, host), items in ordered]


def status(component: Component) -> str:
    """`ON` or `OFF`; there is no third word."""
    return "ON" if component.state.is_on else "OFF"


def find_member(all_hosts: IAllHosts, host: str, name: str) -> Component:
    """The plugin or external member of that name; raises `RinorError` with Domogik's words."""
    identifier(host, "host")
    identifier(name, "id")
    # members first: their host is no host of the house, and of that one anything may be asked
    for component in all_hosts.components():
        if component.is_member(name, host):
            return component
    try:
        return all_hosts.find(f"plugin:{name}", host)
    except (UnknownComponent, AmbiguousComponent, InvalidId) as error:
        raise RinorError(does_not_exist(name, host)) from error


def _detail_item(detail: Detail) -> dict[str, object]:
    component = detail.component
    name, host = component.name_and_host
    if component.id.kind is Kind.EXTERNAL:
        configuration: list[dict[str, object]] = [
            {"id": place, "key": key, "value": value}
            for place, (key, value) in enumerate(detail.values, start=1)
        ]
    else:
        configuration = configuration_items(detail.configuration)
    return {
        "id": name,
        "technology": component.technology,
        "description": component.description,
        "status": status(component),
        "host": host,
        "version": component.version,
        "documentation": component.documentation,
        "configuration": configuration,
    }


def configuration_items(keys: Sequence[ConfigurationKey]) -> list[dict[str, object]]:
    """The keys in their order; interface keys in one group, where the first of them stood."""
    items: list[dict[str, object]] = []
    elements: list[dict[str, object]] | None = None
    for key in sorted(keys, key=lambda key: key.id):
        words = _key_words(key)
        if not key.interface:
            items.append({"id": key.id + 1, "element_type": "item", **words})
            continue
        if elements is None:
            elements = []
            items.append({"id": key.id + 1, "element_type": "group", "elements": elements})
        elements.append({"id": key.id + 1, **words})
    return items


def _key_words(key: ConfigurationKey) -> dict[str, object]:
    return {
        "key": key.key,
        "type": key.type,
        "description": key.description,
        "default": key.default or "None",
        "options": ",".join(key.options),
        "optionnal": "yes" if key.optional else "no",
    }
