"""Reports changes in directories, shortly after they happen.

One inotify instance watches all directories, since a user may have only 128. If instances or
watches are used up, a directory is polled every few seconds.
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

#: how often it is tried to watch a directory that is created and removed meanwhile
_ATTEMPTS = 5

#: name of an entry -> inode, size, time of its last change in nanoseconds
Snapshot = dict[str, tuple[int, int, int]]


class Inotify(inotify.INotify):
    """Twisted's inotify with a `doRead` of its own.

    Twisted's closes the whole instance when one watched directory is removed, and ignores the
    kernel's notice that events were lost.
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
    """Yield watch, mask and name of each event; the kernel returns only whole ones. See
    inotify(7)."""
    offset = 0
    while offset + _EVENT.size <= len(data):
        number, mask, _, length = _EVENT.unpack_from(data, offset)
        offset += _EVENT.size
        yield number, mask, os.fsdecode(data[offset : offset + length].rstrip(b"\0"))
        offset += length


@attrs.define(eq=False)
class _WatchedDirectory:
    """A directory to watch, and how it is watched.

    `inotify_path` is what inotify watches: the directory, or the nearest existing one above it. It
    is None while the directory is polled; `seen` is then its last content.
    """

    directory: Path
    inotify_path: Path | None = None
    seen: Snapshot | None = None


@attrs.define(eq=False)
class DirectoryWatcher:
    """Calls `on_change` with the changed paths, `settle` seconds after the last change and at most
    a second after the first.

    A path is an entry of a watched directory, or the directory itself if anything in it may have
    changed: it was removed, created again or replaced, or events were lost. Entries count as
    changed if they were written and closed, renamed, created, removed or given other permissions.
    Names that begin with a dot are ignored: lock files and temporary files.
    """

    _reactor: IReactorTime
    _on_change: Callable[[set[Path]], None]
    _settle: float = 0.1
    _make_inotify: Callable[[IReactorTime, Callable[[int, int, str], None]], Inotify] = Inotify
    _log: Logger = Logger()
    _inotify: Inotify | None = None
    _poll: LoopingCall | None = None
    _watched: dict[Path, _WatchedDirectory] = attrs.field(factory=dict)
    _numbers: dict[int, Path] = attrs.field(factory=dict)
    _changed: set[Path] = attrs.field(factory=set)
    _deadline: float = 0.0
    _call: IDelayedCall | None = None

    def watch(self, directory: Path) -> None:
        """Watch this directory, which need not exist; repeated calls have no effect."""
        if directory not in self._watched:
            watched = self._watched[directory] = _WatchedDirectory(directory)
            self._add_watch(watched)

    def forget(self, directory: Path) -> None:
        """Stop watching the directory and drop its changes that are not reported yet."""
        watched = self._watched.pop(directory, None)
        if watched is None:
            return
        if watched.inotify_path is not None:
            self._release(watched.inotify_path)
        self._changed = {path for path in self._changed if directory not in (path, path.parent)}

    def stop(self) -> None:
        """Stop watching all directories; nothing is reported any more."""
        for directory in tuple(self._watched):
            self.forget(directory)
        if self._call is not None and self._call.active():
            self._call.cancel()
        if self._poll is not None and self._poll.running:
            self._poll.stop()
        if self._inotify is not None:
            self._inotify.loseConnection()
            self._inotify = None

    # inotify

    def _add_watch(self, watched: _WatchedDirectory) -> None:
        """Let inotify watch the directory, or the nearest existing one above it."""
        for _ in range(_ATTEMPTS):
            candidate = _nearest(watched.directory)
            try:
                self._add(candidate)
            except inotify.INotifyError:
                if candidate == _nearest(watched.directory):
                    break
                continue  # it was removed between the look and the watch
            watched.inotify_path = candidate
            if candidate == _nearest(watched.directory):
                return
            # One nearer was made between the look and the watch: no event would report it.
            watched.inotify_path = None
            self._release(candidate)
        self._start_polling(watched)

    def _add(self, directory: Path) -> None:
        if self._inotify is None:
            self._inotify = self._make_inotify(self._reactor, self._event)
            self._inotify.startReading()
        number = self._inotify.watch(_file_path(directory), _CONTENT | _ITSELF)
        self._numbers[number] = directory

    def _release(self, inotify_path: Path) -> None:
        """Remove the inotify watch, unless another directory needs it."""
        if self._inotify is None or any(
            watched.inotify_path == inotify_path for watched in self._watched.values()
        ):
            return
        self._numbers = {
            number: path for number, path in self._numbers.items() if path != inotify_path
        }
        with contextlib.suppress(KeyError):
            self._inotify.ignore(_file_path(inotify_path))

    def _event(self, number: int, mask: int, name: str) -> None:
        if mask & inotify.IN_Q_OVERFLOW:
            self._log.warn("changes came faster than they could be read: looking at everything")
            self._renew_watches(tuple(self._watched.values()))
            return
        inotify_path = self._numbers.get(number)
        if inotify_path is None:
            return
        matching = [
            watched for watched in self._watched.values() if watched.inotify_path == inotify_path
        ]
        if mask & _ITSELF:
            self._renew_watches(matching)
            return
        for watched in matching:
            if watched.directory != inotify_path:
                if name == watched.directory.relative_to(inotify_path).parts[0]:
                    self._renew_watches([watched])
            elif name and not name.startswith("."):
                self._add_change(watched.directory / name)

    def _renew_watches(self, matching: Iterable[_WatchedDirectory]) -> None:
        """Determine again what to watch, and report directories that may have been replaced."""
        before = [(watched, watched.inotify_path) for watched in matching]
        for watched, _ in before:
            watched.inotify_path = None
        for _, inotify_path in before:
            if inotify_path is not None:
                self._release(inotify_path)
        for watched, inotify_path in before:
            self._add_watch(watched)
            if watched.directory in (watched.inotify_path, inotify_path):
                self._add_change(watched.directory)

    # Polling

    def _start_polling(self, watched: _WatchedDirectory) -> None:
        self._log.warn(
            "{directory} cannot be watched by inotify (too many watches or instances of this "
            "user): looking at it every {interval} s",
            directory=str(watched.directory),
            interval=POLL_INTERVAL_S,
        )
        watched.seen = _snapshot(watched.directory)
        if self._poll is None:
            self._poll = LoopingCall(self._poll_directories)
            self._poll.clock = self._reactor
        if not self._poll.running:
            _ = self._poll.start(POLL_INTERVAL_S, now=False).addErrback(
                lambda failure: self._log.failure("polling directories", failure)
            )

    def _poll_directories(self) -> None:
        for watched in self._watched.values():
            if watched.inotify_path is not None:
                continue
            before, watched.seen = watched.seen, _snapshot(watched.directory)
            if (before is None) != (watched.seen is None):
                self._add_change(watched.directory)
            elif before is not None and watched.seen is not None:
                for name in before.keys() | watched.seen.keys():
                    if before.get(name) != watched.seen.get(name):
                        self._add_change(watched.directory / name)

    # Reporting

    def _add_change(self, path: Path) -> None:
        now = self._reactor.seconds()
        if not self._changed:
            self._deadline = now + LONGEST_DELAY_S
        self._changed.add(path)
        delay = max(0.0, min(self._settle, self._deadline - now))
        if self._call is not None and self._call.active():
            self._call.reset(delay)
        else:
            self._call = self._reactor.callLater(delay, self._report)

    def _report(self) -> None:
        changed, self._changed = self._changed, set()
        if not changed:
            return
        try:
            self._on_change(changed)
        except Exception:  # noqa: BLE001 - an error of the callback is logged
            self._log.failure("handling changed files failed")


def _nearest(directory: Path) -> Path:
    return next(path for path in (directory, *directory.parents) if _is_directory(path))


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # for instance without permission
        return False


def _file_path(path: Path) -> FilePath[bytes]:
    return FilePath(os.fsencode(path))


def _snapshot(directory: Path) -> Snapshot | None:
    """Return inode, size and change time of each entry, or None if there is no such directory."""
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
