"""The update of one package: the new release proves itself, or the old one is back.

Fetch and stage while the old release works; stop, switch, start; wait until it is alive, and watch
it for the time of its probation. Where it does not become alive, or fails within that time, the
descriptor leads back to the old release, which is started again, and the new one is remembered as
given up. The probation of a plugin that does not run begins with its first start, whoever starts
it. A note on the disk says that this is going on: the next manager that finds it finishes it.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Awaitable, Callable, Collection, Iterator
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.components.model import State
from domogik.config.files import read_bounded, write_atomically
from domogik.errors import DomogikError, OperationFailed
from domogik.manager.plugins.one_plugin import Plugin
from domogik.manager.plugins.plugins import Plugins
from domogik.packages.descriptor.reference import InvalidReference, PackageRef
from domogik.packages.store.changes import RINOR, XPL, Change, Staged, StoreFailed
from domogik.packages.store.install import Installer, NoEarlierRelease
from domogik.packages.store.installation import Installation
from domogik.threads import Threads

_NOTE_BYTES = 4096
_FLAGS = ("runs", "on_probation", "awaits_start")
#: what the supervisor says before the cause, and what does not hold for a release that is given up
_BEFORE_THE_CAUSE = re.compile(r"^(started again in [^:]+: )?(ended before it was ready: )?")


@attrs.frozen
class Note:
    """An update that is going on: from `before` to `after`; `runs`: the plugin is to run then.

    `on_probation`: it was alive with the new release, or started by somebody else than the update,
    and is being watched. `awaits_start`: it has not been started with the new release yet.
    """

    before: PackageRef
    after: PackageRef
    runs: bool
    on_probation: bool = False
    awaits_start: bool = False


@attrs.define(eq=False, kw_only=True)
class PackageUpdate:
    """Changes the release of an installed package; the plugin runs again at the end if it ran.

    `changed` reads again what is installed. Notes lie in `directory`. `started` is called with the
    note of an update, for `finish`, when its plugin is started first.
    """

    _installer: Installer
    _plugins: Plugins
    _in_thread: Threads
    _changed: Callable[[], Awaitable[None]]
    _directory: Path
    _clock: IReactorTime
    _started: Callable[[Note], object]
    _log: Logger = Logger()

    async def run(self, installation: Installation) -> None:
        """To that release, both parts; `OperationFailed` says why the old one is back.

        It is told `on probation` when the plugin is alive and watched from then on.

        Raises `ManualDescriptor` for a package that did not come from a repository, and what
        staging raises; then nothing was touched.
        """
        ref = installation.ref
        before = await self._present(ref.type, ref.id)
        if before == ref:
            return
        staged = await self._installer.stage(installation)
        await self.forget(ref.type, ref.id)
        if before is None:
            await self._installer.switch_to(installation, staged)
            await self._changed()
            return
        note = Note(before, ref, self._is_to_run(ref))
        try:
            await self._in_thread(_write, self._directory, note)
            await self._stop(ref, note.runs)
        except (DomogikError, OSError) as error:
            await self._installer.discard(staged)
            await self._in_thread(_remove, self._directory, ref)
            raise OperationFailed(f"{before} is not touched: {error}") from error
        try:
            change = await self._switch(installation, staged, note)
            await self._prove(installation, change, note)
        finally:
            await self._end(ref)
        await self._installer.tidy(installation, change)

    def end_probation(self, type: str, id: str) -> None:
        """A person wants something else of it: what is on probation counts as good."""
        follower = self._follower(type, id)
        if isinstance(follower, _Probation):
            follower.end()

    def _follower(self, type: str, id: str) -> object:
        return self._plugins.plugin(id).follower if type == "plugin" else None

    async def back(self, type: str, id: str) -> PackageRef:
        """To the release before; it is what worked, so it is not asked to prove itself."""
        present = await self._present(type, id)
        if (
            present is None
            or await self._in_thread(self._installer.store.previous, type, id) is None
        ):
            text = f"No release of {type} '{id}' from before is stored here"
            only = "" if present is None else present.release
            plain = f"Only {only} of {id} is kept here: there is none to go back to" if only else ""
            raise NoEarlierRelease(text, plain=plain)
        runs = self._is_to_run(present)
        await self.forget(present.type, present.id)
        await self._stop(present, runs)
        try:
            with at_rest(self._plugins, type, id):
                change = await self._installer.rollback(type, id)
                await self._changed()
        finally:
            await self._start_again(present, runs)
        return change.ref

    async def interrupted(self) -> tuple[Note, ...]:
        """The updates that a manager before us did not finish."""
        return await self._in_thread(_read, self._directory)

    async def forget(self, type: str, id: str) -> None:
        """Another release of it is installed now, or none: its next start proves nothing."""
        follower = self._follower(type, id)
        if isinstance(follower, _AwaitedStart):
            self._plugins.plugin(id).follower = None
            await self._in_thread(_remove, self._directory, follower.note.after)

    def await_start(self, note: Note) -> None:
        """Have `started` called when the plugin is started; at once if it was already."""
        plugin = self._plugins.plugin(note.after.id)
        plugin.follower = _AwaitedStart(plugin, note, self._started)
        plugin.follower()

    async def _end(self, ref: PackageRef) -> None:
        if not isinstance(self._follower(ref.type, ref.id), _AwaitedStart):
            await self._in_thread(_remove, self._directory, ref)

    async def finish(self, installation: Installation, note: Note) -> None:
        """The rest of an interrupted update, or of one that was started now; raises as `run`."""
        ref = note.after
        try:
            if await self._present(ref.type, ref.id) == ref:
                if not self._is_alive(ref) and not note.on_probation:
                    # one that outlived the manager has proved nothing yet
                    await self._stop(ref, note.runs)
                change = Change(XPL, ref, note.before, is_new=False)
                await self._prove(installation, change, note)
            else:
                await self._start_again(note.before, note.runs)
        finally:
            await self._end(ref)

    # The steps

    async def _switch(self, installation: Installation, staged: Staged, note: Note) -> Change:
        try:
            with at_rest(self._plugins, note.after.type, note.after.id):
                change = await self._installer.switch_to(installation, staged)
                await self._changed()
        except DomogikError:
            await self._start_again(note.before, note.runs)
            raise
        return change

    async def _prove(self, installation: Installation, change: Change, note: Note) -> None:
        """Start it, serve it and watch it; whatever fails, it is as before."""
        ref, runs, plugin = change.ref, note.runs, self._plugins.plugin(change.ref.id)
        try:
            # on probation the manager starts it, if it is wanted
            if runs and not note.on_probation and not plugin.is_there:
                await self._plugins.start(ref.id)
            await self._installer.install(installation, RINOR)
            if not runs and ref.type == "plugin" and plugin.probation_s:
                waiting = attrs.evolve(note, awaits_start=True)
                await self._in_thread(_write, self._directory, waiting)
                self.await_start(waiting)
                return
            if runs:
                installation.stage("on probation")
                if plugin.probation_s:
                    watched = attrs.evolve(note, on_probation=True)
                    await self._in_thread(_write, self._directory, watched)
                    await _Probation(plugin, self._clock, plugin.probation_s).passed()
            await self._in_thread(self._installer.store.succeeded, ref)
        except DomogikError as error:
            said = await self._undo(change, runs, error)
            raise OperationFailed(said, _reason(error), plain=said) from error

    async def _undo(self, change: Change, runs: bool, cause: DomogikError) -> str:
        """Back to the old release; what became of both, as a sentence."""
        ref, before = change.ref, change.before
        assert before is not None
        what = str(cause) if isinstance(cause, _FailedOnProbation) else "did not start"
        if isinstance(cause, StoreFailed):
            what = "could not be installed"
        reason = _BEFORE_THE_CAUSE.sub("", _reason(cause))
        failed = f"{ref.id} {ref.release} {what}: {reason}"
        try:
            await self._stop(ref, runs)
            with at_rest(self._plugins, ref.type, ref.id):
                if await self._in_thread(self._installer.store.served, ref.type, ref.id) == ref:
                    await self._in_thread(self._installer.store.switch, before, RINOR)
                await self._installer.undo(change)
                if not isinstance(cause, StoreFailed):
                    await self._in_thread(self._installer.store.give_up, ref)
                await self._changed()
        except DomogikError as error:
            return f"{failed}; it stays installed, for {before.release} cannot be put back: {error}"
        back = f"{failed}; {before.release} {await self._start_again(before, runs)}"
        return f"{back}. More: dmg_ctl logs {ref.id}" if ref.type == "plugin" else back

    async def _start_again(self, ref: PackageRef, runs: bool) -> str:
        """What became of it, for a sentence."""
        if not runs:
            return "is installed again"
        try:
            if not self._plugins.plugin(ref.id).is_there:
                await self._plugins.start(ref.id)
        except DomogikError as error:
            self._log.error("{id} does not start: {reason}", id=ref.id, reason=_reason(error))
            return f"is installed again, and does not start: {_reason(error)}"
        return "is back"

    def _is_to_run(self, ref: PackageRef) -> bool:
        """Whether it is up, or would be tried again; what is disabled is not started."""
        return self._is_on(ref) and self._plugins.plugin(ref.id).is_enabled

    def _is_on(self, ref: PackageRef) -> bool:
        plugin = self._plugins.plugin(ref.id)
        return ref.type == "plugin" and (plugin.is_up or plugin.is_tried_again)

    def _is_alive(self, ref: PackageRef) -> bool:
        return ref.type == "plugin" and self._plugins.plugin(ref.id).status.state is State.ALIVE

    async def _stop(self, ref: PackageRef, runs: bool) -> None:
        if self._is_on(ref):
            await self._plugins.stop(ref.id, again=runs)

    async def _present(self, type: str, id: str) -> PackageRef | None:
        return await self._in_thread(self._installer.store.present, type, id)


@contextlib.contextmanager
def at_rest(plugins: Plugins, type: str, id: str) -> Iterator[None]:
    """Return a context in which the plugin of that package is not started."""
    plugin = plugins.plugin(id)
    plugin.is_at_rest = type == "plugin"
    try:
        yield
    finally:
        plugin.is_at_rest = False


@attrs.frozen(eq=False)
class _AwaitedStart:
    """Follows a plugin that was not started with its new release yet."""

    _plugin: Plugin
    note: Note
    _started: Callable[[Note], object]

    def __call__(self) -> None:
        if self._plugin.is_there or self._plugin.is_tried_again:
            self._plugin.follower = None
            self._started(attrs.evolve(self.note, runs=True, on_probation=True, awaits_start=False))


@attrs.define(eq=False)
class _Probation:
    """Follows a plugin for some seconds from when its new release is up."""

    _plugin: Plugin
    _clock: IReactorTime
    _seconds: float
    _verdict: Deferred[str] = attrs.field(init=False, factory=Deferred)
    _timer: IDelayedCall | None = attrs.field(init=False, default=None)

    async def passed(self) -> None:
        """Wait for the verdict; raises `_FailedOnProbation`."""
        self._plugin.follower = self
        self()
        if reason := await self._verdict:
            raise _FailedOnProbation(f"failed within {self._seconds:g} s of its start", reason)

    def __call__(self, failures: Collection[State] = (State.BACKOFF, State.FAILED)) -> None:
        status = self._plugin.status
        if status.state in failures:
            self.end(status.reason or f"it is {status.state.value}")
        elif status.state is not State.STARTING and self._timer is None:
            self._timer = self._clock.callLater(self._seconds, self._time_is_up)

    def _time_is_up(self) -> None:
        self((State.BACKOFF, State.FAILED, State.NOT_RESPONDING))
        self.end()

    def end(self, verdict: str = "") -> None:
        """End the probation; `verdict` says what is wrong."""
        if self._verdict.called:
            return
        self._plugin.follower = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._verdict.callback(verdict)


class _FailedOnProbation(OperationFailed):
    """A release that was alive and failed soon after."""


def _reason(error: DomogikError) -> str:
    return (getattr(error, "reason", "") or str(error)).rstrip(".")


# Notes; all of it blocks


def _path(directory: Path, ref: PackageRef) -> Path:
    return directory / f"{ref.fullname}.json"


def _write(directory: Path, note: Note) -> None:
    directory.mkdir(mode=0o700, exist_ok=True)
    words = {
        "type": note.after.type,
        "id": note.after.id,
        "before": note.before.release,
        "after": note.after.release,
        **{key: getattr(note, key) for key in _FLAGS},
    }
    write_atomically(_path(directory, note.after), json.dumps(words).encode())


def _remove(directory: Path, ref: PackageRef) -> None:
    _path(directory, ref).unlink(missing_ok=True)


def _read(directory: Path) -> tuple[Note, ...]:
    """What cannot be understood is removed: a disk that lost it lost the update with it."""
    notes = []
    for path in sorted(directory.glob("*.json")):
        try:
            words = json.loads(read_bounded(path, _NOTE_BYTES))
            type, id = words["type"], words["id"]
            before = PackageRef(type, id, words["before"])
            after = PackageRef(type, id, words["after"])
            notes.append(Note(before, after, *(words.get(key) is True for key in _FLAGS)))
        except (OSError, ValueError, LookupError, TypeError, AttributeError, InvalidReference):
            path.unlink(missing_ok=True)
    return tuple(notes)
