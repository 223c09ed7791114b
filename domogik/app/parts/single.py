"""The hub, dbmgr and rest as separate processes."""

from __future__ import annotations

import time
from collections.abc import Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from domogik.app.parts.dbmgr import DbmgrRole
from domogik.app.parts.foundation import CannotStart, Foundation
from domogik.app.parts.packages import PackageServices
from domogik.app.parts.rest import RestRole
from domogik.app.parts.role_lookup import ROLE_LOOKUP_S, RoleLookup, already_running_message
from domogik.app.parts.xpl_node import XplNode
from domogik.app.progress import StartProgress
from domogik.app.reactor import IWholeReactor
from domogik.components.events import EventStream
from domogik.manager.event_numbers import EventNumbers
from domogik.manager.fleet.all_hosts import AllHosts
from domogik.manager.fleet.hosts import Hosts
from domogik.manager.jobs import Jobs
from domogik.manager.trust import Trust
from domogik.packages.store.installed import find_packages
from domogik.threads import threads_of


class SingleDaemon(Service):
    """A service with one role; when its start fails, `on_failure` gets a message of one line."""

    _log = Logger()

    def __init__(
        self,
        reactor: IWholeReactor,
        foundation: Foundation,
        progress: StartProgress,
        on_failure: Callable[[str], None],
    ) -> None:
        self.reactor = reactor
        self.foundation = foundation
        self._progress = progress
        self._on_failure = on_failure
        self.xpl_node = XplNode.open(reactor, foundation, self.hub_mode)
        self._starting: Deferred[None] = succeed(None)

    #: dbmgr and rest use the hub that is there
    hub_mode = "external"

    def startService(self) -> None:
        super().startService()
        for notice in (*self.foundation.notices, *self.foundation.complaints()):
            self._log.warn("{notice}", notice=notice)
        self._starting = Deferred.fromCoroutine(self._run())
        _ = self._starting.addErrback(self._progress.start_failed, self._on_failure)

    async def _run(self) -> None:
        running: Deferred[None] = Deferred()  # before it nothing heeds the signals
        self.reactor.callWhenRunning(running.callback, None)
        await running
        await self.begin()
        self._progress.ready()

    def stopService(self) -> Deferred[None]:
        super().stopService()
        self._progress.stopping()
        self._starting.cancel()
        return Deferred.fromCoroutine(self._end())

    async def _end(self) -> None:
        try:
            await self.end()
        finally:
            await self.xpl_node.close()

    async def begin(self) -> None:
        """Open the role; raises `DomogikError` with a message of one line."""

    async def refuse_second(self, role: str) -> None:
        """Raise `CannotStart` if a process of this host has the role, a manager included."""
        host, network = self.foundation.settings.hostname, self.foundation.network
        is_own = Trust(network.bind_interface).is_own
        role_lookup = RoleLookup(
            clock=self.reactor,
            xpl_node=self.xpl_node,
            host=host,
            is_own=is_own,
            in_thread=threads_of(self.reactor),
            changed=lambda: None,
        )
        answer = await role_lookup.find(role, ROLE_LOOKUP_S)
        role_lookup.close_probe()
        role_lookup.namesakes.stop()
        if answer is not None:
            raise CannotStart(already_running_message(answer))

    async def end(self) -> None:
        """Close the role."""


class HubDaemon(SingleDaemon):
    """The hub alone."""

    hub_mode = "embedded"


class DbmgrDaemon(SingleDaemon):
    """The database manager; it uses the descriptors that are installed on its own host."""

    _role: DbmgrRole | None = None

    async def begin(self) -> None:
        foundation = self.foundation
        inventory = await threads_of(self.reactor)(
            find_packages,
            foundation.home,
            foundation.settings.package_mode,
            foundation.settings.src_prefixes,
        )
        trust = Trust(foundation.network.bind_interface, foundation.settings.trusted)
        self._role = DbmgrRole(
            reactor=self.reactor,
            foundation=foundation,
            xpl_node=self.xpl_node,
            trust=trust,
            declared=inventory.declared,
        )
        url = self._url(foundation)
        await self.refuse_second("dbmgr")
        await self._role.open(url)
        self._role.speak()

    @staticmethod
    def _url(foundation: Foundation) -> str:
        url = foundation.database_url()
        if url.startswith("daemon:"):
            raise CannotStart(
                f"[database] url = {url} is for a manager, which runs that daemon: start it with -d"
            )
        return url

    async def end(self) -> None:
        if self._role is not None:
            await self._role.close()


class RestDaemon(SingleDaemon):
    """The REST server; it asks every host over xPL, its own included."""

    _role: RestRole | None = None
    _hosts: Hosts | None = None
    _package_access: PackageServices | None = None

    async def begin(self) -> None:
        foundation, xpl_node = self.foundation, self.xpl_node
        host = foundation.settings.hostname
        await self.refuse_second("rest")
        identity = xpl_node.port.identity("rest", host)
        events = EventStream(time.time)
        # a manager without REST may run in the same home, with a file of its own
        file = foundation.home.run / "events-rest.json"
        await EventNumbers(events, file, threads_of(self.reactor), time.time).begin()
        self._hosts = Hosts(
            clock=self.reactor,
            wall_clock=time.time,
            identity=identity,
            bus=xpl_node.bus,
            events=events,
            own=host,
            patience_s=foundation.settings.query_timeout_s,
        )
        jobs = Jobs(events, time.time)
        all_hosts = AllHosts(
            host=host,
            events=events,
            package_mode=foundation.settings.package_mode,
            hosts=self._hosts,
            jobs=jobs,
        )
        self._package_access = PackageServices(
            reactor=self.reactor,
            foundation=foundation,
            xpl_node=xpl_node,
            identity=identity,
            events=events,
            hosts=self._hosts,
            address=self._address,
            has_rest=True,
            jobs=jobs,
        )
        self._role = RestRole(
            reactor=self.reactor,
            foundation=foundation,
            xpl_node=xpl_node,
            all_hosts=all_hosts,
            counters=xpl_node.counters,
            packages=self._package_access.packages,
        )
        await self._role.open()
        self._role.announce()
        identity.presence.start()
        identity.presence.ready()
        self._hosts.start()
        await self._package_access.recover()
        await self._package_access.start()

    def _address(self, host: str) -> str:
        assert self._role is not None
        return self._role.address_for(host)

    async def end(self) -> None:
        if self._package_access is not None:
            await self._package_access.stop()
        if self._hosts is not None:
            self._hosts.stop()
        if self._role is not None:
            await self._role.close()
