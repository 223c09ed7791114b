"""The sections `[unit:<name>]` of the configuration, and the apps that they declare."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TypeVar

import attrs

from domogik.components.model import ComponentId, Kind
from domogik.config.load import Configuration, Setting
from domogik.units.apps.app import App
from domogik.units.apps.component import Daemon, RelatedDaemon, SharedDaemon
from domogik.units.checks.ports import InvalidPort, PortKind
from domogik.units.systemd.names import InvalidUnitName, unit_name

T = TypeVar("T")
_PREFIX = "unit:"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,63}", re.ASCII)
_CHARACTERS = "letters, digits, -, _ and ., a letter or digit first"
_NOT_OF_RELATED = frozenset(("listen_ports", "alias", "strict_check"))
_KINDS: Mapping[str, str] = {
    "daemon": "daemon",
    "related": "related-daemon",
    "shared": "shared-daemon",
}
_CLASSES: Mapping[str, type[Daemon]] = {"daemon": Daemon, "shared": SharedDaemon}


@attrs.frozen
class UnitSettings:
    """One section; `unit` and `alias` are as written, `app` is the id of the app."""

    name: str
    unit: str
    listen_ports: tuple[tuple[int, str], ...] = ()
    alias: str | None = None
    strict_check: bool = False
    role: str = "daemon"
    app: str = ""

    @property
    def id(self) -> ComponentId:
        """The id of the unit in the list of components: `unit:<name>`."""
        return ComponentId(Kind.UNIT, self.name)

    @property
    def component_id(self) -> str:
        """The id that checks have, such as `daemon-<name>`, by FreedomBox's convention."""
        return f"{_KINDS[self.role]}-{self.name}"

    @property
    def unit_names(self) -> tuple[str, ...]:
        """The full names of the unit and its alias."""
        names = (self.unit,) if self.alias is None else (self.unit, self.alias)
        return tuple(dict.fromkeys(map(unit_name, names)))

    def component(self) -> Daemon | RelatedDaemon:
        """Return a new component of the kind that `role` names."""
        if self.role == "related":
            return RelatedDaemon(self.component_id, self.unit)
        return _CLASSES[self.role](
            self.component_id, self.unit, self.strict_check, list(self.listen_ports), self.alias
        )


def read_units(configuration: Configuration) -> tuple[UnitSettings, ...]:
    """Return all sections in the order of the files; raises `BrokenConfiguration`."""
    return tuple(_read(configuration, name) for name in configuration.sections(_PREFIX))


def make_apps(settings: Iterable[UnitSettings]) -> list[App]:
    """Return the apps that the sections declare, with their components in the order given."""
    apps: dict[str, App] = {}
    for one in settings:
        apps.setdefault(one.app, App(one.app)).add(one.component())
    return list(apps.values())


def _read(configuration: Configuration, section: str) -> UnitSettings:
    name = section.removeprefix(_PREFIX)
    if not _NAME.fullmatch(name):
        raise configuration.broken(section, f"must be named by at most 64 of {_CHARACTERS}")
    settings = {
        key: setting for key, setting in configuration.section(section).items() if setting.text()
    }
    if "unit" not in settings:
        raise configuration.broken(section, "needs a unit, such as unit = nginx.service")

    def read(key: str, reader: Callable[[Setting], T], otherwise: T) -> T:
        return reader(settings[key]) if key in settings else otherwise

    role = read("role", lambda setting: setting.choice(*_KINDS), "daemon")
    if role == "related":
        for key in _NOT_OF_RELATED & settings.keys():
            raise settings[key].broken("must be left out where role is related")
    return UnitSettings(
        name=name,
        unit=_unit(settings["unit"]),
        listen_ports=read("listen_ports", _ports, ()),
        alias=read("alias", _unit, None),
        strict_check=read("strict_check", Setting.boolean, False),
        role=role,
        app=read("app", _app, name),
    )


def _unit(setting: Setting) -> str:
    try:
        unit_name(setting.text())
    except InvalidUnitName:
        raise setting.broken("must be the name of one systemd unit") from None
    return setting.text()


def _ports(setting: Setting) -> tuple[tuple[int, str], ...]:
    ports: list[tuple[int, str]] = []
    for word in setting.words():
        number, _, kind = word.partition("/")
        try:
            ports.append((int(number), PortKind.of(int(number), kind or "tcp").value))
        except (ValueError, InvalidPort):
            raise setting.broken("must be ports such as 8080/tcp4, 53/udp") from None
    return tuple(dict.fromkeys(ports))


def _app(setting: Setting) -> str:
    if not _NAME.fullmatch(setting.text()):
        raise setting.broken(f"must be at most 64 of {_CHARACTERS}")
    return setting.text()
