"""Directories whose content matters: one call when something in them has changed, soon after.

The kernel tells (inotify, one instance for all directories: users have only 128). Where it cannot,
because instances or watches are used up, the directory is looked at every few seconds.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import attrs
from twisted.internet import inotify
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from twisted.python.filepath import FilePath

#: seconds from the first change to the call, however many more follow
LONGEST_DELAY_S = 1.0
#: seconds between two looks at a directory that inotify does not watch
POLL_INTERVAL_S = 5.0

_CONTENT = (
    inotify.IN_CLOSE_WRITE
    | inotify.IN_CREATE
    | inotify.IN_DELETE
    | inotify.IN_MOVED_FROM
    | inotify.IN_MOVED_TO
    | inotify.IN_ATTRIB
)
_ITSELF = inotify.IN_DELETE_SELF | inotify.IN_MOVE_SELF | inotify.IN_UNMOUNT | inotify.IN_IGNORED
_EVENT = struct.Struct("=iIII")
_READ_SIZE = 64 * 1024

#: how often a directory is looked for that is made and removed while we do
_TRIES = 5

#: name of an entry -> inode, size, time of its last change in nanoseconds
Snapshot = dict[str, tuple[int, int, int]]


class Inotify(inotify.INotify):
    """Twisted's inotify, read by ourselves.

    Its own reading closes the whole instance when one watched directory is removed, and drops the
    kernel's word that events were lost.
    """

    def __init__(self, reactor: IReactorTime, on_event: Callable[[int, int, str], None]) -> None:
        super().__init__(reactor)
        self._on_event = on_event

    def doRead(self) -> None:
        try:
            data = os.read(self.fileno(), _READ_SIZE)
        except (BlockingIOError, InterruptedError):
            return
        for number, mask, name in _events(data):
            self._on_event(number, mask, name)


def _events(data: bytes) -> Iterator[tuple[int, int, str]]:
    """Watch, mask and name of each event; the kernel hands out whole ones only. inotify(7)"""
    offset = 0
    while offset + _EVENT.size <= len(data):
        number, mask, _, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        yield number, mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
        offset += length


@attrs.define(eq=False)
class _Want:
    """A directory somebody wants to know about, and how we know.

    `held` is what inotify watches for it: itself, or the nearest directory above that exists. It
    is None while the directory is looked at instead; `seen` is then what was there.
    """

    directory: Path
    held: Path | None = None
    seen: Snapshot | None = None


@attrs.define(eq=False)
class DirectoryWatcher:
    """Calls `on_change` with the paths that have changed, `settle` seconds after the last change
    and at most a second after the first.

    The paths are those of entries of a watched directory, written as that directory was given to
    `watch`, or the directory itself where anything in it may have changed: it was removed, made
    again or replaced, or the kernel lost count. Written and closed, renamed, made, removed and
    given other permissions counts as changed. Names that begin with a dot do not: lock files and
    temporary files of editors, ours too. `reactor` has to be one that watches descriptors.
    """

    _reactor: IReactorTime
    _on_change: Callable[[set[Path]], None]
    _settle: float = 0.1
    _make_inotify: Callable[[IReactorTime, Callable[[int, int, str], None]], Inotify] = Inotify
    _log: Logger = Logger()
    _inotify: Inotify | None = None
    _poll: LoopingCall | None = None
    _wants: dict[Path, _Want] = attrs.field(factory=dict)
    _numbers: dict[int, Path] = attrs.field(factory=dict)
    _changed: set[Path] = attrs.field(factory=set)
    _deadline: float = 0.0
    _call: IDelayedCall | None = None

    def watch(self, directory: Path) -> None:
        """Also watch this directory, whether it exists already or not; twice counts once."""
        if directory not in self._wants:
            want = self._wants[directory] = _Want(directory)
            self._hold(want)

    def forget(self, directory: Path) -> None:
        """No longer watch it; nothing is called for it any more."""
        want = self._wants.pop(directory, None)
        if want is None:
            return
        if want.held is not None:
            self._release(want.held)
        self._changed = {path for path in self._changed if directory not in (path, path.parent)}

    def stop(self) -> None:
        """Forget everything; nothing is called from now on."""
        for directory in tuple(self._wants):
            self.forget(directory)
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._poll is not None and self._poll.running:
            self._poll.stop()
        if self._inotify is not None:
            self._inotify.loseConnection()
            self._inotify = None

    # By inotify

    def _hold(self, want: _Want) -> None:
        """Have inotify watch the directory, or the nearest one above it that exists."""
        for _ in range(_TRIES):
            candidate = _nearest(want.directory)
            try:
                self._add(candidate)
            except inotify.INotifyError:
                if candidate == _nearest(want.directory):
                    break
                continue  # it was removed between the look and the watch
            want.held = candidate
            if candidate == _nearest(want.directory):
                return
            # One nearer was made between the look and the watch: nobody would tell.
            want.held = None
            self._release(candidate)
        self._look_at(want)

    def _add(self, directory: Path) -> None:
        if self._inotify is None:
            self._inotify = self._make_inotify(self._reactor, self._event)
            self._inotify.startReading()
        number = self._inotify.watch(_file_path(directory), _CONTENT | _ITSELF)
        self._numbers[number] = directory

    def _release(self, held: Path) -> None:
        """No longer watch it, unless it is held for somebody else too."""
        if self._inotify is None or any(want.held == held for want in self._wants.values()):
            return
        self._numbers = {number: path for number, path in self._numbers.items() if path != held}
        with contextlib.suppress(KeyError):
            self._inotify.ignore(_file_path(held))

    def _event(self, number: int, mask: int, name: str) -> None:
        if mask & inotify.IN_Q_OVERFLOW:
            self._log.warn("changes came faster than they could be read: looking at everything")
            self._hold_again(tuple(self._wants.values()))
            return
        held = self._numbers.get(number)
        if held is None:
            return
        wants = [want for want in self._wants.values() if want.held == held]
        if mask & _ITSELF:
            self._hold_again(wants)
            return
        for want in wants:
            if want.directory != held:
                if name == want.directory.relative_to(held).parts[0]:
                    self._hold_again([want])
            elif name and not name.startswith("."):
                self._note(want.directory / name)

    def _hold_again(self, wants: Iterable[_Want]) -> None:
        """Find out anew what to watch; what is, or was, a watched directory may be another now."""
        before = [(want, want.held) for want in wants]
        for want, _ in before:
            want.held = None
        for _, held in before:
            if held is not None:
                self._release(held)
        for want, held in before:
            self._hold(want)
            if want.directory in (want.held, held):
                self._note(want.directory)

    # By looking

    def _look_at(self, want: _Want) -> None:
        self._log.warn(
            "{directory} cannot be watched by inotify (too many watches or instances of this "
            "user): looking at it every {interval} s",
            directory=str(want.directory),
            interval=POLL_INTERVAL_S,
        )
        want.seen = _snapshot(want.directory)
        if self._poll is None:
            self._poll = LoopingCall(self._look)
            self._poll.clock = self._reactor
        if not self._poll.running:
            _ = self._poll.start(POLL_INTERVAL_S, now=False).addErrback(
                lambda failure: self._log.failure("looking at directories", failure)
            )

    def _look(self) -> None:
        for want in self._wants.values():
            if want.held is not None:
                continue
            before, want.seen = want.seen, _snapshot(want.directory)
            if (before is None) != (want.seen is None):
                self._note(want.directory)
            elif before is not None and want.seen is not None:
                for name in before.keys() | want.seen.keys():
                    if before.get(name) != want.seen.get(name):
                        self._note(want.directory / name)

    # Telling

    def _note(self, path: Path) -> None:
        now = self._reactor.seconds()
        if not self._changed:
            self._deadline = now + LONGEST_DELAY_S
        self._changed.add(path)
        delay = max(0.0, min(self._settle, self._deadline - now))
        if self._call is not None and self._call.active():
            self._call.reset(delay)
        else:
            self._call = self._reactor.callLater(delay, self._tell)

    def _tell(self) -> None:
        changed, self._changed = self._changed, set()
        if not changed:
            return
        try:
            self._on_change(changed)
        except Exception:  # noqa: BLE001 - a door for a callback
            self._log.failure("what was to be done about changed files failed")


def _nearest(directory: Path) -> Path:
    """The directory, or the nearest one above it that exists."""
    return next(path for path in (directory, *directory.parents) if _is_directory(path))


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # for instance: we may not look
        return False


def _file_path(path: Path) -> FilePath[bytes]:
    return FilePath(os.fsencode(path))


def _snapshot(directory: Path) -> Snapshot | None:
    """What there is to see of each entry; None where there is no such directory."""
    seen: Snapshot = {}
    try:
        with os.scandir(directory) as entries:
            for entry in entries:
                if entry.name.startswith("."):
                    continue
                with contextlib.suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    seen[entry.name] = (status.st_ino, status.st_size, status.st_ctime_ns)
    except OSError:
        return None
    return seen
