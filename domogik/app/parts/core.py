"""The core services of a manager's process, dbmgr and rest, unless another process has them."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from random import Random

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger

from domogik import __version__
from domogik.api.settings import RestSettings
from domogik.app.parts.dbmgr import DbmgrRole
from domogik.app.parts.foundation import CannotStart, Foundation
from domogik.app.parts.rest import RestRole
from domogik.app.parts.role_lookup import ROLE_LOOKUP_S, RoleLookup, already_running_message
from domogik.app.parts.role_takeover import RoleTakeover
from domogik.app.parts.xpl_node import XplNode
from domogik.app.progress import StartProgress
from domogik.app.reactor import IWholeReactor
from domogik.components.model import Component, ComponentId, ConfigurationKey, Kind, State
from domogik.config.load import BrokenConfiguration
from domogik.errors import DomogikError, NotPossible
from domogik.manager.components import ComponentList
from domogik.manager.core_parts import Part
from domogik.manager.fleet.name_conflicts import NameConflicts
from domogik.manager.interfaces import IAllHosts
from domogik.manager.packages.interfaces import IPackages
from domogik.manager.plugins.values import Values
from domogik.manager.trust import Trust
from domogik.storage.database import BrokenDatabase, LostDatabase
from domogik.supervisor.interfaces import Policy
from domogik.supervisor.lifecycle.backoff import Restarts, Wait
from domogik.supervisor.settings import Supervision

#: seconds that another manager, dbmgr or rest has to answer where the hub is our own
ASK_OWN_HUB = 1.0
#: seconds between two looks whether the database is still there
LOOK_EVERY = 60.0
_DESCRIPTIONS = {
    "manager": "Starts, stops and watches the plugins of this host",
    "hub": "Passes xPL messages on to every program of this host",
    "dbmgr": "Keeps what plugins are configured with",
    "rest": "Answers HTTP",
}


@attrs.define(eq=False, kw_only=True)
class CoreServices:
    """Starts and stops dbmgr and rest, and keeps their entries in the component list.

    Each is asked for by heartbeat first. `patience_s` is the time for an answer if the hub is
    another program (`-t`).
    """

    _reactor: IWholeReactor
    _foundation: Foundation
    _xpl_node: XplNode
    _components: ComponentList
    _trust: Trust
    _progress: StartProgress
    _role_lookup: RoleLookup
    _patience_s: float
    _declared: Callable[[str], Sequence[ConfigurationKey] | None]
    _daemon_url: Callable[[str], Awaitable[str]]
    _hold: Callable[[str, Callable[[], Awaitable[None]]], None]
    #: told of host, plugin and key (None: all) whenever a value is set or forgotten
    on_value: Callable[[str, str, str | None], None] = lambda host, plugin, key: None
    rest: RestRole | None = None
    _rest_role: RestRole | None = None
    #: as the configuration was read last
    _rest_settings: RestSettings | None = None
    _is_closed: bool = False
    _dbmgr: DbmgrRole | None = None
    _wants_dbmgr: bool = False
    _is_held: bool = False
    #: how long it is waited before the database is tried again
    _policy: Policy = attrs.field(init=False, default=Policy())
    _restarts: Restarts = attrs.field(init=False, factory=lambda: Restarts(Random().random))
    _retry: IDelayedCall | None = attrs.field(init=False, default=None)
    _good_since: float = attrs.field(init=False, default=0.0)
    #: its file was removed: a new and empty one is made only when a person asks for it
    _is_lost: bool = attrs.field(init=False, default=False)
    _opening: DeferredLock = attrs.field(factory=DeferredLock)
    _moving: DeferredLock = attrs.field(factory=DeferredLock)
    _takeovers: dict[str, RoleTakeover] = attrs.field(factory=dict)
    #: why REST does not listen where the configuration says; empty while it does
    rest_problem: str = ""
    #: told the id of a core service about which something new is to be said
    on_trouble: Callable[[str], None] = lambda component_id: None
    _log: Logger = Logger()

    def __attrs_post_init__(self) -> None:
        with contextlib.suppress(BrokenConfiguration):  # what is refused is said elsewhere
            self._policy = Supervision.of(self._foundation.configuration, "core:dbmgr").policy

    def values(self) -> Values | None:
        """Return the stored configuration values of plugins; None while no dbmgr runs in this
        process.
        """
        return self._dbmgr.values if self._dbmgr is not None else None

    @property
    def namesakes(self) -> NameConflicts:
        """Other programs that use a name of this host."""
        return self._role_lookup.namesakes

    def put(self, name: str, state: State, reason: str = "") -> None:
        """Set the state of a core service in the component list."""
        component_id = ComponentId(Kind.CORE, name)
        before = self._components.get(component_id)
        since = before.since if before and before.state is state else time.time()
        self._components.put(
            Component(
                id=component_id,
                host=self._foundation.settings.hostname,
                state=state,
                reason=reason,
                pid=os.getpid() if state is State.RUNNING else None,
                since=since,
                technology="core",
                version=__version__,
                description=_DESCRIPTIONS[name],
            )
        )

    async def refuse_second_manager(self) -> None:
        """Raise `CannotStart` if another manager of this host has the same name.

        With an own hub on a loopback address nothing is asked: no other program can have been
        heard.
        """
        if self._xpl_node.hub is not None and self._xpl_node.network.is_loopback:
            return
        answer = await self._role_lookup.find("manager", ROLE_LOOKUP_S)
        if answer is not None:
            raise CannotStart(already_running_message(answer))

    def parts(self) -> dict[str, Part]:
        """Return the services that can be started and stopped while the manager runs, by name."""
        return {
            "dbmgr": Part(partial(self._ordered, self.start_dbmgr), self._stop_dbmgr),
            "rest": Part(partial(self._ordered, self._start_rest_again), self._stop_rest),
        }

    async def _ordered(self, start: Callable[[], Awaitable[None]]) -> None:
        try:
            await start()
        finally:
            self._role_lookup.close_probe()

    def _leave_to_other_process(self, role: str, start: Callable[[], Awaitable[None]]) -> None:
        if self._is_closed:
            return
        self.put(role, State.ALIVE, "it runs in another process")
        source = f"domogik-{role}.{self._foundation.settings.hostname}"
        take_over = partial(self._ordered, start)
        other = RoleTakeover(
            self._reactor, self._xpl_node.bus, self._role_lookup, source, take_over
        )
        if role in self._takeovers:
            self._takeovers[role].stop()
        self._takeovers[role] = other
        other.start()

    async def open_rest(self, all_hosts: IAllHosts, packages: IPackages) -> bool:
        """Open REST's port; return False if another process of this host is REST.

        Connections wait until `serve`. Raises `CannotStart`.
        """
        self._rest_role = RestRole(
            reactor=self._reactor,
            foundation=self._foundation,
            xpl_node=self._xpl_node,
            all_hosts=all_hosts,
            counters=self._xpl_node.counters,
            packages=packages,
        )
        return await self._open_rest(self._rest_role)

    async def _open_rest(self, role: RestRole) -> bool:
        try:
            await role.open(self._rest_settings)
        except DomogikError as error:
            if await self._role_lookup.find("rest", self._patience()) is None:
                raise CannotStart(str(error)) from error
            return False
        if self._is_closed:  # meanwhile
            await role.close()
            return False
        role.hold()
        self.rest = role
        return True

    def serve(self) -> None:
        """Answer HTTP requests from now on; called when the installed packages are known."""
        if self.rest is not None:
            self.rest.serve()

    def update_settings(self, settings: RestSettings) -> None:
        """Apply REST's rules of access at once, and a new address or port soon after."""
        self._rest_settings = settings
        if self.rest is not None:
            self.rest.update_settings(settings)
            _ = Deferred.fromCoroutine(self._move_rest(settings)).addErrback(
                lambda failure: self._log.failure("listening elsewhere", failure)
            )

    async def _move_rest(self, settings: RestSettings) -> None:
        async with self._moving:
            if self.rest is None:
                return
            try:
                await self.rest.move(settings)
                problem = ""
            except DomogikError as error:
                problem = f"it listens on {self.rest.address} as before: {error}"
                self._log.error("REST: {problem}", problem=problem)
        if problem != self.rest_problem:
            self.rest_problem = problem
            self.put("rest", State.RUNNING, problem)
            self.on_trouble("core:rest")

    def rest_address(self, host: str) -> str:
        """Return the URL at which that host reaches REST; raises `NotPossible`."""
        if self.rest is None:
            raise NotPossible(f"REST does not run here, and {host} fetches packages from it")
        return self.rest.address_for(host)

    async def start_rest(self) -> None:
        """Announce REST on xPL, or close it if another process of this host is REST."""
        self._progress.status("Check if rest is running.")
        rest = self.rest
        if rest is not None and await self._role_lookup.find("rest", self._patience()) is None:
            if self._is_closed:
                return
            self.namesakes.watch(rest.speak())
            self.put("rest", State.RUNNING)
            return
        self._log.warn("Manager started with -r, but a REST manager is already running")
        self._leave_to_other_process("rest", self._start_rest_again)
        if self.rest is not None:
            await self.rest.close()
            self.rest = None

    async def _start_rest_again(self) -> None:
        """Start REST after it was stopped or was run by another process."""
        assert self._rest_role is not None
        async with self._moving:
            try:
                if self.rest is None and await self._open_rest(self._rest_role):
                    self.serve()
            except CannotStart as error:
                self.put("rest", State.FAILED, str(error))
                return
            self.rest_problem = ""
            await self.start_rest()

    async def _stop_rest(self) -> None:
        async with self._moving:
            if self.rest is not None:
                await self.rest.close()
                self.rest = None
            self.put("rest", State.STOPPED)

    async def start_dbmgr(self) -> None:
        """Open the database, unless another process of this host is dbmgr."""
        self._progress.status("Check if dbmgr is running.")
        if await self._role_lookup.find("dbmgr", self._patience()) is not None:
            self._log.warn("Manager started with -d, but a database manager is already running")
            self._leave_to_other_process("dbmgr", self.start_dbmgr)
            return
        if self.database_daemon and not self._is_held:
            self._is_held = True
            self._hold(self.database_daemon, self._close_dbmgr)
        await self._open_dbmgr()

    @property
    def database_daemon(self) -> str:
        """The id of the managed daemon with the database, empty if there is none."""
        url = self._foundation.database_url()
        return url if url.startswith("daemon:") else ""

    async def database_is_back(self) -> None:
        """Open the database again, now that its managed daemon is ready."""
        if self._wants_dbmgr:
            await self._open_dbmgr()

    async def open_database(self) -> None:
        """Open the database, and create its file if it was removed."""
        await self._open_dbmgr(anew=True)

    def check_database(self) -> Awaitable[None] | None:
        """Check the whole database; the result is None if none is open. Raises `BrokenDatabase`."""
        values = self.values()
        return self._checked(values.store.check()) if values is not None else None

    async def _checked(self, looking: Awaitable[None]) -> None:
        try:
            await looking
        except BrokenDatabase as error:
            self._database_failed(error)
            raise

    async def _open_dbmgr(self, *, anew: bool = False) -> None:
        self._wants_dbmgr = not self._is_closed
        async with self._opening:
            if self._wants_dbmgr:
                await self._open_database(anew=anew)

    async def _open_database(self, *, anew: bool) -> None:
        self._cancel_retry()
        role = self._dbmgr = self._dbmgr or DbmgrRole(
            reactor=self._reactor,
            foundation=self._foundation,
            xpl_node=self._xpl_node,
            trust=self._trust,
            declared=self._declared,
            changed=self.on_value,
            on_broken=self._database_failed,
        )
        try:
            if role.values is not None:
                await self._close_if_lost(role)
            if role.values is None:
                await role.open(await self._database_url(), must_exist=self._is_lost and not anew)
                if not self._wants_dbmgr:  # it was stopped meanwhile
                    await role.close()
                    return
                self.namesakes.watch(role.speak())
            assert role.values is not None
            await role.values.store.check()
        except DomogikError as error:
            self._database_failed(error)
            return
        self._is_lost = False
        self._good_since = self._reactor.seconds()
        self.put("dbmgr", State.RUNNING)
        self._retry = self._reactor.callLater(LOOK_EVERY, self._look_at_database)

    async def _close_if_lost(self, role: DbmgrRole) -> None:
        assert role.values is not None
        try:
            await role.values.store.look()
        except LostDatabase:
            self._is_lost = True
            await role.close()

    def _look_at_database(self) -> None:
        values = self.values()
        if values is None:
            return
        self._retry = self._reactor.callLater(LOOK_EVERY, self._look_at_database)
        _ = Deferred.fromCoroutine(self._checked(values.store.look())).addErrback(
            lambda failure: failure.trap(DomogikError)
        )

    def _database_failed(self, error: DomogikError) -> None:
        """Report the failure, and schedule another try by the restart policy of dbmgr.

        Plugins go on with the values they have.
        """
        if self._is_failing and self._retry is not None and self._retry.active():
            return
        self._cancel_retry()
        now = self._reactor.seconds()
        answer = self._restarts.after_failure(self._policy, now, now - self._good_since)
        seconds = answer.seconds if isinstance(answer, Wait) else self._policy.slow_retry
        self._good_since = now
        reason = f"{error}; tried again in {seconds:.0f} s"
        self._log.error("database: {reason}", reason=reason)
        self.put("dbmgr", State.FAILED, reason)
        self._retry = self._reactor.callLater(seconds, self._try_database_again)

    @property
    def _is_failing(self) -> bool:
        dbmgr = self._components.get(ComponentId(Kind.CORE, "dbmgr"))
        return dbmgr is not None and dbmgr.state is State.FAILED

    def _try_database_again(self) -> None:
        if self.database_daemon and self.values() is None:
            daemon = self._components.get(ComponentId.parse(self.database_daemon))
            if daemon is None or not daemon.state.is_on:
                return  # it is told when that is ready
        self._restarts.started(self._reactor.seconds())
        _ = Deferred.fromCoroutine(self.database_is_back()).addErrback(
            lambda failure: self._log.failure("opening the database", failure)
        )

    async def _database_url(self) -> str:
        name = self.database_daemon
        if name:
            return await self._daemon_url(name.removeprefix("daemon:"))
        return self._foundation.database_url()

    async def _close_dbmgr(self) -> None:
        if self._dbmgr is not None and self._dbmgr.values is not None:
            self._cancel_retry()
            await self._dbmgr.close()
            self.put("dbmgr", State.STOPPED, f"{self.database_daemon} is stopped")

    async def _stop_dbmgr(self) -> None:
        self._wants_dbmgr = False
        async with self._opening:
            self._cancel_retry()
            if self._dbmgr is not None:
                await self._dbmgr.close()
            self.put("dbmgr", State.STOPPED)

    async def close(self) -> None:
        """Close REST, the database and all timers."""
        self._is_closed = True
        for other in self._takeovers.values():
            other.stop()
        if self.rest is not None:
            await self.rest.close()
        self._wants_dbmgr = False
        self._cancel_retry()
        if self._dbmgr is not None:
            await self._dbmgr.close()

    def _cancel_retry(self) -> None:
        if self._retry is not None and self._retry.active():
            self._retry.cancel()

    def _patience(self) -> float:
        return ASK_OWN_HUB if self._xpl_node.hub is not None else self._patience_s
