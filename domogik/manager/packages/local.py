"""The packages of this host, and the jobs that change them."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from domogik.components.events import EventStream
from domogik.config.edit import remove_value, set_value
from domogik.errors import DomogikError, NotPossible, OperationFailed
from domogik.manager.jobs import Jobs, Progress
from domogik.manager.packages.interfaces import InstalledPackage
from domogik.manager.packages.stored import look
from domogik.manager.packages.update import Note, PackageUpdate, at_rest
from domogik.manager.plugins.plugins import Plugins
from domogik.packages.descriptor.package import WHEELS, Dependency, Package
from domogik.packages.descriptor.reference import InvalidReference, PackageRef, fullname
from domogik.packages.descriptor.requirements import PYTHON, parse_requirement
from domogik.packages.needs.dependencies import DependencyChecker, DependencyState
from domogik.packages.needs.environment import (
    ENVIRONMENT,
    EnvironmentMaker,
    PythonEnvironment,
    interpreter,
)
from domogik.packages.store.changes import RINOR, NotInstalled, Staged, Store
from domogik.packages.store.install import Installer
from domogik.packages.store.installation import Installation, Place
from domogik.packages.store.installed import Installed, Inventory
from domogik.threads import Threads

NO_EXTERNALS = "This host doesn't handle external member packages. Please install it on main host"
DEVELOPMENT = (
    "Packages are listed and not managed in development mode: set package_path in [domogik] to "
    "switch package mode on"
)
#: the parts of a package on a host that is main host and target
BOTH = "both"
#: checks of dependencies that wait for their turn; each may start processes
MAX_CHECKS = 20


@attrs.define(eq=False, kw_only=True)
class LocalPackages:
    """Installed packages, jobs and dependencies of one host.

    `managed` is False in development mode, `handles_externals` says whether this manager looks for
    external members. `fetch` gets an archive, from its place or from the repositories. `reload`
    reads the configuration and what is installed again. Publishes `packages.changed` {host} when
    the list is another one, and after each installation.
    """

    host: str
    managed: bool
    _handles_externals: bool
    _configuration_file: Path
    _plugins: Plugins
    _store: Store
    _fetch: Callable[[Installation], Awaitable[Path]]
    _updates_directory: Path
    jobs: Jobs
    _own_environment: PythonEnvironment
    _environments: EnvironmentMaker
    _make_checker: Callable[[Callable[[str], str | None]], DependencyChecker]
    _in_thread: Threads
    _reload: Callable[[], Awaitable[None]]
    _events: EventStream
    _clock: IReactorTime
    _log: Logger = Logger()
    _installer: Installer = attrs.field(init=False)
    _update: PackageUpdate = attrs.field(init=False)
    _checker: DependencyChecker = attrs.field(init=False)
    _checks: DeferredSemaphore = attrs.field(init=False, factory=lambda: DeferredSemaphore(1))
    _inventory: Inventory = attrs.field(init=False, factory=lambda: Inventory({}, {}))
    _list: tuple[InstalledPackage, ...] = attrs.field(init=False, default=())
    _told: int = attrs.field(init=False, default=0)
    #: full name -> what the store knew of it when it was read last
    _stored: Mapping[str, Mapping[str, Any]] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self._installer = Installer(
            self._store, self._fetch, self._in_thread, self._plugins.is_up, self._prepare
        )
        self._update = PackageUpdate(
            installer=self._installer,
            plugins=self._plugins,
            in_thread=self._in_thread,
            changed=self._changed,
            directory=self._updates_directory,
            clock=self._clock,
            started=self._carry_on,
        )
        self._checker = self._make_checker(self._plugins.release_of)

    # What there is

    async def recover(self) -> None:
        """Finish or undo interrupted changes, before anything is read."""
        if self.managed:
            for sentence in await self._in_thread(self._store.recover):
                self._log.warn("{sentence}", sentence=sentence)

    async def resume(self) -> None:
        """Continue interrupted updates, once everything runs."""
        if self.managed:
            notes = await self._update.interrupted()
            for note in notes:
                if note.awaits_start:
                    self._update.await_start(note)
            resumed = [self._carry_on(note) for note in notes if not note.awaits_start]
            await gatherResults(resumed, consumeErrors=True)

    def _carry_on(self, note: Note) -> Deferred[Any]:
        work = partial(self._update.finish, note=note)
        return self._job("update", note.after, work, note).addErrback(
            lambda failure: self._log.error("{error}", error=failure.getErrorMessage())
        )

    def update_list(self, inventory: Inventory) -> None:
        """Apply the list of installed and enabled packages."""
        self._inventory = inventory
        found = tuple(self._listed(inventory))
        if found != self._list:
            self._list = found
            self._tell()

    def _listed(self, inventory: Inventory) -> Iterator[InstalledPackage]:
        enabled = self._plugins.enabled_names()
        everything = (*inventory.externals.values(), *inventory.plugins.values())
        for package in sorted(
            (installed.package for installed in everything), key=lambda one: one.full_name
        ):
            with contextlib.suppress(InvalidReference):
                is_enabled = package.type != "plugin" or package.id in enabled
                yield InstalledPackage(PackageRef.of(package), self.host, is_enabled)

    def _tell(self) -> None:
        self._told += 1
        self._events.publish("packages.changed", host=self.host)

    def installed(self) -> tuple[InstalledPackage, ...]:
        """What is installed, by name; what could be updated is not known here."""
        stored = self._stored
        return tuple(attrs.evolve(one, **stored.get(one.ref.fullname, {})) for one in self._list)

    async def look(self) -> None:
        """Read the facts that only the store has."""
        release_of = self._plugins.release_of
        self._stored = await self._in_thread(
            look, self._store, release_of, self._list, self._inventory
        )

    def package(self, type: str, id: str) -> Package:
        """The descriptor of an installed package; `UnknownComponent`, `InvalidReference`."""
        return self._found(type, id).package

    def _found(self, type: str, id: str) -> Installed:
        name = fullname(type, id)
        place = self._inventory.plugins if type == "plugin" else self._inventory.externals
        if id not in place:
            raise NotInstalled(f"Package '{name}' is not installed on {self.host}")
        return place[id]

    # What changes it

    async def install(
        self,
        ref: PackageRef,
        part: str,
        place: Place | None = None,
        with_dependencies: bool = False,
    ) -> None:
        """One part or `BOTH`, the archive from `place` or from the repositories.

        `with_dependencies`: a plugin gets an environment of its own, with what it needs of Python.
        Raises `OperationFailed`, `NotPossible`, and what fetching raises; then nothing has changed.
        """
        self.check_managed()
        if part != RINOR:
            self._check_handled(ref.type)

        async def work(installation: Installation) -> None:
            if part == RINOR:
                await self._installer.install(installation, RINOR)
                return
            with at_rest(self._plugins, ref.type, ref.id):
                await self._give_up(ref.type, ref.id)
                try:
                    if part == BOTH:
                        await self._installer.install_both(installation)
                    else:
                        await self._installer.install(installation)
                    await self._update.forget(ref.type, ref.id)
                finally:
                    await self._reload()

        request = (ref, part, with_dependencies)
        await self._job(
            "install", ref, work, request, place=place, with_dependencies=with_dependencies
        )

    def _job(
        self,
        kind: str,
        ref: PackageRef,
        work: Callable[[Installation], Awaitable[None]],
        request: object,
        *,
        place: Place | None = None,
        with_dependencies: bool = False,
    ) -> Deferred[Any]:
        """Publish `packages.changed` at the end, also where the list is the same as before."""

        async def all_of_it(progress: Progress) -> None:
            told = self._told
            try:
                await work(Installation(ref, progress.stage, place, with_dependencies))
            finally:
                await self.look()
            if told == self._told:
                self._tell()  # the same release anew

        return self.jobs.run(kind, ref.fullname, all_of_it, request)

    async def update(self, ref: PackageRef) -> None:
        """Another release of an installed package in one job; see `package_update.py`."""
        self.check_managed()
        self._update.end_probation(ref.type, ref.id)
        await self._job("update", ref, self._update_to, ref)

    async def _update_to(self, installation: Installation) -> None:
        ref = installation.ref
        self._found(ref.type, ref.id)
        if await self._in_thread(self._store.held, ref.type, ref.id):
            held = f"{ref.fullname} is held: take the hold off it first"
            plain = f"{ref.id} is held; first: dmg_pkgmgr unhold {ref.id}"
            raise OperationFailed(held, plain=plain)
        await self._update.run(installation)

    async def rollback(self, type: str, id: str) -> PackageRef:
        """To the release before; a plugin that runs is stopped for it and started again."""
        self.check_managed()
        name = self._found(type, id).package.full_name
        self._update.end_probation(type, id)

        async def work(progress: Progress) -> PackageRef:
            ref = await self._update.back(type, id)
            progress.stage("done")
            return ref

        ref: PackageRef = await self.jobs.run("rollback", name, work)
        return ref

    async def uninstall(
        self, type: str, id: str, *, with_data: bool = False, keep_served: bool = False
    ) -> None:
        """Everything it brought and its mark in `[plugins]`; `UnknownComponent`, `NotPossible`.

        With `keep_served`, what is served of it for other hosts stays.
        """
        self.check_managed()
        name = fullname(type, id)
        self._update.end_probation(type, id)

        async def work(progress: Progress) -> None:
            progress.stage("removing")
            try:
                self._found(type, id)
            except NotInstalled:
                self._check_handled(type)
                raise
            with at_rest(self._plugins, type, id):
                await self._give_up(type, id)
                # first: a package that comes back later is not enabled, whatever happens now
                unmarked = type == "plugin" and await self._edit(remove_value, "plugins", id)
                try:
                    await self._installer.uninstall(
                        type, id, with_data=with_data, keep_served=keep_served
                    )
                    await self._update.forget(type, id)
                except DomogikError:
                    if unmarked:
                        await self._edit(set_value, "plugins", id, "enabled")
                    raise
                finally:
                    await self._changed()

        await self.jobs.run("uninstall", name, work, with_data)

    async def hold(self, type: str, id: str, *, held: bool) -> None:
        """Set whether updates skip the package."""
        self.check_managed()
        self._found(type, id)
        await self._in_thread(self._store.hold, type, id, held)
        await self.look()

    def check_managed(self) -> None:
        """Raise `NotPossible` in development mode."""
        if not self.managed:
            raise NotPossible(DEVELOPMENT)

    def _check_handled(self, type: str) -> None:
        if type == "external" and not self._handles_externals:
            raise NotPossible(NO_EXTERNALS)

    async def _give_up(self, type: str, id: str) -> None:
        """One that waits for its next try must not have it in the middle of a change."""
        if type == "plugin" and self._plugins.plugin(id).is_tried_again:
            await self._plugins.stop(id)

    async def _edit(self, change: Callable[..., bool], *words: str) -> bool:
        try:
            changed = await self._in_thread(change, self._configuration_file, *words)
        except OSError as error:
            raise OperationFailed(f"{error.filename}: {error.strerror}") from error
        return changed

    async def _changed(self) -> None:
        await self._reload()
        await self.look()

    # Dependencies

    async def _prepare(self, installation: Installation, staged: Staged) -> None:
        """An environment of its own, if that was asked for or the present release has one."""
        ref = staged.ref
        if ref.type != "plugin":
            return
        wanted = installation.with_dependencies
        installed = self._inventory.plugins.get(ref.id)
        if not wanted:
            wanted = (await self._in_thread(_environment, installed))[0] is not None
        needs = [one.id for one in staged.content.package.dependencies if one.type == PYTHON]
        if wanted and needs:
            wheels = staged.directory / WHEELS
            await self._environments.make(
                staged.directory / ENVIRONMENT,
                [parse_requirement(text) for text in needs],
                wheels=wheels if wheels.is_dir() else None,
            )

    async def check(
        self, dependencies: Sequence[Dependency], plugin: str = ""
    ) -> tuple[DependencyState, ...]:
        """How they are met here, in the environment of that plugin if it is installed.

        One check at a time; raises `OperationFailed` where too many wait.
        """
        if len(self._checks.waiting) >= MAX_CHECKS:
            raise OperationFailed("Too many dependencies are being checked: ask again later")
        environment, wheels = await self._in_thread(
            _environment, self._inventory.plugins.get(plugin)
        )
        await self._checks.acquire()
        try:
            return await self._checker.check(
                dependencies,
                attrs.evolve(self._own_environment, python=environment)
                if environment
                else self._own_environment,
                wheels=wheels,
            )
        finally:
            self._checks.release()


def _environment(plugin: Installed | None) -> tuple[Path | None, Path | None]:
    """An installed plugin's own interpreter and wheels, where it has them."""
    if plugin is None or plugin.directory is None:
        return None, None
    wheels = plugin.directory / WHEELS
    return interpreter(plugin.directory / ENVIRONMENT), wheels if wheels.is_dir() else None
