"""The update of one package: the new release proves itself, or the old one is back.

Fetch and stage while the old release works; stop, switch, start; wait until it is alive. Where it
does not become alive the descriptor leads back to the old release, which is started again. A note
on the disk says that this is going on: whoever finds it at the next start finishes it.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.logger import Logger

from domogik.components.model import State
from domogik.config.files import read_bounded, write_atomically
from domogik.errors import DomogikError, OperationFailed
from domogik.manager.plugins import Plugins
from domogik.packages.install import Installer, NothingToGoBackTo
from domogik.packages.reference import InvalidReference, PackageRef
from domogik.packages.store import RINOR, XPL, Change, Staged

_NOTE_BYTES = 4096


@attrs.frozen
class Note:
    """An update that is going on: from `before` to `after`; `runs`: the plugin is to run then."""

    before: PackageRef
    after: PackageRef
    runs: bool


@attrs.define(eq=False)
class PackageUpdate:
    """Changes the release of an installed package; the plugin runs again at the end if it ran.

    `changed` reads again what is installed. Notes lie in `directory`.
    """

    _installer: Installer
    _plugins: Plugins
    _in_thread: Callable[..., Awaitable[Any]]
    _changed: Callable[[], Awaitable[None]]
    _directory: Path
    _log: Logger = Logger()

    async def run(self, ref: PackageRef) -> None:
        """To that release, both parts; `OperationFailed` says why the old one is back.

        Raises `PlacedByHand` for a package that did not come from a repository, and what staging
        raises; then nothing was touched.
        """
        before = await self._present(ref.type, ref.id)
        if before == ref:
            return
        staged = await self._installer.stage(ref)
        if before is None:
            change = await self._installer.switch_to(staged)
            await self._changed()
            return
        note = Note(before, ref, self._is_to_run(ref))
        try:
            await self._in_thread(_write, self._directory, note)
            await self._stop(ref)
        except (DomogikError, OSError) as error:
            await self._installer.discard(staged)
            await self._in_thread(_remove, self._directory, ref)
            raise OperationFailed(f"{before} is not touched: {error}") from error
        try:
            change = await self._switch(staged, note)
            await self._prove(change, note.runs)
        finally:
            await self._in_thread(_remove, self._directory, ref)
        await self._installer.tidy(change)

    async def back(self, type: str, id: str) -> PackageRef:
        """To the release before; it is what worked, so it is not asked to prove itself."""
        present = await self._present(type, id)
        if (
            present is None
            or await self._in_thread(self._installer.store.previous, type, id) is None
        ):
            raise NothingToGoBackTo(f"No release of {type} '{id}' from before is stored here")
        runs = self._is_to_run(present)
        await self._stop(present)
        try:
            with self._at_rest(present):
                change = await self._installer.rollback(type, id)
                await self._changed()
        finally:
            await self._start_again(present, runs)
        return change.ref

    async def interrupted(self) -> tuple[Note, ...]:
        """The updates that a manager before us did not finish."""
        notes: tuple[Note, ...] = await self._in_thread(_read, self._directory)
        return notes

    async def finish(self, note: Note) -> None:
        """The rest of an interrupted update; raises as `run` does."""
        ref = note.after
        try:
            if await self._present(ref.type, ref.id) == ref:
                if not self._is_alive(ref):
                    # one that outlived the manager has proved nothing yet
                    await self._stop(ref)
                await self._prove(Change(XPL, ref, note.before, is_new=False), note.runs)
            else:
                await self._start_again(note.before, note.runs)
        finally:
            await self._in_thread(_remove, self._directory, ref)

    # The steps

    async def _switch(self, staged: Staged, note: Note) -> Change:
        try:
            with self._at_rest(note.after):
                change = await self._installer.switch_to(staged)
                await self._changed()
        except DomogikError:
            await self._start_again(note.before, note.runs)
            raise
        return change

    async def _prove(self, change: Change, runs: bool) -> None:
        """Start it and serve it; whatever fails, it is as before."""
        ref = change.ref
        try:
            if runs and not self._plugins.is_up(ref.id):
                await self._plugins.start(ref.id)
            await self._installer.install(ref, RINOR)
        except DomogikError as error:
            raise OperationFailed(await self._undo(change, runs, error), _reason(error)) from error

    async def _undo(self, change: Change, runs: bool, cause: DomogikError) -> str:
        """Back to the old release; what became of both, as a sentence."""
        ref, before = change.ref, change.before
        assert before is not None
        failed = f"{ref} was given up: {_reason(cause)}"
        try:
            await self._stop(ref)
            with self._at_rest(ref):
                if await self._in_thread(self._installer.store.served, ref.type, ref.id) == ref:
                    await self._in_thread(self._installer.store.switch, before, RINOR)
                await self._installer.undo(change)
                await self._changed()
        except DomogikError as error:
            return f"{failed}. It stays installed, for {before.release} cannot be put back: {error}"
        return f"{failed}. {before.release} {await self._start_again(before, runs)}"

    async def _start_again(self, ref: PackageRef, runs: bool) -> str:
        """What became of it, for a sentence."""
        if not runs:
            return "is installed again"
        try:
            if not self._plugins.is_up(ref.id):
                await self._plugins.start(ref.id)
        except DomogikError as error:
            self._log.error("{id} does not start: {reason}", id=ref.id, reason=_reason(error))
            return f"is installed again, and does not start: {_reason(error)}"
        return "runs again"

    def _is_to_run(self, ref: PackageRef) -> bool:
        """Whether it is up, or would be tried again; what is disabled is not started."""
        return (
            ref.type == "plugin"
            and ref.id in self._plugins.enabled_names()
            and (self._plugins.is_up(ref.id) or self._plugins.is_tried_again(ref.id))
        )

    def _is_alive(self, ref: PackageRef) -> bool:
        return ref.type == "plugin" and self._plugins.status(ref.id).state is State.ALIVE

    async def _stop(self, ref: PackageRef) -> None:
        if ref.type == "plugin" and (
            self._plugins.is_up(ref.id) or self._plugins.is_tried_again(ref.id)
        ):
            await self._plugins.stop(ref.id)

    def _at_rest(self, ref: PackageRef) -> contextlib.AbstractContextManager[None]:
        if ref.type != "plugin":
            return contextlib.nullcontext()
        return self._plugins.at_rest(ref.id)

    async def _present(self, type: str, id: str) -> PackageRef | None:
        present: PackageRef | None = await self._in_thread(self._installer.store.present, type, id)
        return present


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
        "runs": note.runs,
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
            notes.append(Note(before, PackageRef(type, id, words["after"]), words["runs"] is True))
        except (OSError, ValueError, LookupError, TypeError, InvalidReference):
            path.unlink(missing_ok=True)
    return tuple(notes)
