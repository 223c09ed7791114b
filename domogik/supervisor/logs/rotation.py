"""A log file of limited size with compressed older pieces.

`x.log` is the newest, `x.log.1.gz` the one before it, and so on. Pieces are compressed in a thread,
one at a time, when there was no rotation for a second; until then they stay as they are
(`x.log.1`). So there are never more than `files` pieces of at most `max_size` bytes (and a line),
and one incomplete `.tmp`.
"""

from __future__ import annotations

import contextlib
import gzip
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

LINE_LIMIT = 65536  # bytes; a longer line may be cut
_LEVEL = 1  # a fifth of the size already; 6 takes four times as long for a seventh less
_CHUNK = 2**20
_QUIET = 1.0  # seconds


class IRotationReactor(IReactorTime, IReactorThreads):
    """The interfaces of the reactor that a rotating file needs."""


@attrs.define(eq=False)
class RotatingFile:
    """Appends to `path`, which is rotated at the end of a line when it is full.

    `files` older pieces are kept, none at 0. Nothing is lost or reordered: `write` either takes
    everything or raises `OSError` and sets `taken` to how much it took.
    """

    _log = Logger()

    _reactor: IRotationReactor
    path: Path
    max_size: int
    files: int
    taken: int = attrs.field(init=False, default=0)
    at_line_start: bool = attrs.field(init=False, default=True)
    _descriptor: int = attrs.field(init=False, default=-1)
    _size: int = attrs.field(init=False, default=0)
    _timer: IDelayedCall | None = attrs.field(init=False, default=None)
    _compression: Deferred[None] | None = attrs.field(init=False, default=None)
    _compressing: Path | None = attrs.field(init=False, default=None)
    _closed: bool = attrs.field(init=False, default=True)

    def open(self) -> None:
        """Continue at the end of the file, and clean up after a crash; raises `OSError`."""
        self._closed = False
        self._open_file()
        self._temporary.unlink(missing_ok=True)
        if self._close_gaps():
            self._compress_later()

    def close(self) -> Deferred[None]:
        """Close; fires when the last thread is done. A running compression is cancelled."""
        self._closed = True
        self._close_file()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        return self._compression if self._compression is not None else succeed(None)

    def write(self, data: bytes) -> None:
        """Append `data`; raises `OSError` after `taken` bytes."""
        self.taken = 0
        if self._descriptor != -1 and os.fstat(self._descriptor).st_nlink == 0:
            self._close_file()  # the file was removed: write to a new one
        if self._descriptor == -1:
            self._open_file()
        rest = memoryview(data)
        while rest:
            fits = self._fitting(data, self.taken)
            if fits == 0:
                self._rotate()
                continue
            written = os.write(self._descriptor, rest[:fits])
            self.taken += written
            self._size += written
            self.at_line_start = data[self.taken - 1] == 0x0A
            rest = rest[written:]

    def _fitting(self, data: bytes, begin: int) -> int:
        """Return how many bytes from `begin` belong to this piece; 0 means the next one."""
        space = self.max_size - self._size
        if len(data) - begin <= space:
            return len(data) - begin
        last_end = data.rfind(b"\n", begin, begin + max(space, 0)) + 1
        if last_end > 0:
            return last_end - begin
        if self.at_line_start and self._size > 0:
            return 0
        # In the middle of a line: take its rest along, unless it has no end.
        space += LINE_LIMIT
        line_end = data.find(b"\n", begin, begin + max(space, 0)) + 1
        return (line_end or min(len(data), begin + max(space, 0))) - begin

    def _open_file(self) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._descriptor = os.open(self.path, flags, 0o600)
        self._size = os.fstat(self._descriptor).st_size
        self.at_line_start = (
            self._size == 0 or os.pread(self._descriptor, 1, self._size - 1) == b"\n"
        )

    def _close_file(self) -> None:
        if self._descriptor != -1:
            os.close(self._descriptor)
            self._descriptor = -1

    def _rotate(self) -> None:
        self._close_file()
        pieces = older_pieces(self.path, self.files)
        for piece in pieces[max(0, self.files - 1) :]:
            self._drop(piece)
        if self.files == 0:
            self.path.unlink(missing_ok=True)
        else:
            kept = pieces[: self.files - 1]
            for number, piece in reversed(list(enumerate(kept, 2))):
                self._rename(piece, number)
            with contextlib.suppress(FileNotFoundError):  # removed this instant
                self._rename(self.path, 1)
        self._open_file()
        self._compress_later()

    def _close_gaps(self) -> bool:
        """Rename the pieces after a crash or a smaller `files`; return whether to compress."""
        pieces = older_pieces(self.path, self.files)
        for piece in pieces[self.files :]:
            self._drop(piece)
        for number, piece in enumerate(pieces[: self.files], 1):
            self._rename(piece, number)
            if piece.suffix == ".gz":  # its compression was complete when the crash came
                piece.with_suffix("").unlink(missing_ok=True)
        return any(piece.suffix != ".gz" for piece in pieces[: self.files])

    def _drop(self, piece: Path) -> None:
        if piece == self._compressing:
            self._compressing = None
        piece.unlink(missing_ok=True)

    def _rename(self, piece: Path, number: int) -> None:
        target = self._piece(number, ".gz" if piece.suffix == ".gz" else "")
        if target != piece:
            piece.rename(target)
        if piece == self._compressing:
            self._compressing = target

    def _piece(self, number: int, suffix: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{number}{suffix}")

    @property
    def _temporary(self) -> Path:
        return self.path.with_name(f"{self.path.name}.gz.tmp")

    def _compress_later(self) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.reset(_QUIET)
        elif self.files > 0:
            self._timer = self._reactor.callLater(_QUIET, self._compress_next)

    def _compress_next(self) -> None:
        """Compress the newest uncompressed piece, which will be kept longest."""
        if self._compression is not None or self._closed:
            return
        waiting = [piece for piece in older_pieces(self.path, self.files) if piece.suffix != ".gz"]
        if not waiting:
            return
        self._compressing = waiting[0]
        source = os.open(waiting[0], os.O_RDONLY | os.O_CLOEXEC)
        done = deferToThreadPool(
            self._reactor,
            self._reactor.getThreadPool(),
            partial(_compress, source, self._temporary, self._compression_is_vain),
        )
        self._compression = done.addCallback(self._compressed).addErrback(self._not_compressed)

    def _compression_is_vain(self) -> bool:
        """Return, in the thread, whether the manager stops or the piece was dropped."""
        return self._closed or self._compressing is None

    def _compressed(self, complete: bool) -> None:
        piece, self._compressing, self._compression = self._compressing, None, None
        if complete and piece is not None and piece.exists():
            self._temporary.rename(piece.with_name(piece.name + ".gz"))
            piece.unlink()
        else:
            self._temporary.unlink(missing_ok=True)
        self._compress_next()

    def _not_compressed(self, failure: object) -> None:
        """Leave the piece as it is until the next rotation; the disk may be full."""
        self._compressing = self._compression = None
        self._log.warn("{path} is kept uncompressed: {failure}", path=self.path, failure=failure)
        with contextlib.suppress(OSError):
            self._temporary.unlink(missing_ok=True)


def older_pieces(path: Path, files: int) -> list[Path]:
    """Return the pieces beside `path`, newest first; of a piece in both forms, the compressed one.

    It tests names up to number `files`, and beyond while there are some, instead of listing the
    directory, which may contain hundreds of other logs.
    """
    pieces = []
    number = 1
    while True:
        plain = f"{path}.{number}"
        if os.path.lexists(plain + ".gz"):
            pieces.append(Path(plain + ".gz"))
        elif os.path.lexists(plain):
            pieces.append(Path(plain))
        elif number > files:
            return pieces
        number += 1


def _compress(source: int, target: Path, stop: Callable[[], bool]) -> bool:
    """Compress `source` to `target` and close it; return whether that was completed. In a
    thread."""
    with open(source, "rb", buffering=0) as plain:
        flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC
        with open(os.open(target, flags, 0o600), "wb") as file:
            with gzip.GzipFile("", "wb", _LEVEL, file, mtime=0) as packed:
                while chunk := plain.read(_CHUNK):
                    if stop():
                        return False
                    packed.write(chunk)
            file.flush()
            os.fsync(file.fileno())
    return True
