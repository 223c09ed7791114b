"""One manager put together: the same for the real one and for the one of tests.

What differs between them is given as `Ends`. The parts are made in two steps: those that need no
network when the object is made, those that speak with `connect`. Nothing starts by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import attrs

from domogik.components.events import EventStream
from domogik.components.model import ComponentId, Kind
from domogik.config.load import Configuration
from domogik.daemons.core.tools import DaemonTools, IDaemonReactor
from domogik.manager.components import ComponentList
from domogik.manager.core_parts import CoreParts
from domogik.manager.daemons.backups import Backups
from domogik.manager.daemons.daemons import Daemons
from domogik.manager.externals import Externals
from domogik.manager.fleet.all_hosts import AllHosts
from domogik.manager.fleet.hosts import Hosts
from domogik.manager.health.centre import Health
from domogik.manager.health.checkers import DaemonChecker, ExternalChecker
from domogik.manager.health.plugin_checks import PluginChecker
from domogik.manager.health.unit_checks import UnitChecker
from domogik.manager.jobs import Jobs
from domogik.manager.kinds.built_in import IOwnLog, register_built_in
from domogik.manager.kinds.interfaces import IChecked, Kinds
from domogik.manager.local_host import LocalHost
from domogik.manager.plugins.pings import PluginPings
from domogik.manager.plugins.plugin_launch import PluginLaunch
from domogik.manager.plugins.plugins import Plugins
from domogik.manager.plugins.stopped import StoppedByHand
from domogik.manager.plugins.values import Values
from domogik.manager.trust import Trust
from domogik.manager.units.units import SystemUnits
from domogik.packages.store.installed import Inventory
from domogik.supervisor.interfaces import Status
from domogik.supervisor.service import Supervisor
from domogik.threads import Threads
from domogik.xpl.node.bus import Bus
from domogik.xpl.node.identity import Identity

StatusChanged = Callable[[str, Status, Status], None]


@attrs.frozen(kw_only=True)
class Ends:
    """What differs between a real manager and a fake one, and is given to `Assembly`.

    `make_supervisor(on_change)` and `make_units(components, jobs)` are called once. `directory` is
    the home, `remembered` the file of the health centre, `data(name)` where a plugin keeps its own.
    """

    host: str
    reactor: IDaemonReactor
    wall_clock: Callable[[], float]
    threads: Threads
    bus: Bus
    trust: Trust
    make_supervisor: Callable[[StatusChanged], Supervisor]
    make_units: Callable[[ComponentList, Jobs], SystemUnits]
    launch: PluginLaunch
    directory: Path
    daemons: Path
    backups: Path
    remembered: Path
    stopped: StoppedByHand = attrs.field(factory=StoppedByHand)


class Assembly:
    """The parts of one manager. Whoever derives from it says how to `reload` and to `upgrade`."""

    hosts: Hosts
    all_hosts: AllHosts
    pings: PluginPings

    def __init__(self, ends: Ends) -> None:
        self._ends = ends
        host, reactor = ends.host, ends.reactor
        self.trust = ends.trust
        self.events = EventStream(ends.wall_clock)
        self.components = ComponentList(self.events)
        self.jobs = Jobs(self.events, ends.wall_clock)
        self.supervisor = ends.make_supervisor(self.status_changed)
        tools = DaemonTools.of(reactor)
        self.daemons = Daemons(
            host=host,
            tools=tools,
            supervisor=self.supervisor,
            components=self.components,
            home=ends.directory,
            directory=ends.daemons,
        )
        self.plugins = Plugins(
            plugin_launch=ends.launch,
            supervisor=self.supervisor,
            components=self.components,
            in_thread=ends.threads,
            reload=self.reload,
            dismiss=self._dismiss,
            lend=self._lend,
            stopped=ends.stopped,
        )
        self.externals = Externals(reactor, ends.wall_clock, ends.bus, self.components, host)
        self.units = ends.make_units(self.components, self.jobs)
        self.kinds = Kinds(host)
        self.health = Health(
            clock=reactor,
            wall_clock=ends.wall_clock,
            events=self.events,
            jobs=self.jobs,
            kinds=self.kinds,
            state=ends.remembered,
            in_thread=ends.threads,
        )
        self.local_host = LocalHost(
            host=host,
            components=self.components,
            kinds=self.kinds,
            plugins=self.plugins,
            units=self.units,
            supervisor=self.supervisor,
            health=self.health,
            upgrade=self.upgrade,
        )

    async def reload(self) -> None:
        """Read the configuration and what is installed again."""
        raise NotImplementedError

    def upgrade(self) -> None:
        """Stop with the children kept, then execute the program anew."""
        raise NotImplementedError

    def connect(
        self,
        identity: Identity,
        *,
        patience_s: float,
        package_mode: bool,
        values: Callable[[], Values | None] = lambda: None,
    ) -> None:
        """Make what speaks: the other hosts, and all hosts as one."""
        ends = self._ends
        self.hosts = Hosts(
            clock=ends.reactor,
            wall_clock=ends.wall_clock,
            identity=identity,
            bus=ends.bus,
            events=self.events,
            own=ends.host,
            patience_s=patience_s,
        )
        self.all_hosts = AllHosts(
            host=ends.host,
            events=self.events,
            package_mode=package_mode,
            hosts=self.hosts,
            jobs=self.jobs,
            local_host=self.local_host,
            values=values,
        )

    def register_kinds(
        self,
        parts: CoreParts,
        more_checks: Mapping[Kind, IChecked],
        *,
        previous: Callable[[str], str | None] = lambda name: None,
        is_managed: bool = False,
        own_log: IOwnLog | None = None,
    ) -> None:
        """Register every kind of this program, `more_checks` beside those of every manager."""
        ends, components = self._ends, self.components
        plugin_checks = PluginChecker(
            plugins=self.plugins,
            components=components,
            data=ends.launch.data,
            wall_clock=ends.wall_clock,
            in_thread=ends.threads,
            previous=previous,
        )
        checks: dict[Kind, IChecked] = {
            Kind.PLUGIN: plugin_checks,
            Kind.DAEMON: DaemonChecker(self.daemons),
            Kind.UNIT: UnitChecker(self.units),
            Kind.EXTERNAL: ExternalChecker(self.externals, components),
            **more_checks,
        }
        register_built_in(
            self.local_host,
            checks,
            daemons=self.daemons,
            saved=Backups(self.daemons, ends.backups, self.jobs, ends.threads, ends.wall_clock),
            externals=self.externals,
            parts=parts,
            is_managed=is_managed,
            own_log=own_log,
        )

    def take_over(self, inventory: Inventory, configuration: Configuration) -> None:
        """Have every part act on what is installed and configured now."""
        self.plugins.update(inventory, configuration)
        self.daemons.update(configuration)
        self.units.update(configuration, self.plugins.wishes())
        self.externals.update(inventory.externals)

    def status_changed(self, component_id: str, before: Status, after: Status) -> None:
        """Tell the kind of a supervised component that its status is another one."""
        self.kinds.of(ComponentId.parse(component_id)).status_changed(component_id, before, after)

    async def _dismiss(self, name: str) -> None:
        await self.pings.dismiss(name)

    async def _lend(self, needs: Iterable[str]) -> Mapping[str, str]:
        await self.units.bring_up(needs)
        return await self.daemons.environment(needs)
