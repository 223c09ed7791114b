"""The packages of all hosts: this host is called directly, the others over xPL."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import takewhile
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from domogik.components.model import Component, ComponentId, Kind
from domogik.errors import (
    DomogikError,
    FetchFailed,
    NoAnswer,
    NotPossible,
    OperationFailed,
    UnknownComponent,
)
from domogik.manager.fleet.hosts import Hosts
from domogik.manager.jobs import Jobs, Progress
from domogik.manager.packages.interfaces import InstalledPackage, IPackages, RepositoryInfo
from domogik.manager.packages.local import BOTH, LocalPackages
from domogik.manager.packages.offers import MainHostOffers, is_wanted, offered
from domogik.manager.packages.remote import PackageHosts
from domogik.manager.packages.repositories import Repositories
from domogik.packages.descriptor.package import UdevRule
from domogik.packages.descriptor.reference import InvalidReference, PackageRef, fullname
from domogik.packages.descriptor.requirements import PLUGIN, BadRequirement, parse_requirement
from domogik.packages.http.download import sha256_of
from domogik.packages.needs.dependencies import DependencyState
from domogik.packages.repositories.index import Offer, UnknownRelease
from domogik.packages.store.changes import RINOR, XPL, NotInstalled, Store
from domogik.packages.store.installation import Place
from domogik.threads import Threads

#: errors that callers tell apart
_WITH_NAMES = (
    OperationFailed,
    UnknownComponent,
    UnknownRelease,
    InvalidReference,
    NoAnswer,
    FetchFailed,
)
#: where a package keeps its icon
_ICONS = ("icon.png", "src/share/domogik/design/{type}/{id}/icon.png")


@implementer(IPackages)
@attrs.define(eq=False, kw_only=True)
class Packages:
    """`IPackages` over this host (None if no manager runs in this process) and the others.

    `address(host)` returns the URL at which that host reaches REST, or raises `NotPossible`.
    """

    host: str
    _repositories: Repositories
    _hosts: Hosts
    _others: PackageHosts
    _jobs: Jobs
    _store: Store
    _in_thread: Threads
    _address: Callable[[str], str]
    _local_host: LocalPackages | None = None
    _elsewhere: MainHostOffers | None = None
    _log: Logger = Logger()

    def __attrs_post_init__(self) -> None:
        self._others.on_gone = self._gone

    # Reading

    def repositories(self) -> tuple[RepositoryInfo, ...]:
        return self._repositories.all()

    def offers(self, type: str | None = None) -> tuple[Offer, ...]:
        index = self._repositories.index
        return index.offers if type is None else index.available(type)

    def available(self, host: str, type: str) -> tuple[Offer, ...]:
        self._check_heard(host)
        there = {package.ref.id for package in self._of(host) if package.ref.type == type}
        return tuple(offer for offer in self.offers(type) if offer.package.id not in there)

    def installed(
        self, host: str | None = None, type: str | None = None
    ) -> tuple[InstalledPackage, ...]:
        return tuple(
            attrs.evolve(entry, updates=self._updates(entry))
            for entry in self._of(host)
            if type in (None, entry.ref.type)
        )

    def _updates(self, entry: InstalledPackage, *, again: bool = False) -> tuple[Offer, ...]:
        """What is newer; up to the newest that was given up here, unless it is to be tried again"""
        ref = entry.ref
        newer = self._repositories.index.updates(ref.type, ref.id, ref.release)
        return newer if again else tuple(takewhile(partial(_is_untried, entry), newer))

    def _of(self, host: str | None) -> tuple[InstalledPackage, ...]:
        """By host and name."""
        own: tuple[InstalledPackage, ...] = ()
        if self._local_host is not None and host in (None, self.host):
            own = self._local_host.installed()
        found = (*own, *self._others.installed(host))
        return tuple(sorted(found, key=lambda entry: (entry.host, entry.ref.fullname)))

    def icon(self, type: str, id: str, release: str | None = None) -> Path | None:
        if release is not None:
            ref = PackageRef(type, id, release)
            try:
                return self._repositories.index.find(ref.type, ref.id, ref.release).icon
            except UnknownRelease:
                return None
        directory = self._store.rinor_link(type, id)
        paths = (directory / name.format(type=type, id=id) for name in _ICONS)
        return next((path for path in paths if path.is_file()), None)

    # Repositories

    async def refresh(self) -> tuple[RepositoryInfo, ...]:
        async def work(progress: Progress) -> None:
            await self._repositories.refresh(progress)
            self._others.ask("*")

        await self._jobs.run("refresh", "repositories", work)
        return self.repositories()

    async def upload(self, path: Path, named: PackageRef | None = None) -> PackageRef:
        self._check_managed()

        async def work(progress: Progress) -> PackageRef:
            progress.stage("checking")
            ref = await self._repositories.accept_upload(path, named)
            await self._repositories.refresh(progress, only_uploads=True)
            offer = self._repositories.index.find(ref.type, ref.id, ref.release)
            if offer.sha256 not in (None, await self._in_thread(sha256_of, path)):
                raise OperationFailed(
                    f"{ref} was uploaded, but {offer.source.url} offers another archive as that "
                    "release and comes first: give yours another release"
                )
            return ref

        ref: PackageRef = await self._jobs.run("upload", "repositories", work, path)
        return ref

    async def archive(self, type: str, id: str, release: str) -> Path:
        return await self._repositories.archive(PackageRef(type, id, release))

    # Changing

    async def install(
        self,
        host: str,
        type: str,
        id: str,
        release: str | None = None,
        *,
        with_dependencies: bool = False,
    ) -> PackageRef:
        self._check_host(host)
        ref = self._offered(type, id, release)
        if self._local_host is not None and host == self.host:
            await _told(self._local_host.install(ref, BOTH, None, with_dependencies))
            return ref

        async def work(progress: Progress) -> None:
            before = self._release_at(host, type, id)
            await self._install_there(host, ref, progress, with_dependencies)
            await self._serve(host, ref, before)

        await self._jobs.run("install", f"{ref.fullname}@{host}", work, (ref, with_dependencies))
        return ref

    async def _install_there(
        self, host: str, ref: PackageRef, progress: Progress, with_dependencies: bool = False
    ) -> None:
        """The first part: that host fetches the archive from here."""
        progress.stage("fetching")
        place = await self._place(host, ref)
        progress.stage(f"installing on {host}")
        await self._others.install(host, ref, XPL, place, with_dependencies=with_dependencies)

    async def _place(self, host: str, ref: PackageRef) -> Place:
        """Where that host gets the archive, which is here by then."""
        address = self._address(host)
        path = await self._repositories.archive(ref)
        sha256 = await self._in_thread(sha256_of, path)
        return Place(f"{address}/package/download/{ref.type}/{ref.id}/{ref.release}", sha256)

    async def _serve(self, host: str, ref: PackageRef, before: str | None) -> None:
        """The second part, on this host; where it fails the first is put back."""
        try:
            if self._local_host is not None:
                await _told(self._local_host.install(ref, RINOR))
            else:
                place = await self._place(self.host, ref)
                await self._others.install(self.host, ref, RINOR, place)
        except DomogikError as error:
            await self._put_back(host, ref, before)
            raise OperationFailed(f"Error on 'rinor' part : {error}", str(error)) from error

    async def _put_back(self, host: str, ref: PackageRef, before: str | None) -> None:
        try:
            if before is None:
                await self._others.uninstall(host, ref.type, ref.id, with_data=False)
            elif before != ref.release:
                old = PackageRef(ref.type, ref.id, before)
                await self._install_there(host, old, Progress(lambda **changes: None))
        except DomogikError as error:
            self._log.error(
                "{ref} stays on {host}: {error}", ref=str(ref), host=host, error=str(error)
            )

    async def update(
        self, host: str, type: str, id: str, release: str | None = None, *, again: bool = False
    ) -> PackageRef:
        self._check_host(host)
        entry = self._entry_at(host, type, id)
        if entry is None:
            raise UnknownComponent(f"Package '{fullname(type, id)}' is not installed on {host}")
        if release is None:
            newer = self._updates(entry, again=again)
            release = newer[0].package.release if newer else entry.ref.release
        if release == entry.ref.release:
            return entry.ref
        ref = self._offered(type, id, release)
        if self._local_host is not None and host == self.host:
            await _told(self._local_host.update(ref))
            return ref

        async def work(progress: Progress) -> None:
            await self._update_there(host, ref, progress)

        await self._jobs.run("update", f"{ref.fullname}@{host}", work, ref)
        return ref

    async def _update_there(self, host: str, ref: PackageRef, progress: Progress) -> None:
        """The archive is here before anything stops; that host keeps the old release stored."""
        before = self._release_at(host, ref.type, ref.id)
        self._address(host)
        await self._repositories.archive(ref)
        runs = ref.type == "plugin" and await self._runs_there(host, ref.id)
        if runs:
            await self._hosts.command(host, "stop", ref.id)
        try:
            await self._install_there(host, ref, progress)
            if runs:
                await self._hosts.command(host, "start", ref.id)
            await self._serve(host, ref, before)
        except DomogikError as error:
            if runs:
                await self._give_up_there(host, ref.id)
            await self._put_back(host, ref, before)
            again = await self._start_there(host, ref.id) if runs else "is installed again"
            text = f"{ref} was given up: {str(error).rstrip('.')}. {before} {again}"
            raise OperationFailed(text, str(error)) from error

    async def _runs_there(self, host: str, plugin: str) -> bool:
        """As it is now; the list that we have may be a moment old."""
        try:
            detail = await self._hosts.detail(Component(ComponentId(Kind.PLUGIN, plugin), host))
        except OperationFailed:  # a disabled one is unknown there, and off
            return False
        return detail.component.state.is_on

    async def _give_up_there(self, host: str, plugin: str) -> None:
        """What failed may still be ending, or be tried again at any moment: then it counts as
        running, and nobody may put another release in its place."""
        with contextlib.suppress(DomogikError):  # it does not run, which is as well
            await self._hosts.command(host, "stop", plugin)

    async def _start_there(self, host: str, plugin: str) -> str:
        try:
            await self._hosts.command(host, "start", plugin)
        except DomogikError as error:
            return f"is installed again, and does not start: {error}"
        return "runs again"

    async def rollback(self, host: str, type: str, id: str) -> PackageRef:
        other = f"update {fullname(type, id)} on {host} to the release that worked, or "
        here = self._here(host, f"{other}on {host} itself: dmg_pkgmgr rollback {id}")
        ref: PackageRef = await _told(here.rollback(type, id))
        return ref

    async def hold(self, host: str, type: str, id: str, *, held: bool) -> None:
        command = "hold" if held else "unhold"
        here = self._here(host, f"on {host} itself: dmg_pkgmgr {command} {id}")
        await _told(here.hold(type, id, held=held))

    async def uninstall(self, host: str, type: str, id: str, *, with_data: bool = False) -> None:
        self._check_host(host)
        name = fullname(type, id)
        if self._local_host is not None and host == self.host:
            keep = self._is_elsewhere(type, id, self.host)
            await _told(self._local_host.uninstall(type, id, with_data=with_data, keep_served=keep))
            return

        async def work(progress: Progress) -> None:
            await self._others.uninstall(host, type, id, with_data=with_data)
            await self._unserve(host, type, id)

        await self._jobs.run("uninstall", f"{name}@{host}", work, with_data)

    async def _unserve(self, host: str, type: str, id: str) -> None:
        """What was served of it here goes with the last host that had it, which was `host`."""
        if self._local_host is not None and not self._is_elsewhere(type, id, host):
            with contextlib.suppress(NotInstalled):
                await self._in_thread(self._store.uninstall, type, id)

    def _is_elsewhere(self, type: str, id: str, host: str) -> bool:
        return any(
            (one.ref.type, one.ref.id) == (type, id) and one.host != host for one in self._of(None)
        )

    def _gone(self, host: str, type: str, id: str) -> None:
        """Remove what was served for a host that does not list the package any more."""
        _ = Deferred.fromCoroutine(self._unserve(host, type, id)).addErrback(
            lambda failure: self._log.failure("removing {id}", failure, id=id)
        )

    # Dependencies

    async def dependencies(
        self, host: str, type: str, id: str, release: str | None = None
    ) -> tuple[DependencyState, ...]:
        self._check_host(host)
        here = self._local_host if host == self.host else None
        if release is not None:
            found = self._repositories.index.find(type, id, release).package.dependencies
        elif here is not None:
            found = here.package(type, id).dependencies
        else:
            found = await self._others.dependencies(host, type, id)
        if not found:
            return ()
        if here is not None:
            states = await here.check(found, id if type == "plugin" else "")
            return states if self._elsewhere is None else await self._elsewhere.complete(states)
        states = await self._others.check(host, found)
        return tuple(self._offered_here(host, state) for state in states)

    def _offered_here(self, host: str, state: DependencyState) -> DependencyState:
        """A plugin that is missing there may be offered here, where that host would get it."""
        if not is_wanted(state):
            return state
        try:
            requirement = parse_requirement(state.dependency, PLUGIN)
        except BadRequirement:
            return state
        return offered(state, self._repositories.newest_plugin(requirement) or "", host)

    async def udev_rules(self, host: str, type: str, id: str) -> tuple[UdevRule, ...]:
        self._check_host(host)
        fullname(type, id)
        if self._local_host is not None and host == self.host:
            return self._local_host.package(type, id).udev_rules
        return await self._others.udev_rules(host, type, id)

    # What all of them need

    def _offered(self, type: str, id: str, release: str | None) -> PackageRef:
        """Return the release that is meant; raises `InvalidReference`, `UnknownRelease`."""
        fullname(type, id)
        return self._repositories.index.find(type, id, release).ref

    def _release_at(self, host: str, type: str, id: str) -> str | None:
        entry = self._entry_at(host, type, id)
        return entry.ref.release if entry is not None else None

    def _entry_at(self, host: str, type: str, id: str) -> InstalledPackage | None:
        name = (type, id)
        return next((one for one in self._of(host) if (one.ref.type, one.ref.id) == name), None)

    def _check_managed(self) -> None:
        if self._local_host is not None:
            self._local_host.check_managed()

    def _check_host(self, host: str) -> None:
        """Raise `UnknownComponent` for a host that was never heard."""
        self._check_managed()
        self._check_heard(host)

    def _check_heard(self, host: str) -> None:
        if host != self.host and not self._hosts.is_known(host):
            raise UnknownComponent(f"No manager of a host {host} was ever heard")

    def _here(self, host: str, instead: str) -> LocalPackages:
        """Where no message exists for it; `instead` says what a person can do."""
        self._check_host(host)
        if self._local_host is None or host != self.host:
            raise NotPossible(f"Not available from another host: {instead}")
        return self._local_host


def _is_untried(entry: InstalledPackage, offer: Offer) -> bool:
    return offer.package.release not in entry.given_up


async def _told(work: Awaitable[Any]) -> Any:
    """What was tried and refused here is `OperationFailed`, as it would be from another host.

    Errors about unknown names, missing rights and failed downloads stay as they are.
    """
    try:
        return await work
    except _WITH_NAMES:
        raise
    except DomogikError as error:
        raise OperationFailed(str(error), plain=error.plain) from error
