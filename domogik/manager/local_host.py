"""What a person can ask of this host, one method for each thing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs

from domogik.components.health import DiagnosticCheck
from domogik.components.model import Backup, Component, ComponentId, Detail, Kind
from domogik.errors import NotPossible, UnknownComponent
from domogik.manager.components import ComponentList
from domogik.manager.core_parts import CoreParts
from domogik.manager.daemons.backups import Backups
from domogik.manager.daemons.daemons import Daemons
from domogik.manager.externals import Externals
from domogik.manager.health.centre import Health
from domogik.manager.plugins.plugins import Plugins
from domogik.manager.units.units import SystemUnits
from domogik.supervisor.service import Supervisor


class IOwnLog(Protocol):
    """The log of the manager itself, in which its parts write, too."""

    async def lines(self, count: int) -> list[str]:
        """Return the last lines, oldest first."""
        ...

    def follow(self, receive: Callable[[str], None]) -> Callable[[], None]:
        """Have every new line received, until the answer is called."""
        ...


@attrs.define(eq=False)
class LocalHost:
    """The components of this host. `upgrade` executes the manager anew, children kept."""

    host: str
    components: ComponentList
    plugins: Plugins
    daemons: Daemons
    units: SystemUnits
    externals: Externals
    backups: Backups
    supervisor: Supervisor
    health: Health
    upgrade: Callable[[], None]
    core: CoreParts
    own_log: IOwnLog | None = None

    def plugin(self, name: str) -> Component:
        """The plugin of that bare name; `UnknownComponent`."""
        component = self.components.get(ComponentId(Kind.PLUGIN, name))
        if component is None:
            raise UnknownComponent.named(name, self.host, self.components.ids(Kind.PLUGIN))
        return component

    def daemon(self, name: str) -> Component:
        """The managed daemon of that bare name; `UnknownComponent`."""
        component = self.components.get(ComponentId(Kind.DAEMON, name))
        if component is None:
            raise UnknownComponent.named(name, self.host, self.components.ids(Kind.DAEMON))
        return component

    def unit(self, name: str) -> Component:
        """The declared unit that is meant; `UnknownComponent`, `AmbiguousComponent`."""
        return self.units.find(name)

    def detail(self, component: Component) -> Detail:
        """With what can be configured."""
        if component.id.kind is Kind.EXTERNAL:
            return self.externals.detail(component)
        if component.id.kind is Kind.DAEMON:
            return self.daemons.detail(component)
        if component.id.kind is Kind.UNIT:
            return self.units.detail(component)
        return self.plugins.detail(component)

    def all(self) -> tuple[Component, ...]:
        """Every component, with what it used when that was sampled last."""
        sampled = self.supervisor.sampled
        return tuple(
            one if (used := sampled.get(str(one.id))) is None else attrs.evolve(one, usage=used)
            for one in self.components.all()
        )

    async def usage(self, component: Component) -> Component:
        """With CPU, memory and open files as they are now."""
        used = await self.supervisor.usage([str(component.id)])
        return attrs.evolve(component, usage=used.get(str(component.id)))

    async def start(self, component: Component) -> None:
        """Until it is alive."""
        await self._keeper(component, "started").start(component.name)

    async def stop(self, component: Component) -> None:
        """Until nothing of it is left."""
        await self._keeper(component, "stopped").stop(component.name)

    async def restart(self, component: Component) -> None:
        """Stop it if it is up, then start it."""
        await self._keeper(component, "restarted").restart(component.name)

    async def enable(self, component: Component) -> None:
        """A plugin in the configuration file, with its units; a unit in systemd."""
        if component.id.kind is Kind.UNIT:
            await self.units.enable(component.name)
            return
        name = self._plugin_name(component, "enabled")
        await self.plugins.enable(name)
        await self.units.switch_app(name, enabled=True)

    async def disable(self, component: Component) -> None:
        """As `enable`; a plugin must not run."""
        if component.id.kind is Kind.UNIT:
            await self.units.disable(component.name)
            return
        name = self._plugin_name(component, "disabled")
        await self.plugins.disable(name)
        await self.units.switch_app(name, enabled=False)

    async def reload(self, component: Component) -> None:
        """Have it read its configuration again."""
        if component.id.kind is Kind.UNIT:
            await self.units.reload(component.name)
            return
        await self.daemons.reload(self._daemon_name(component, "reloaded"))

    async def diagnose(self, component: Component) -> tuple[DiagnosticCheck, ...]:
        """Run every check of it."""
        return await self.health.diagnose(str(component.id))

    async def diagnose_all(self) -> tuple[DiagnosticCheck, ...]:
        """Look at everything here."""
        return await self.health.diagnose()

    def credentials(self, component: Component) -> str:
        """Its URL, which holds its password."""
        return self.daemons.credentials(self._daemon_name(component, "logged in to"))

    async def backup(self, component: Component, file: str | None) -> Backup:
        """Write its data into a new file."""
        return await self.backups.backup(self._daemon_name(component, "backed up"), file)

    async def restore(self, component: Component, file: str) -> None:
        """Put the data of that file in place of its own."""
        await self.backups.restore(self._daemon_name(component, "restored"), file)

    async def backups_of(self, component: Component) -> tuple[Backup, ...]:
        """The files there are."""
        self._daemon_name(component, "restored")
        return await self.backups.all()

    async def log_lines(self, component: Component, lines: int) -> list[str]:
        """Its last lines of output, oldest first; none where it was never started."""
        if component.id.kind is Kind.UNIT:
            return await self.units.logs(component.name, lines)
        if component.id.kind is Kind.CORE and self.own_log is not None:
            return await self.own_log.lines(lines)
        if str(component.id) not in self.supervisor.ids():
            return []
        return await self.supervisor.output(str(component.id)).tail(lines)

    def follow_log(
        self, component: Component, receive: Callable[[str], None]
    ) -> Callable[[], None]:
        """Every new line, until the answer is called."""
        if component.id.kind is Kind.UNIT:
            unit = self.units.component(component.name).unit_names[0]
            raise NotPossible(f"this host says more: journalctl --follow --unit={unit}")
        if component.id.kind is Kind.CORE and self.own_log is not None:
            return self.own_log.follow(receive)
        if str(component.id) not in self.supervisor.ids():
            raise NotPossible(f"{component.id} has no output of its own")
        return self.supervisor.output(str(component.id)).follow(receive)

    def _keeper(
        self, component: Component, verb: str
    ) -> Plugins | Daemons | SystemUnits | CoreParts:
        """Who starts and stops components of its kind."""
        if component.id.kind is Kind.UNIT:
            return self.units
        if component.id.kind is Kind.DAEMON:
            return self.daemons
        if component.id.kind is Kind.CORE and component.name in self.core.parts:
            return self.core
        self._plugin_name(component, verb)
        return self.plugins

    def _daemon_name(self, component: Component, verb: str) -> str:
        if component.id.kind is not Kind.DAEMON:
            raise NotPossible(f"{component.id} cannot be {verb}: it is no managed daemon")
        return component.name

    def _plugin_name(self, component: Component, verb: str) -> str:
        if component.id.kind is Kind.PLUGIN:
            return component.name
        why = {
            Kind.CORE: "it is a part of the manager",
            Kind.EXTERNAL: "it is only heard on the network",
            Kind.DAEMON: "it is there as long as its section in the configuration",
        }.get(component.id.kind, "its kind is not known here")
        raise NotPossible(f"{component.id} cannot be {verb}: {why}")
