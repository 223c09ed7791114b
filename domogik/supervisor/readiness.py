"""Readiness of started processes, by sd_notify(3).

One datagram socket serves all components; the sender is identified by the pid that the kernel
attaches (SCM_CREDENTIALS). A sender that has ended before its message is read cannot be identified,
and its message is dropped, as in systemd.

Lines `NAME=value` with READY, STOPPING, STATUS and WATCHDOG are understood. A descriptor that is
sent along is closed by the kernel, which is all that `BARRIER=1` requires.
"""

from __future__ import annotations

import errno
import hashlib
import socket
import struct
from collections.abc import Callable
from pathlib import Path

import attrs
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from domogik.supervisor.interfaces import Readiness, Specification

#: seconds after which a process without any other sign is running
SURVIVAL = 1.0

_CREDENTIALS = struct.Struct("iII")  # struct ucred: pid, uid, gid (unix(7))
_MOST_BYTES = 4096
_AT_A_TIME = 32  # datagrams read in one turn of the reactor
_LONGEST_STATUS = 200
_LONGEST_PATH = 107  # sun_path, without its zero


@attrs.frozen
class Notice:
    """A message of a process; `status` is None if it contains none."""

    ready: bool = False
    stopping: bool = False
    watchdog: bool = False
    status: str | None = None

    @classmethod
    def parse(cls, data: bytes) -> Notice:
        """Return the notice in any bytes; unknown lines are ignored."""
        fields = dict(
            line.partition("=")[::2] for line in data.decode("utf-8", "replace").split("\n")
        )
        status = fields.get("STATUS")
        return cls(
            ready=fields.get("READY") == "1",
            stopping=fields.get("STOPPING") == "1",
            watchdog=fields.get("WATCHDOG") == "1",
            status=None if status is None else _one_line(status),
        )


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else " " for letter in text)[:_LONGEST_STATUS]


def not_ready(specification: Specification) -> str:
    """Return the reason for a start timeout."""
    told = specification.readiness is Readiness.TOLD
    what = "did not answer" if told else "did not say that it is ready"
    return f"{what} within {specification.policy.start_timeout:g} s"


def notify_address(path: Path) -> str:
    """Return the constant value of NOTIFY_SOCKET for a socket at `path`.

    A path that is too long for the kernel is replaced by an abstract name derived from it.
    """
    if len(bytes(path)) <= _LONGEST_PATH:
        return str(path)
    return "@domogik-" + hashlib.sha256(bytes(path)).hexdigest()[:32]


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class NotifySocket:
    """The socket of NOTIFY_SOCKET. `receive(pid, notice)` is called for every datagram."""

    _reactor: IReactorFDSet
    _path: Path
    _receive: Callable[[int, Notice], None]
    _log: Logger = Logger()
    _socket: socket.socket | None = None

    @property
    def address(self) -> str:
        """The value for NOTIFY_SOCKET."""
        return notify_address(self._path)

    def open(self) -> None:
        """Listen, replacing a socket of a dead manager; raises `OSError`."""
        address = self.address
        listening = socket.socket(
            socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
        )
        try:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
            if address.startswith("@"):
                listening.bind("\0" + address[1:])
            else:
                self._path.unlink(missing_ok=True)
                listening.bind(address)
                self._path.chmod(0o600)
        except OSError:
            listening.close()
            raise
        self._socket = listening
        self._reactor.addReader(self)

    def close(self) -> None:
        """Stop listening; may be called twice. The path stays for processes that are kept."""
        if self._socket is not None:
            self._reactor.removeReader(self)
            self._socket.close()
            self._socket = None

    def fileno(self) -> int:
        return -1 if self._socket is None else self._socket.fileno()

    def logPrefix(self) -> str:
        return "sd_notify"

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket."""
        if not reason.check(ConnectionLost):
            self._log.error("sd_notify is closed: {reason}", reason=reason.getErrorMessage())
        self.close()

    def doRead(self) -> None:
        """Read a limited number of datagrams."""
        for _ in range(_AT_A_TIME):
            if self._socket is None or not self._read_one(self._socket):
                return

    def _read_one(self, listening: socket.socket) -> bool:
        space = socket.CMSG_SPACE(_CREDENTIALS.size)
        try:
            data, extra, flags, _ = listening.recvmsg(_MOST_BYTES, space)
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EWOULDBLOCK, errno.EINTR):
                self._log.error("sd_notify cannot be read: {error}", error=error)
            return False
        pid = _sender(extra)
        if pid is None or flags & socket.MSG_TRUNC:
            return True
        try:
            self._receive(pid, Notice.parse(data))
        except Exception:  # noqa: BLE001 - later messages are still handled
            self._log.failure("a notice of process {pid} was not understood", pid=pid)
        return True


def _sender(extra: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in extra:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_CREDENTIALS):
            pid: int = _CREDENTIALS.unpack_from(data)[0]
            return pid
    return None
