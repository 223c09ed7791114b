"""The parts of one manager and how they are connected, for the real one and for that of tests.

What differs between the two is given as `ManagerTools`. Parts that need no xPL identity are made
by `Assembly`, the others by `connect`. Nothing is started here.
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
from domogik.manager.jobs import Jobs
from domogik.manager.kinds.built_in import IOwnLog, register_built_in
from domogik.manager.kinds.checkers import DaemonChecker, ExternalChecker
from domogik.manager.kinds.plugin_checks import PluginChecker
from domogik.manager.kinds.unit_checks import UnitChecker
from domogik.manager.local_host import LocalHost
from domogik.manager.plugins.heartbeat_senders import HeartbeatSenders
from domogik.manager.plugins.pings import FindAddresses, PluginPings
from domogik.manager.plugins.plugin_launch import PluginLaunch
from domogik.manager.plugins.plugins import Plugins
from domogik.manager.plugins.stopped import StoppedByHand
from domogik.manager.plugins.values import Values
from domogik.manager.registry import IChecked, Kinds
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
class ManagerTools:
    """What differs between a real manager and a fake one, and is given to `Assembly`.

    `make_supervisor(on_change)` and `make_units(components, jobs)` are called once. `directory` is
    the home, `health_state` the file in which the health centre keeps its issues.
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
    health_state: Path
    stopped: StoppedByHand = attrs.field(factory=StoppedByHand)


class Assembly:
    """The parts of one manager; a derived class implements `reload` and `upgrade`."""

    hosts: Hosts
    all_hosts: AllHosts
    pings: PluginPings

    def __init__(self, given: ManagerTools) -> None:
        self._given = given
        host, reactor = given.host, given.reactor
        self.trust = given.trust
        self.events = EventStream(given.wall_clock)
        self.components = ComponentList(self.events)
        self.jobs = Jobs(self.events, given.wall_clock)
        self.supervisor = given.make_supervisor(self.status_changed)
        tools = DaemonTools.of(reactor)
        self.daemons = Daemons(
            host=host,
            tools=tools,
            supervisor=self.supervisor,
            components=self.components,
            home=given.directory,
            directory=given.daemons,
        )
        self.plugins = Plugins(
            plugin_launch=given.launch,
            supervisor=self.supervisor,
            components=self.components,
            in_thread=given.threads,
            reload=self.reload,
            stop_by_message=self._stop_by_message,
            provide_needs=self._provide_needs,
            stopped=given.stopped,
        )
        self.externals = Externals(reactor, given.wall_clock, given.bus, self.components, host)
        self.units = given.make_units(self.components, self.jobs)
        self.kinds = Kinds(host)
        self.health = Health(
            clock=reactor,
            wall_clock=given.wall_clock,
            events=self.events,
            jobs=self.jobs,
            kinds=self.kinds,
            state=given.health_state,
            in_thread=given.threads,
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
        """Read the configuration and the installed packages again."""
        raise NotImplementedError

    def upgrade(self) -> None:
        """Stop with the children kept, then execute the program again."""
        raise NotImplementedError

    def connect(
        self,
        identity: Identity,
        *,
        patience_s: float,
        package_mode: bool,
        heartbeat_senders: HeartbeatSenders,
        find_addresses: FindAddresses,
        ping_timeout_s: float,
        ping_pause_s: float | None,
        values: Callable[[], Values | None] = lambda: None,
    ) -> None:
        """Make the parts that speak xPL as `identity`: `hosts`, `all_hosts` and `pings`."""
        given = self._given
        self.hosts = Hosts(
            clock=given.reactor,
            wall_clock=given.wall_clock,
            identity=identity,
            bus=given.bus,
            events=self.events,
            own=given.host,
            patience_s=patience_s,
        )
        self.all_hosts = AllHosts(
            host=given.host,
            events=self.events,
            package_mode=package_mode,
            hosts=self.hosts,
            jobs=self.jobs,
            local_host=self.local_host,
            values=values,
        )
        self.pings = PluginPings(
            clock=given.reactor,
            identity=identity,
            bus=given.bus,
            plugins=self.plugins,
            host=given.host,
            heartbeat_senders=heartbeat_senders,
            find=find_addresses,
            timeout_s=ping_timeout_s,
            pause_s=ping_pause_s,
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
        """Register every kind of component; `more_checks` adds checkers to those made here."""
        given, components = self._given, self.components
        plugin_checks = PluginChecker(
            plugins=self.plugins,
            components=components,
            data=given.launch.data,
            wall_clock=given.wall_clock,
            in_thread=given.threads,
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
            saved=Backups(self.daemons, given.backups, self.jobs, given.threads, given.wall_clock),
            externals=self.externals,
            parts=parts,
            is_managed=is_managed,
            own_log=own_log,
        )

    def take_over(self, inventory: Inventory, configuration: Configuration) -> None:
        """Pass what is installed and configured now to every part."""
        self.plugins.update(inventory, configuration)
        self.daemons.update(configuration)
        self.units.update(configuration, self.plugins.wishes())
        self.externals.update(inventory.externals)

    def status_changed(self, component_id: str, before: Status, after: Status) -> None:
        """Pass a status that the supervisor reports on to the kind of the component."""
        self.kinds.of(ComponentId.parse(component_id)).status_changed(component_id, before, after)

    async def _stop_by_message(self, name: str) -> None:
        await self.pings.stop_by_message(name)  # made later, by `connect`

    async def _provide_needs(self, needs: Iterable[str]) -> Mapping[str, str]:
        await self.units.bring_up(needs)
        return await self.daemons.environment(needs)
