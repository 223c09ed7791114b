"""The kinds of component that this program brings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar, Protocol

import attrs

from domogik.components.model import Backup, Component, Detail, Kind
from domogik.errors import NotPossible
from domogik.manager.core_parts import CoreParts
from domogik.manager.daemons.backups import Backups
from domogik.manager.daemons.daemons import Daemons
from domogik.manager.externals import Externals
from domogik.manager.kinds.base import ComponentKind
from domogik.manager.local_host import LocalHost
from domogik.manager.plugins.plugins import Plugins
from domogik.manager.registry import IChecked
from domogik.manager.units.units import SystemUnits
from domogik.supervisor.interfaces import Status


class IOwnLog(Protocol):
    """The log of the manager itself, in which its parts write, too."""

    async def lines(self, count: int) -> list[str]:
        """Return the last lines, oldest first."""
        ...

    def follow(self, receive: Callable[[str], None]) -> Callable[[], None]:
        """Have every new line received, until the answer is called."""
        ...


@attrs.define(eq=False, kw_only=True)
class PluginKind(ComponentKind):
    """Plugins. One that is enabled or disabled takes the units of its app with it.

    `is_managed`: packages are installed by this manager, so that it can say what installs a need.
    """

    kind: Kind = Kind.PLUGIN
    plugins: Plugins
    units: SystemUnits
    is_managed: bool

    def detail(self, component: Component) -> Detail:
        return self.plugins.detail(component)

    async def warnings(self, name: str) -> tuple[str, ...]:
        return await self.plugins.warnings(name, managed=self.is_managed)

    async def start(self, name: str) -> None:
        await self.plugins.start(name)

    async def stop(self, name: str) -> None:
        await self.plugins.stop(name)

    async def restart(self, name: str) -> None:
        await self.plugins.restart(name)

    async def enable(self, name: str) -> None:
        await self.plugins.enable(name)
        await self.units.switch_app(name, enabled=True)

    async def disable(self, name: str) -> None:
        await self.plugins.disable(name)
        await self.units.switch_app(name, enabled=False)

    def status_changed(self, component_id: str, before: Status, after: Status) -> None:
        self.plugins.status_changed(component_id)


@attrs.define(eq=False, kw_only=True)
class DaemonKind(ComponentKind):
    """Managed daemons, which are there as long as their sections are."""

    why_not: ClassVar[str] = "it is there as long as its section in the configuration"

    kind: Kind = Kind.DAEMON
    daemons: Daemons
    saved: Backups

    def detail(self, component: Component) -> Detail:
        return self.daemons.detail(component)

    async def start(self, name: str) -> None:
        await self.daemons.start(name)

    async def stop(self, name: str) -> None:
        await self.daemons.stop(name)

    async def restart(self, name: str) -> None:
        await self.daemons.restart(name)

    async def reload(self, name: str) -> None:
        await self.daemons.reload(name)

    def status_changed(self, component_id: str, before: Status, after: Status) -> None:
        self.daemons.status_changed(component_id, before, after)

    def credentials(self, name: str) -> str:
        return self.daemons.credentials(name)

    async def backup(self, name: str, file: str | None) -> Backup:
        return await self.saved.backup(name, file)

    async def restore(self, name: str, file: str) -> None:
        await self.saved.restore(name, file)

    async def backups(self, name: str) -> tuple[Backup, ...]:
        return await self.saved.all()


@attrs.define(eq=False, kw_only=True)
class UnitKind(ComponentKind):
    """Declared units of systemd."""

    kind: Kind = Kind.UNIT
    units: SystemUnits

    def find(self, name: str) -> Component:
        return self.units.find(name)

    def knows(self, name: str) -> bool:
        return self.units.knows(name)

    def detail(self, component: Component) -> Detail:
        return self.units.detail(component)

    async def start(self, name: str) -> None:
        await self.units.start(name)

    async def stop(self, name: str) -> None:
        await self.units.stop(name)

    async def restart(self, name: str) -> None:
        await self.units.restart(name)

    async def enable(self, name: str) -> None:
        await self.units.enable(name)

    async def disable(self, name: str) -> None:
        await self.units.disable(name)

    async def reload(self, name: str) -> None:
        await self.units.reload(name)

    async def log_lines(self, name: str, lines: int) -> list[str]:
        return await self.units.logs(name, lines)

    def follow_log(self, name: str, receive: Callable[[str], None]) -> Callable[[], None]:
        unit = self.units.component(name).unit_names[0]
        raise NotPossible(f"this host says more: journalctl --follow --unit={unit}")


@attrs.define(eq=False, kw_only=True)
class CoreKind(ComponentKind):
    """Services of the manager's own process; some of them can be switched, see `CoreParts`."""

    why_not: ClassVar[str] = "it is a part of the manager"

    kind: Kind = Kind.CORE
    parts: CoreParts
    own_log: IOwnLog | None = None

    async def start(self, name: str) -> None:
        await self._part(name, "started").start(name)

    async def stop(self, name: str) -> None:
        await self._part(name, "stopped").stop(name)

    async def restart(self, name: str) -> None:
        await self._part(name, "restarted").restart(name)

    async def log_lines(self, name: str, lines: int) -> list[str]:
        return await self.own_log.lines(lines) if self.own_log is not None else []

    def follow_log(self, name: str, receive: Callable[[str], None]) -> Callable[[], None]:
        if self.own_log is None:
            return ComponentKind.follow_log(self, name, receive)
        return self.own_log.follow(receive)

    def _part(self, name: str, verb: str) -> CoreParts:
        if name not in self.parts.parts:
            self._refuse(name, verb)
        return self.parts


@attrs.define(eq=False, kw_only=True)
class ExternalKind(ComponentKind):
    """External members, which are only heard on the network."""

    why_not: ClassVar[str] = "it is only heard on the network"

    kind: Kind = Kind.EXTERNAL
    externals: Externals

    def detail(self, component: Component) -> Detail:
        return self.externals.detail(component)


def register_built_in(
    local_host: LocalHost,
    checks: Mapping[Kind, IChecked],
    *,
    daemons: Daemons,
    saved: Backups,
    externals: Externals,
    parts: CoreParts,
    is_managed: bool,
    own_log: IOwnLog | None = None,
) -> None:
    """Register every kind of this program; `checks` has what examines a kind, where one does."""

    def common(kind: Kind) -> dict[str, Any]:
        return {
            "kind": kind,
            "components": local_host.components,
            "supervisor": local_host.supervisor,
            "host": local_host.host,
            "checks": checks.get(kind),
        }

    plugins, units = local_host.plugins, local_host.units
    local_host.kinds.register(
        CoreKind(parts=parts, own_log=own_log, **common(Kind.CORE)),
        PluginKind(plugins=plugins, units=units, is_managed=is_managed, **common(Kind.PLUGIN)),
        DaemonKind(daemons=daemons, saved=saved, **common(Kind.DAEMON)),
        UnitKind(units=units, **common(Kind.UNIT)),
        ExternalKind(externals=externals, **common(Kind.EXTERNAL)),
        ComponentKind(**common(Kind.HOST)),
        ComponentKind(**common(Kind.REPOSITORY)),
    )
