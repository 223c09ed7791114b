"""Installs, rolls back and uninstalls packages, step by step.

The steps are: fetch, stage, check, refuse if it is running, switch, tidy. Before the switch an
error leaves everything unchanged.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

import attrs
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from domogik import __version__
from domogik.errors import DomogikError, NotPossible, OperationFailed
from domogik.packages.archive.unpacking import BrokenArchive, Limits
from domogik.packages.descriptor.package import Package
from domogik.packages.descriptor.reference import PackageRef, fullname
from domogik.packages.repositories.index import fits
from domogik.packages.store.changes import (
    RINOR,
    XPL,
    Change,
    NotInstalled,
    Staged,
    Store,
    StoreFailed,
)
from domogik.packages.store.installation import Installation
from domogik.threads import Threads

_log = Logger()


class PackageRunning(NotPossible):
    """The plugin is running; the text is the one that clients compare.

    It is the same for an uninstallation.
    """

    def __init__(self, id: str) -> None:
        super().__init__(
            f"Plugin '{id}' is running. Stop it before installing plugin.",
            plain=f"{id} is running; first: dmg_ctl stop {id}",
        )


class NeedsNewerDomogik(NotPossible):
    """The package requires a later release of Domogik."""


class NoEarlierRelease(NotPossible):
    """No earlier release of the package is stored."""


async def _no_preparation(installation: Installation, staged: Staged) -> None:
    pass


def check_version(package: Package, version: str = __version__) -> None:
    """Raise `NeedsNewerDomogik` if the package requires a later release."""
    if not fits(package, version):
        raise NeedsNewerDomogik(
            f"This package needs a Domogik version >= {package.min_version}. Actual is {version}. "
            "Installation ABORTED!"
        )


@attrs.define(eq=False)
class Installer:
    """Changes which packages are installed on this host.

    `fetch_archive` returns the archive of a release as a file. `is_running(plugin)` is called in
    the reactor. `prepare` is called with what was staged and may add to its directory, such as a
    virtual environment; its error cancels the installation. Changes of one package wait for each
    other. A switch that has begun is completed, even if its caller is cancelled.
    """

    store: Store
    _fetch_archive: Callable[[Installation], Awaitable[Path]]
    _in_thread: Threads
    _is_running: Callable[[str], bool]
    _prepare: Callable[[Installation, Staged], Awaitable[None]] = _no_preparation
    _limits: Limits = Limits()
    _version: str = __version__
    _keep: int = 3
    _locks: dict[str, DeferredLock] = attrs.field(init=False, factory=dict)

    async def install(self, installation: Installation, part: str = XPL) -> Change:
        """Install one part of a release; the result can be passed to `undo`.

        `rinor` of a release that is installed here copies nothing. Raises `PackageRunning` (part
        `xpl`), `BrokenArchive`, `NeedsNewerDomogik`, `ManualDescriptor`, `StoreFailed`, and what
        `fetch_archive` and `prepare` raise.
        """
        ref = installation.ref
        async with self._lock(ref.type, ref.id):
            if part == RINOR and await self._in_thread(self.store.present, ref.type, ref.id) == ref:
                change = await self._in_thread(self.store.switch, ref, RINOR)
            else:
                self._refuse_running(ref.type, ref.id, part)
                staged = await self._stage(installation)
                change = await self._switch_to(installation, staged, part)
            await self._tidy(installation, change)
        return change

    async def install_both(self, installation: Installation) -> None:
        """Install both parts, for a main host that is also the target, or none.

        Raises as `install` does, and `OperationFailed` if the second part failed.
        """
        change = await self.install(installation, XPL)
        try:
            await self.install(installation, RINOR)
        except DomogikError as error:
            text = f"Error on 'rinor' part : {error}"
            try:
                await self.undo(change)
            except DomogikError as second:
                text = f"{text}. The 'xpl' part stays installed, for it cannot be undone: {second}"
            raise OperationFailed(text, str(error)) from error

    async def stage(self, installation: Installation) -> Staged:
        """Fetch, unpack and prepare a release, while the old one is still in use.

        `switch_to` or `discard` has to follow. Raises as `install` does.
        """
        async with self._lock(installation.ref.type, installation.ref.id):
            return await self._stage(installation)

    async def switch_to(self, installation: Installation, staged: Staged) -> Change:
        """Switch to the staged release. The former one stays stored for `undo`, until `tidy`."""
        async with self._lock(staged.ref.type, staged.ref.id):
            return await self._switch_to(installation, staged, XPL)

    async def discard(self, staged: Staged) -> None:
        """Remove what was staged."""
        await self._in_thread(self.store.discard, staged)

    async def undo(self, change: Change) -> None:
        """Restore the state before a change."""
        ref = change.ref
        async with self._lock(ref.type, ref.id):
            self._refuse_running(ref.type, ref.id, change.part)
            await self._in_thread(self.store.undo, change)

    async def tidy(self, installation: Installation, change: Change) -> None:
        """Remove old releases, after a successful change."""
        async with self._lock(change.ref.type, change.ref.id):
            await self._tidy(installation, change)

    async def rollback(self, type: str, id: str) -> Change:
        """Return to the previous release, also for what is served here.

        Raises `NotInstalled`, `NoEarlierRelease`, `PackageRunning`, `StoreFailed`.
        """
        async with self._lock(type, id):
            self._refuse_running(type, id, XPL)
            return await self._in_thread(self._back, type, id)

    async def uninstall(
        self, type: str, id: str, *, with_data: bool = False, keep_served: bool = False
    ) -> None:
        """Remove the package. Raises `NotInstalled`, `PackageRunning`."""
        async with self._lock(type, id):
            self._refuse_running(type, id, XPL)
            await self._in_thread(
                self.store.uninstall, type, id, with_data=with_data, keep_served=keep_served
            )

    async def _stage(self, installation: Installation) -> Staged:
        installation.stage("fetching")
        archive = await self._fetch_archive(installation)
        installation.stage("unpacking")
        staged = await self._in_thread(self._unpack, archive, installation.ref)
        if self._prepare is not _no_preparation:
            installation.stage("preparing")
            try:
                await self._prepare(installation, staged)
                await self._in_thread(self.store.seal, staged)
            except BaseException:
                await self.discard(staged)
                raise
        return staged

    def _unpack(self, archive: Path, ref: PackageRef) -> Staged:
        staged = self.store.stage(archive, ref, self._limits)
        try:
            check_version(staged.content.package, self._version)
            staged.content.check_script()
        except (NeedsNewerDomogik, BrokenArchive):
            self.store.discard(staged)
            raise
        return staged

    async def _switch_to(self, installation: Installation, staged: Staged, part: str) -> Change:
        ref = staged.ref
        try:
            # it may have been started while the archive was fetched
            self._refuse_running(ref.type, ref.id, part)
        except PackageRunning:
            await self.discard(staged)
            raise
        installation.stage("switching")
        return await self._in_thread(self.store.install, staged, part)

    async def _tidy(self, installation: Installation, change: Change) -> None:
        ref = change.ref
        try:
            await self._in_thread(self.store.prune, ref.type, ref.id, self._keep)
        except StoreFailed as error:
            # what was asked is done; the next change tries again
            _log.warn("old releases of {package} stay: {error}", package=ref.fullname, error=error)
        installation.stage("done")

    def _back(self, type: str, id: str) -> Change:
        present, previous = self.store.present(type, id), self.store.previous(type, id)
        if present is None:
            raise NotInstalled(f"{type} '{id}' is not installed")
        if previous is None:
            raise NoEarlierRelease(f"no release of {type} '{id}' before {present.release} is here")
        served = self.store.served(type, id)
        change = self.store.switch(previous, XPL, back=True)
        if served == present:
            self.store.switch(previous, RINOR)
        return change

    def _refuse_running(self, type: str, id: str, part: str) -> None:
        if part == XPL and type == "plugin" and self._is_running(id):
            raise PackageRunning(id)

    def _lock(self, type: str, id: str) -> DeferredLock:
        return self._locks.setdefault(fullname(type, id), DeferredLock())
