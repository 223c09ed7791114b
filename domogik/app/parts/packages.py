"""The parts of a process that handle packages, for the manager and for a separate REST."""

from __future__ import annotations

import os
import time
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger

from domogik.app.parts.foundation import Foundation
from domogik.app.parts.xpl_node import XplNode
from domogik.app.reactor import IWholeReactor
from domogik.components.events import EventStream
from domogik.config.files import clear_temporaries
from domogik.config.former_temporaries import clear_former_temporaries
from domogik.control.package import PackageControl
from domogik.manager.fleet.hosts import Hosts
from domogik.manager.jobs import Jobs
from domogik.manager.packages.all_hosts import Packages
from domogik.manager.packages.archives import Archives
from domogik.manager.packages.local import LocalPackages
from domogik.manager.packages.offers import MainHostOffers
from domogik.manager.packages.remote import PackageHosts
from domogik.manager.packages.repositories import Repositories
from domogik.manager.packages.rest_servers import RestServers
from domogik.manager.plugins.plugins import Plugins
from domogik.manager.trust import Trust
from domogik.packages.http.fetch import Fetcher
from domogik.packages.needs.dependencies import DependencyChecker
from domogik.packages.needs.environment import EnvironmentMaker, PythonEnvironment
from domogik.packages.repositories.cache import Cache
from domogik.packages.store.changes import Store
from domogik.packages.store.installation import Installation
from domogik.packages.store.installed import Inventory
from domogik.supervisor.processes.command import run
from domogik.threads import threads_of
from domogik.xpl.node.identity import Identity


@attrs.frozen
class ManagerParts:
    """The parts of the manager that installing packages needs."""

    plugins: Plugins
    trust: Trust
    reload: Callable[[], Awaitable[None]]
    handles_externals: bool


@attrs.define(eq=False, kw_only=True)
class PackageServices:
    """Makes and connects the parts that handle packages; `packages` is their interface.

    `manager` is None in a separate REST. `address(host)` returns the URL at which that host reaches
    REST, or raises `NotPossible`. `has_rest`: the package lists of all hosts are kept, so that REST
    can answer at once.
    """

    _reactor: IWholeReactor
    _foundation: Foundation
    _xpl_node: XplNode
    _identity: Identity
    _events: EventStream
    _hosts: Hosts
    _address: Callable[[str], str]
    _has_rest: bool
    _jobs: Jobs
    _manager: ManagerParts | None = None
    packages: Packages = attrs.field(init=False)
    _fetcher: Fetcher = attrs.field(init=False)
    _repositories: Repositories = attrs.field(init=False)
    _others: PackageHosts = attrs.field(init=False)
    _local_host: LocalPackages | None = attrs.field(init=False, default=None)
    _parts: tuple[Any, ...] = attrs.field(init=False, default=())
    _log: Logger = Logger()

    def __attrs_post_init__(self) -> None:
        foundation, thread = self._foundation, threads_of(self._reactor)
        home, host = foundation.home, foundation.settings.hostname
        bus = self._xpl_node.bus
        cache = cache_directory(foundation)
        self._fetcher = Fetcher(self._reactor, thread)
        self._repositories = Repositories(
            sources_path=home.sources,
            uploads=home.uploads,
            cache=Cache(cache, self._fetcher, thread, time.time, home.trust),
            archives=Archives(cache / "archives", self._fetcher, thread),
            in_thread=thread,
            events=self._events,
            today=_now,
        )
        own = host if self._manager is not None else None
        self._others = PackageHosts(self._identity, bus, self._events, self._hosts.asking, own)
        store, elsewhere = Store(home), None
        if self._manager is not None:
            self._local_host = self._make_local_host(self._manager, store)
            rests = RestServers(self._identity, bus)
            elsewhere = MainHostOffers(host, rests, self._others)
            control = PackageControl(
                clock=self._reactor,
                identity=self._identity,
                bus=bus,
                local_host=self._local_host,
                trust=self._manager.trust,
                rests=rests,
                elsewhere=elsewhere,
                events=self._events,
            )
            self._parts = (rests, control)
        self.packages = Packages(
            host=host,
            repositories=self._repositories,
            hosts=self._hosts,
            others=self._others,
            jobs=self._jobs,
            store=store,
            in_thread=thread,
            address=self._address,
            local_host=self._local_host,
            elsewhere=elsewhere,
        )

    def _make_local_host(self, manager: ManagerParts, store: Store) -> LocalPackages:
        foundation, thread = self._foundation, threads_of(self._reactor)
        command = partial(run, self._reactor)
        return LocalPackages(
            host=foundation.settings.hostname,
            managed=foundation.settings.package_mode,
            handles_externals=manager.handles_externals,
            configuration_file=foundation.configuration_file,
            plugins=manager.plugins,
            store=store,
            fetch=self._fetch,
            updates_directory=foundation.home.run / "updates",
            jobs=self._jobs,
            own_environment=PythonEnvironment.own(command),
            environments=EnvironmentMaker(command, thread),
            make_checker=lambda release_of: DependencyChecker(
                command, thread, release_of, self._repositories.newest_plugin
            ),
            in_thread=thread,
            reload=manager.reload,
            events=self._events,
            clock=self._reactor,
        )

    async def _fetch(self, installation: Installation) -> Path:
        ref, place, told = installation.ref, installation.place, installation.fetched
        if place is None:
            return await self._repositories.archive(ref, told)
        if place.sha256 is None:
            place = attrs.evolve(place, sha256=self._repositories.signed_digest(ref))
        return await self._repositories.fetch(ref, place, told)

    # Life

    async def recover(self) -> None:
        """Finish or undo interrupted changes, and remove temporary files that a crash left."""
        if self._local_host is not None:
            places, thread = tuple(temporary_places(self._foundation)), threads_of(self._reactor)
            removed = await thread(clear_temporaries, places)
            former = await thread(clear_former_temporaries, places, time.time())
            for path in (*removed, *former):
                self._log.info("{path} was left by a crash: removed", path=str(path))
            await self._local_host.recover()
        await self._repositories.look()

    def update(self, inventory: Inventory) -> None:
        """Apply the inventory, and read the repositories again."""
        if self._local_host is not None:
            self._local_host.update_list(inventory)
        _ = Deferred.fromCoroutine(self._look()).addErrback(
            lambda failure: self._log.failure("reading the repositories", failure)
        )

    async def _look(self) -> None:
        known = {one.url for one in self.packages.repositories()}
        await self._repositories.look()
        if known and any(one.url not in known for one in self.packages.repositories()):
            await self.packages.refresh()

    async def start(self) -> None:
        """Start answering, and announce what is installed."""
        if self._local_host is not None:
            await self._local_host.look()
        if self._has_rest:
            self._parts = (*self._parts, self._others)
        for part in self._parts:
            part.start()

    async def resume(self) -> None:
        """Finish the updates that were interrupted."""
        if self._local_host is not None:
            await self._local_host.resume()

    def stop(self) -> Deferred[None]:
        """Stop the parts and close all connections; fires when they are closed."""
        for part in reversed(self._parts):
            part.stop()
        return self._fetcher.close()


def cache_directory(foundation: Foundation) -> Path:
    """Return `cache_path`, relative to the home, or the home's cache directory."""
    setting = foundation.configuration.get("domogik", "cache_path")
    if setting is None or not setting.text():
        return foundation.home.cache
    return foundation.home.path / Path(os.path.expanduser(setting.text()))  # noqa: PTH111 - "~nobody" stays


def temporary_places(foundation: Foundation) -> Iterator[Path]:
    """Return the directories to clear of temporary files, without those of packages and plugins."""
    home, cache = foundation.home, cache_directory(foundation)
    yield from (cache, cache / "archives", *(file.parent for file in foundation.files))
    others = {home.store, home.rinor, home.daemons, home.log, home.data / "plugins"}
    for name, directories, _ in os.walk(home.path):
        directory = Path(name)
        yield directory
        directories[:] = [one for one in directories if directory / one not in others]


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
