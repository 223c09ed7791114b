"""The output of one component: from a FIFO to rotated files and to followers.

The child has the FIFO open for reading too. So it survives the death of the manager: the output
stays in the FIFO, and the next manager continues to read. docs/adr/0002-output.md has the reasons.
"""

from __future__ import annotations

import fcntl
import os
import stat
from collections.abc import Callable
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from domogik.errors import DomogikError
from domogik.supervisor.logs.lines import LineSplitter, last_lines, open_pieces
from domogik.supervisor.logs.rotation import IRotationReactor, RotatingFile
from domogik.supervisor.outcomes import last_line


class CannotCapture(DomogikError):
    """The FIFO or the log file cannot be used; the text says why."""


class IOutputReactor(IReactorFDSet, IRotationReactor):
    """The interfaces of the reactor that an output log needs."""


_LAST = 4096  # bytes, for the last line of a child
_READ = 2**17  # bytes at a time
_READS_PER_TURN = 8  # then other descriptors are served
_WIDE_PIPE = (
    2**20
)  # for a child that fills its pipe; all pipes of a user together are limited (pipe(7))


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class OutputLog:
    """Reads `fifo` and appends to `file`, of which `files` older pieces of `max_size` are kept.

    Output that cannot be written (a full disk) is dropped, so that the child never waits, and
    counted in `lost_bytes`; `on_error` is called with the reason, and with an empty one afterwards.
    A line in the file then says how much is missing.
    """

    _log = Logger()

    _reactor: IOutputReactor
    _fifo: Path
    file: Path
    _max_size: int = attrs.field(kw_only=True)
    _files: int = attrs.field(kw_only=True)
    on_error: Callable[[str], None] = attrs.field(kw_only=True, default=lambda reason: None)
    lost_bytes: int = attrs.field(init=False, default=0)
    _unreported: int = attrs.field(init=False, default=0)
    _problem: str = attrs.field(init=False, default="")
    _descriptor: int = attrs.field(init=False, default=-1)
    _last: bytes = attrs.field(init=False, default=b"")
    _capacity: int = attrs.field(init=False, default=0)
    _rotating: RotatingFile = attrs.field(init=False)
    _followers: dict[object, tuple[LineSplitter, Callable[[str], None]]] = attrs.field(
        init=False, factory=dict
    )

    def __attrs_post_init__(self) -> None:
        self._rotating = RotatingFile(self._reactor, self.file, self._max_size, self._files)

    def open(self) -> None:
        """Start reading; raises `CannotCapture`. If the log file cannot be written, output is
        lost."""
        if self._descriptor != -1:
            return
        self._descriptor = _open_fifo(self._fifo)
        self._capacity = fcntl.fcntl(self._descriptor, fcntl.F_GETPIPE_SZ)
        try:
            self._rotating.open()
        except OSError as error:
            self._fail(error)
        self._reactor.addReader(self)

    def writer(self) -> int:
        """Return a descriptor for the child's output; the caller closes it.

        It is blocking, and open for reading too, so that the child never gets SIGPIPE.
        """
        assert self._descriptor != -1, "not open"
        self._last = b""
        # Through our own descriptor, since the path may have been replaced.
        return os.open(f"/proc/self/fd/{self._descriptor}", os.O_RDWR | os.O_CLOEXEC)

    def last_line(self) -> str:
        """Return the last line since `writer` was called, by `outcomes.last_line`."""
        if self._descriptor != -1:
            self.drain()
        return last_line(self._last)

    def drain(self) -> None:
        """Read what is in the FIFO now, after a child has ended.

        An incomplete last line is passed to the followers.
        """
        left = max(self._capacity, _READ)
        while left > 0 and (data := self._read()):
            left -= len(data)
            self._handle(data)
        for key, (splitter, _) in tuple(self._followers.items()):
            self._pass_on(splitter.flush(), key)

    def close(self) -> Deferred[None]:
        """Drain, and stop reading; fires when no compression is running.

        The FIFO stays: a child that continues may write to it until it is full.
        """
        if self._descriptor != -1:
            self.drain()
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1
        return self._rotating.close()

    def limit(self, max_size: int, files: int) -> None:
        """Set limits for the next rotations."""
        self._rotating.max_size = max_size
        self._rotating.files = files

    def tail(self, lines: int) -> Deferred[list[str]]:
        """Return the last `lines` lines, oldest first, also from compressed pieces; read in a
        thread.

        At most 8 MiB, a line at most 64 KiB; bytes that are not UTF-8 are replaced.
        """
        pieces = open_pieces(
            self.file, self._rotating.files
        )  # now, so that no rotation comes between
        pool = self._reactor.getThreadPool()
        return deferToThreadPool(self._reactor, pool, last_lines, pieces, lines)

    def follow(self, receive: Callable[[str], None]) -> Callable[[], None]:
        """Pass every new complete line to `receive`; return a function that ends it."""
        key = object()
        self._followers[key] = LineSplitter(skip_first=not self._rotating.at_line_start), receive

        def unfollow() -> None:
            self._followers.pop(key, None)

        return unfollow

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "output"

    def doRead(self) -> None:
        for _ in range(_READS_PER_TURN):
            data = self._read()
            self._handle(data)
            if len(data) < _READ:
                break

    def connectionLost(self, reason: Failure) -> None:
        """Close when the reactor stops."""
        if self._descriptor != -1:
            os.close(self._descriptor)
            self._descriptor = -1

    def _read(self) -> bytes:
        try:
            data = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return b""
        if len(data) >= self._capacity < _WIDE_PIPE:
            self._widen()
        return data

    def _widen(self) -> None:
        """Enlarge the pipe, once and if allowed, since the child had to wait."""
        try:
            self._capacity = fcntl.fcntl(self._descriptor, fcntl.F_SETPIPE_SZ, _WIDE_PIPE)
        except OSError:
            self._capacity = _WIDE_PIPE  # do not try again

    def _handle(self, data: bytes) -> None:
        if not data:
            return
        self._last = (self._last + data[-_LAST:])[-_LAST:]
        self._write(data)
        for key, (splitter, _) in tuple(self._followers.items()):
            self._pass_on(splitter.feed(data), key)

    def _pass_on(self, lines: list[str], key: object) -> None:
        for line in lines:
            if key not in self._followers:  # removed by the call
                return
            _, receive = self._followers[key]
            with self._log.failuresHandled("while a line of {file} was followed", file=self.file):
                receive(line)

    def _write(self, data: bytes) -> None:
        rotating = self._rotating
        if self._unreported:
            data = self._resume(data)
        try:
            rotating.write(data)
        except OSError as error:
            self._lose(len(data) - rotating.taken, error)
        else:
            if self._problem and not self._unreported:
                self._recover()

    def _resume(self, data: bytes) -> bytes:
        """Write how much is missing; return the data from the next line on, or none if it
        failed."""
        begin = data.find(b"\n") + 1
        missing = self._unreported + begin
        start = "" if self._rotating.at_line_start else "\n"
        marker = f"{start}[{missing} bytes of output are missing here: {self._problem}]\n".encode()
        try:
            self._rotating.write(marker)
        except OSError as error:
            self._lose(len(data), error)
            return b""
        self.lost_bytes += begin
        self._unreported = 0
        return data[begin:]

    def _lose(self, count: int, error: OSError) -> None:
        self.lost_bytes += count
        self._unreported += count
        self._fail(error)

    def _fail(self, error: OSError) -> None:
        if not self._problem:
            self._problem = os.strerror(error.errno or 0)
            reason = f"output cannot be written to {self.file}: {self._problem}"
            self._log.error("{reason}", reason=reason)
            self._report(reason)

    def _recover(self) -> None:
        self._problem = ""
        self._log.info("{file} can be written again", file=self.file)
        self._report("")

    def _report(self, reason: str) -> None:
        with self._log.failuresHandled("while trouble with {file} was told", file=self.file):
            self.on_error(reason)


def _open_fifo(path: Path) -> int:
    """Open the FIFO for reading and writing, so that it never ends; create it if missing."""
    try:
        try:
            os.mkfifo(path, 0o600)
        except FileExistsError:
            if not stat.S_ISFIFO(path.lstat().st_mode):
                raise CannotCapture(f"{path} is in the way: it is not a FIFO") from None
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(path, flags)
    except OSError as error:
        raise CannotCapture(f"{path} cannot be used: {error.strerror}") from error
    status = os.fstat(descriptor)
    if not stat.S_ISFIFO(status.st_mode) or status.st_uid != os.geteuid():
        os.close(descriptor)
        raise CannotCapture(f"{path} is not a FIFO of ours")
    os.fchmod(descriptor, 0o600)
    return descriptor
