"""The manager daemon: makes its parts, starts them, and stops them in reverse order."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, maybeDeferred
from twisted.logger import Logger

from domogik.api.settings import RestSettings
from domogik.app.parts import logs
from domogik.app.parts.configuration import readers
from domogik.app.parts.core import CoreServices
from domogik.app.parts.foundation import CannotStart, Foundation
from domogik.app.parts.kinds import Checkers
from domogik.app.parts.local_socket import LocalRole
from domogik.app.parts.manager_tools import manager_tools
from domogik.app.parts.packages import ManagerParts, PackageServices
from domogik.app.parts.rest import forget_ended
from domogik.app.parts.role_lookup import RoleLookup
from domogik.app.parts.xpl_node import XplNode
from domogik.app.progress import StartProgress
from domogik.app.reactor import IWholeReactor
from domogik.app.roles import ManagerRoles
from domogik.components.model import ConfigurationKey, State
from domogik.config.load import Configuration
from domogik.config.watch import DirectoryWatcher
from domogik.control.system import SystemControl
from domogik.errors import DomogikError
from domogik.manager.assembly import Assembly
from domogik.manager.configuration import ConfigurationInForce
from domogik.manager.core_parts import CoreParts
from domogik.manager.event_numbers import EventNumbers
from domogik.manager.plugins.autostart import Autostart
from domogik.manager.plugins.autostart_notice import AutostartNotice
from domogik.manager.plugins.heartbeat_senders import HeartbeatSenders
from domogik.manager.plugins.pings import udp_addresses
from domogik.manager.settings import ManagerSettings
from domogik.packages.store.installed import Inventory, find_packages
from domogik.supervisor.interfaces import Status
from domogik.threads import threads_of


class ManagerDaemon(Assembly, Service):
    """The service of one manager; its constructor raises `CannotStart`.

    A later failure is passed to `on_failure`, as one line. `on_upgrade` is called when the program
    is to be executed again after it has stopped.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IWholeReactor,
        foundation: Foundation,
        roles: ManagerRoles,
        *,
        progress: StartProgress,
        on_failure: Callable[[str], None],
        on_upgrade: Callable[[], None],
    ) -> None:
        self._reactor = reactor
        self._foundation = foundation
        self._roles = roles
        self._progress = progress
        self._on_failure = on_failure
        self._on_upgrade = on_upgrade
        self._pid = os.getpid()
        self._lock = foundation.take_home()
        try:
            RestSettings.from_configuration(foundation.configuration)
            self.xpl_node = XplNode.open(reactor, foundation, foundation.settings.hub)
        except DomogikError as error:
            self._lock.release()
            raise CannotStart(str(error)) from error
        self._starting: Deferred[None] | None = None
        self._starting_rest: Deferred[None] | None = None
        self._inventory = Inventory({}, {})
        self._upgrading = False
        self._started = False
        self._stops: list[Callable[[], object]] = []
        self._assemble()

    # Putting together

    def _assemble(self) -> None:
        """Make all parts; nothing is sent and no process is started yet."""
        reactor, foundation, xpl_node = self._reactor, self._foundation, self.xpl_node
        settings = foundation.settings
        host = settings.hostname
        self._thread = threads_of(reactor)
        Assembly.__init__(self, manager_tools(reactor, foundation, xpl_node))
        self._numbers = EventNumbers(
            self.events, foundation.home.run / "events.json", self._thread, time.time
        )
        self.notice = AutostartNotice(
            foundation.home.data / "startup-notice.json",
            lambda name: self.plugins.plugin(name).autostart_off,
            lambda: self.health.check_soon("core:manager"),
        )
        self.role_lookup = RoleLookup(
            clock=reactor,
            xpl_node=xpl_node,
            host=host,
            is_own=self.trust.is_own,
            in_thread=self._thread,
            changed=self._look_at_host,
        )
        self.core = CoreServices(
            reactor=reactor,
            foundation=foundation,
            xpl_node=xpl_node,
            components=self.components,
            trust=self.trust,
            progress=self._progress,
            role_lookup=self.role_lookup,
            patience_s=self._roles.ping_duration,
            declared=self._declared,
            daemon_url=self.daemons.url,
            hold=self.supervisor.hold,
        )
        self.keeper = ConfigurationInForce(
            paths=foundation.files,
            current=foundation.configuration,
            scan=self._scan,
            apply=self._apply,
            in_thread=self._thread,
            events=self.events,
            readers=readers(foundation.home),
            tell=self._say_configuration,
        )
        self.watcher = DirectoryWatcher(reactor, self.keeper.changed)

    # Life

    def startService(self) -> None:
        super().startService()
        if os.getpid() != self._pid:
            # twistd went to the background after it had made us: the lock names the old pid
            self._lock.release()
            self._lock = self._foundation.take_home()
        self._starting = Deferred.fromCoroutine(self._start())
        _ = self._starting.addErrback(self._progress.start_failed, self._on_failure)

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._progress.stopping()
        if self._starting is not None:
            self._starting.cancel()
        if self._starting_rest is not None:
            _ = self._starting_rest.addErrback(lambda failure: failure.trap(CancelledError))
            self._starting_rest.cancel()
        return Deferred.fromCoroutine(self._stop())

    def upgrade(self) -> None:
        """Stop with the children kept, then execute the program again."""
        self._log.info("executing anew, children kept")
        self._upgrading = True
        self._on_upgrade()

    async def reload(self) -> None:
        """Read the configuration and the installed packages again."""
        await self.keeper.reload()

    def reload_soon(self) -> None:
        """Start a `reload` without waiting for it."""
        self.keeper.changed(set())

    async def _start(self) -> None:
        foundation, xpl_node = self._foundation, self.xpl_node
        host = foundation.settings.hostname
        for notice in foundation.notices:
            self._log.warn("{notice}", notice=notice)
        foundation.pid_file.write_text(f"{os.getpid()}\n", encoding="ascii")
        forget_ended(foundation.home.rest_port)
        await self._numbers.begin()
        await self.core.refuse_second_manager()
        self.identity = xpl_node.port.identity("manager", host)
        self._make_all_hosts(host)
        if self._roles.rest:
            await self.core.open_rest(self.all_hosts, self.package_access.packages)
        self.core.put("manager", State.RUNNING)
        for role in self._roles.core:
            self.core.put(role, State.STARTING)
        self.supervisor.startService()
        for file in foundation.files:
            self.watcher.watch(file.parent)
        stop_namesakes = self.role_lookup.namesakes.stop
        self._stops += [self.watcher.stop, self.daemons.close, self.units.close, stop_namesakes]
        await self.package_access.recover()
        await self.keeper.begin()
        self.core.serve()
        packages = self.package_access.packages
        self._start_part(
            LocalRole(self._reactor, foundation, self.all_hosts, xpl_node.counters, packages)
        )
        self.units.watch()
        self._start_part(self.control)
        self._start_part(self.pings)
        # heard from here on, and not before it can answer: other hosts ask at once what runs here
        self._start_presence()
        self._start_part(self.hosts)
        if self._roles.external:
            self._start_part(self.externals)
        await self.package_access.start()
        self._started = True
        autostart = self._autostart()
        if not self._roles.packages_only:
            self._start_part(self.health)
            if self.keeper.refused:
                self.health.check_soon("core:manager")
            self._stop_orphans()
            self._in_background("starting daemons", self.daemons.start_all())
            self._in_background(
                "resuming plugins", autostart.resume(_plugins(self.supervisor.wanted_after_crash()))
            )
            self._in_background("finishing updates", self.package_access.resume())
        rest = self._starting_rest = Deferred.fromCoroutine(self._start_rest())
        if self._roles.dbmgr:
            await self.core.start_dbmgr()
        if not self._roles.packages_only:
            self._progress.status("plugins start")
            self._in_background("starting plugins", autostart.run())
        await rest
        self.role_lookup.close_probe()
        self._progress.ready()
        self._log.info("{host} is ready", host=host)

    async def _start_rest(self) -> None:
        if self._roles.rest:
            await self.core.start_rest()

    def _start_part(self, part: Any) -> None:
        part.start()
        self._stops.append(part.stop)

    def _in_background(self, what: str, work: Coroutine[Deferred[None], None, None]) -> None:
        _ = Deferred.fromCoroutine(work).addErrback(
            lambda failure: self._log.failure("{what}", failure, what=what)
        )

    def _make_all_hosts(self, host: str) -> None:
        reactor, bus = self._reactor, self.xpl_node.bus
        self.connect(
            self.identity,
            patience_s=self._foundation.settings.query_timeout_s,
            package_mode=self._foundation.settings.package_mode,
            heartbeat_senders=HeartbeatSenders(
                self.trust.is_own, lambda: self.xpl_node.hub is None
            ),
            find_addresses=lambda processes: self._thread(udp_addresses, processes),
            ping_timeout_s=self._roles.ping_duration,
            ping_pause_s=self._roles.wait_between_pings if self._roles.ping else None,
            values=self.core.values,
        )
        self.package_access = PackageServices(
            reactor=reactor,
            foundation=self._foundation,
            xpl_node=self.xpl_node,
            identity=self.identity,
            events=self.events,
            hosts=self.hosts,
            address=self.core.rest_address,
            has_rest=self._roles.rest,
            jobs=self.jobs,
            manager=ManagerParts(self.plugins, self.trust, self.reload, self._roles.external),
        )
        self._stops.append(self.package_access.stop)
        self._register_own_kinds(host)
        self.control = SystemControl(
            clock=reactor,
            identity=self.identity,
            bus=bus,
            local_host=self.local_host,
            all_hosts=self.all_hosts,
            trust=self.trust,
            events=self.events,
        )

    def _register_own_kinds(self, host: str) -> None:
        foundation = self._foundation
        checkers = Checkers(
            reactor=self._reactor,
            foundation=foundation,
            xpl_node=self.xpl_node,
            presence=self.identity.presence,
            local_host=self.local_host,
            core=self.core,
            package_access=self.package_access,
            hosts=self.hosts,
            roles=self._roles,
            notice=self.notice,
            broken_packages=lambda: self._inventory.problems,
        )
        self.register_kinds(
            CoreParts(host, self.components, self.core.parts()),
            checkers.made(),
            previous=checkers.previous,
            is_managed=foundation.settings.package_mode,
            own_log=logs.OwnLog(foundation.log_directory / "manager.log", self._thread),
        )

    def _start_presence(self) -> None:
        presence = self.identity.presence
        self.role_lookup.namesakes.watch(presence)
        self.role_lookup.namesakes.watch_roles(self.xpl_node.bus, self._roles.core)
        presence.start()
        presence.ready()
        self.xpl_node.sockets.children = self.plugins.all_pids
        self.xpl_node.on_full = self._look_at_host
        self.xpl_node.on_hub = lambda state, reason: self.core.put("hub", state, reason)
        self.xpl_node.watch(presence)

    def _look_at_host(self) -> None:
        self.health.check_soon(f"host:{self._foundation.settings.hostname}")

    # Plugins

    def _declared(self, plugin: str) -> Sequence[ConfigurationKey] | None:
        return self._inventory.declared(plugin)

    def _scan(self) -> Inventory:
        settings = self._foundation.settings
        return find_packages(self._foundation.home, settings.package_mode, settings.src_prefixes)

    def _apply(self, inventory: Inventory, configuration: Configuration) -> None:
        """Apply a configuration from which everything that was refused has been removed."""
        settings = ManagerSettings.from_configuration(configuration, self._foundation.home)
        logs.set_level(settings.log_level)
        self.take_over(inventory, configuration)
        self.trust.update_settings(settings.trusted)
        if not self._roles.packages_only:
            self.core.update_settings(RestSettings.from_configuration(configuration))
        self._inventory = inventory
        self.package_access.update(inventory)
        sources = self._foundation.home.sources
        for directory in (*inventory.directories, *((sources,) if sources.is_dir() else ())):
            self.watcher.watch(directory)

    def _say_configuration(self, remarks: Mapping[str, str], sentence: str) -> None:
        """Report what is refused, and what takes effect at the next start."""
        self.components.remark(remarks, self._foundation.settings.hostname)
        self.core.put("manager", State.RUNNING, sentence)
        self.health.check_soon("core:manager")

    def status_changed(self, component_id: str, before: Status, after: Status) -> None:
        if (before.state, before.reason) != (after.state, after.reason):
            self._log.info(
                "{id}: {state}{why}",
                id=component_id,
                state=after.state.value,
                why=f" ({after.reason})" if after.reason else "",
            )
        Assembly.status_changed(self, component_id, before, after)
        if component_id == self.core.database_daemon and after.state.is_on:
            self._in_background("opening the database", self.core.database_is_back())

    def _stop_orphans(self) -> None:
        """Stop processes from before a crash whose component is not known any more."""
        for component_id in self.supervisor.orphans():
            self._log.warn("{id} is no longer known: its process is stopped", id=component_id)
            stopping = self.supervisor.stop_orphan(component_id)
            _ = stopping.addErrback(lambda failure: self._log.failure("stopping it", failure))

    def _autostart(self) -> Autostart:
        settings = self._foundation.settings
        remembered = self._foundation.home.data / "remembered"
        remembered.mkdir(mode=0o700, exist_ok=True)
        self.core.on_trouble = self.health.check_soon
        made = Autostart(
            identity=self.identity,
            host=settings.hostname,
            plugins=self.plugins,
            remembered=remembered,
            now=time.time,
            timeout_s=settings.query_timeout_s,
            provider=settings.config_provider or "",
            notice=self.notice,
        )
        self.plugins.on_enabled, self.core.on_value = made.look, made.value_changed
        return made

    # Taking apart

    async def _stop(self) -> None:
        """Stop everything in reverse order, the plugins first; a failing step does not end the
        others.
        """
        self.supervisor.keep_children = (
            self._upgrading or self._roles.keep_children or not self._started
        )
        for step in (self._stop_plugins, self._stop_services, self._leave):
            try:
                await step()
            except Exception:  # noqa: BLE001 - the end of the program: everything gets its turn
                self._log.failure("stopping")

    async def _stop_plugins(self) -> None:
        if self.supervisor.running:
            await self.supervisor.stopService()

    async def _stop_services(self) -> None:
        for stop in reversed(self._stops):
            await maybeDeferred(stop)
        await self.core.close()

    async def _leave(self) -> None:
        await self.xpl_node.close()
        if not self.supervisor.keep_children:
            self.plugins.stopped.clear()
        self._foundation.pid_file.unlink(missing_ok=True)
        self._lock.release()


def _plugins(component_ids: Iterable[str]) -> list[str]:
    return [id.removeprefix("plugin:") for id in component_ids if id.startswith("plugin:")]
