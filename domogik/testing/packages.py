"""Packages in memory, for tests of the interfaces and of other programs."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from domogik.components.events import EventStream
from domogik.errors import NotPossible, OperationFailed, UnknownComponent
from domogik.manager.jobs import Jobs, Progress
from domogik.manager.packages.interfaces import InstalledPackage, IPackages, RepositoryInfo
from domogik.packages.archive.tarball import BrokenArchive
from domogik.packages.descriptor.package import Package, UdevRule
from domogik.packages.descriptor.reference import PackageRef, fullname
from domogik.packages.needs.dependencies import DependencyState
from domogik.packages.publish.uploads import OtherPackage
from domogik.packages.repositories.index import Index, Offer
from domogik.packages.sources import Source

_NAME_IN_ARCHIVE = re.compile(rb"(plugin|external)-([a-z0-9_]{1,8})-([0-9][A-Za-z0-9.]*)")


def package(id: str, release: str = "1.0", type: str = "plugin", **fields: object) -> Package:
    """Return a package with that id, as read from a descriptor."""
    given: dict[str, object] = {
        "technology": "service",
        "description": f"What {id} does",
        "documentation": "",
        "author": "Somebody",
        "author_email": "somebody@example.org",
        "changelog": f"{release}: better",
        "min_version": "0.1.0",
        "path": Path(f"{id}.xml"),
    }
    given.update(fields)
    return Package(type, id, release, **given)  # type: ignore[arg-type]


def offer(
    id: str,
    release: str = "1.0",
    type: str = "plugin",
    *,
    repository: str = "http://repository.example/stable",
    priority: int = 500,
    icon: Path | None = None,
    sha256: str | None = None,
    size: int | None = None,
    **fields: object,
) -> Offer:
    """Return a release that a repository offers."""
    url = f"{repository}/download/{type}/{id}/{release}"
    source = Source(priority, repository)
    return Offer(
        package(id, release, type, **fields), source, url=url, sha256=sha256, size=size, icon=icon
    )


@implementer(IPackages)
@attrs.define(eq=False)
class FakePackages:
    """Carries out all operations at once in memory; changes are real jobs.

    `offer` adds available releases, `archives` and `icons` are the files to serve. `failures` has
    the errors of operations by operation (`install`) and subject (`plugin-demo`, `repositories`);
    `held` has Deferreds that they wait for. `done` lists the changes in order. The bytes of an
    upload name its package: `plugin-demo-1.0`.
    """

    host: str = "vm"
    events: EventStream = attrs.field(factory=lambda: EventStream(lambda: 1000.0))
    others: tuple[str, ...] = ()
    sources: list[RepositoryInfo] = attrs.field(factory=list)
    archives: dict[PackageRef, Path] = attrs.field(factory=dict)
    icons: dict[tuple[str, str, str | None], Path] = attrs.field(factory=dict)
    states: dict[str, tuple[DependencyState, ...]] = attrs.field(factory=dict)
    rules: dict[str, tuple[UdevRule, ...]] = attrs.field(factory=dict)
    failures: dict[tuple[str, str], Exception] = attrs.field(factory=dict)
    held: dict[tuple[str, str], Deferred[None]] = attrs.field(factory=dict)
    done: list[tuple[str, ...]] = attrs.field(factory=list)
    uploaded: list[bytes] = attrs.field(factory=list)
    _index: Index = attrs.field(factory=Index)
    _installed: dict[tuple[str, str], InstalledPackage] = attrs.field(factory=dict)
    #: that of the hosts, where REST is asked about jobs
    queue: Jobs = attrs.field()

    @queue.default
    def _own_queue(self) -> Jobs:
        return Jobs(self.events, lambda: 1000.0)

    def offer(self, *offers: Offer) -> FakePackages:
        """Add releases that repositories offer."""
        self._index = Index((*self._index.offers, *offers), 1000.0)
        return self

    def put(self, *installed: InstalledPackage) -> FakePackages:
        """Add or replace installed packages."""
        for one in installed:
            self._installed[one.host, one.ref.fullname] = one
        return self

    def repositories(self) -> tuple[RepositoryInfo, ...]:
        return tuple(sorted(self.sources, key=lambda source: -source.priority))

    async def refresh(self) -> tuple[RepositoryInfo, ...]:
        async def work(progress: Progress) -> tuple[RepositoryInfo, ...]:
            await self._about("refresh", "repositories", progress)
            return self.repositories()

        found: tuple[RepositoryInfo, ...] = await self.queue.run("refresh", "repositories", work)
        return found

    def offers(self, type: str | None = None) -> tuple[Offer, ...]:
        return self._index.offers if type is None else self._index.available(type)

    def available(self, host: str, type: str) -> tuple[Offer, ...]:
        self._known(host)
        there = {package.ref.id for package in self.installed(host, type)}
        return tuple(one for one in self._index.available(type) if one.package.id not in there)

    def installed(
        self, host: str | None = None, type: str | None = None
    ) -> tuple[InstalledPackage, ...]:
        return tuple(
            self._with_updates(package)
            for place, package in sorted(self._installed.items())
            if host in (None, place[0]) and type in (None, package.ref.type)
        )

    async def install(
        self,
        host: str,
        type: str,
        id: str,
        release: str | None = None,
        *,
        with_dependencies: bool = False,
    ) -> PackageRef:
        ref = self._index.find(type, id, release).ref
        return await self._switch("install", host, ref)

    async def update(
        self, host: str, type: str, id: str, release: str | None = None, *, again: bool = False
    ) -> PackageRef:
        self._find(host, type, id)
        ref = self._index.find(type, id, release).ref
        return await self._switch("update", host, ref)

    async def rollback(self, host: str, type: str, id: str) -> PackageRef:
        found = self._find(host, type, id)
        earlier = [release for release in found.releases if release != found.ref.release]
        if not earlier:
            raise NotPossible(f"No other release of {found.ref.fullname} is kept")
        return await self._switch("rollback", host, PackageRef(type, id, earlier[-1]))

    async def uninstall(self, host: str, type: str, id: str, *, with_data: bool = False) -> None:
        found = self._find(host, type, id)
        verb = "purge" if with_data else "uninstall"

        async def work(progress: Progress) -> None:
            await self._about("uninstall", found.ref.fullname, progress)
            self.done.append((verb, host, str(found.ref)))
            self._installed.pop((host, found.ref.fullname), None)

        await self.queue.run("uninstall", found.ref.fullname, work, host)

    async def hold(self, host: str, type: str, id: str, *, held: bool) -> None:
        self.put(attrs.evolve(self._find(host, type, id), held=held))

    async def dependencies(
        self, host: str, type: str, id: str, release: str | None = None
    ) -> tuple[DependencyState, ...]:
        self._known(host)
        failure = self.failures.get(("dependencies", fullname(type, id)))
        if failure is not None:
            raise failure
        if release is None:
            self._find(host, type, id)
        else:
            self._index.find(type, id, release)
        return self.states.get(fullname(type, id), ())

    async def udev_rules(self, host: str, type: str, id: str) -> tuple[UdevRule, ...]:
        failure = self.failures.get(("udev_rules", fullname(type, id)))
        if failure is not None:
            raise failure
        return self.rules.get(self._find(host, type, id).ref.fullname, ())

    async def upload(self, path: Path, named: PackageRef | None = None) -> PackageRef:
        content = _content(path)
        self.uploaded.append(content)
        match = _NAME_IN_ARCHIVE.search(content)
        if match is None:
            raise BrokenArchive("it is not a gzipped tar archive")
        ref = PackageRef(*(part.decode("ascii") for part in match.groups()))
        if named is not None and ref != named:
            raise OtherPackage(ref)
        self.offer(offer(ref.id, ref.release, ref.type, repository="file:///uploads", priority=0))
        return ref

    async def archive(self, type: str, id: str, release: str) -> Path:
        ref = self._index.find(type, id, release).ref
        failure = self.failures.get(("archive", ref.fullname))
        if failure is not None:
            raise failure
        if ref not in self.archives:
            raise OperationFailed("Error on putting package in cache")
        return self.archives[ref]

    def icon(self, type: str, id: str, release: str | None = None) -> Path | None:
        return self.icons.get((type, id, release))

    def _with_updates(self, installed: InstalledPackage) -> InstalledPackage:
        ref = installed.ref
        updates = self._index.updates(ref.type, ref.id, ref.release)
        return attrs.evolve(installed, updates=updates)

    def _known(self, host: str) -> None:
        if host not in (self.host, *self.others):
            raise UnknownComponent(f"No manager of a host {host} was ever heard")

    def _find(self, host: str, type: str, id: str) -> InstalledPackage:
        self._known(host)
        found = self._installed.get((host, fullname(type, id)))
        if found is None:
            raise UnknownComponent(f"Package {type}-{id} is not installed on {host}")
        return found

    async def _switch(self, verb: str, host: str, ref: PackageRef) -> PackageRef:
        self._known(host)

        async def work(progress: Progress) -> PackageRef:
            await self._about(verb, ref.fullname, progress)
            before = self._installed.get((host, ref.fullname))
            releases: Iterable[str] = () if before is None else before.releases
            kept = tuple(dict.fromkeys((*releases, ref.release)))
            enabled = before is not None and before.enabled
            self.put(
                InstalledPackage(
                    ref,
                    host,
                    enabled=enabled,
                    updates=(),
                    releases=kept,
                    held=bool(before and before.held),
                )
            )
            self.done.append((verb, host, str(ref)))
            return ref

        subject = ref.fullname if host == self.host else f"{ref.fullname}@{host}"
        found: PackageRef = await self.queue.run(verb, subject, work, ref.release)
        return found

    async def _about(self, verb: str, subject: str, progress: Progress) -> None:
        progress.stage(f"{verb} {subject}", 50.0)
        held = self.held.get((verb, subject))
        if held is not None:
            await held
        failure = self.failures.get((verb, subject))
        if failure is not None:
            raise failure


def _content(path: Path) -> bytes:
    return path.read_bytes()
