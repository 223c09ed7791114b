"""Reserves free TCP ports until a server uses them.

All programs of one user share a directory with a file for each reserved port. The process that has
locked the file, flock(2), has the port; so a reservation ends with its process. The next
reservation removes files without a lock; the last release removes the directory.
"""

from __future__ import annotations

import contextlib
import enum
import errno
import fcntl
import ipaddress
import math
import os
import socket
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path
from random import Random

import attrs

from domogik.config.files import unlock
from domogik.errors import DomogikError
from domogik.supervisor.ports.listeners import InvalidAddress, described, holders, occupants
from domogik.supervisor.ports.sock_diag import CannotSeeSockets

#: the ports to choose from
RANGE = range(20000, 30000)
#: Linux's default ephemeral ports
_USUAL_EPHEMERAL = range(32768, 61000)
_SETTINGS = Path("/proc/sys/net/ipv4")
_MEMORY = Path("/dev/shm")  # noqa: S108 - the directory in it is private, or is refused


class CannotReserve(DomogikError):
    """No port is available; the text says why."""


class PortTaken(CannotReserve):
    """The requested port is used; `held` describes its holder: "held by ..."."""

    def __init__(self, port: int, words: str) -> None:
        super().__init__(f"port {port} is {words}")
        self.port = port
        self.held = words


class NoFreePort(CannotReserve):
    """All ports of the range are used."""


class UnsafeDirectory(CannotReserve):
    """Others may write to the directory, or something else has its name."""


def default_directory() -> Path:
    """Return the directory of this user's reservations.

    It is in memory if possible, since it is created and removed at each start.
    """
    place = _MEMORY if os.access(_MEMORY, os.W_OK | os.X_OK) else Path(tempfile.gettempdir())
    return place / f"domogik-ports-{os.geteuid()}"


@attrs.define(eq=False)
class Reservation:
    """A port reserved for this process, until `release` or its end."""

    port: int
    _lock: int | None
    #: the table, and its directory by an open descriptor
    _path: Path
    _directory: int

    def release(self) -> None:
        """Release the port; further calls have no effect."""
        if self._lock is not None:
            lock, self._lock = self._lock, None
            _unlock(self._directory, self.port, lock)
            os.close(self._directory)
            with contextlib.suppress(OSError):  # others are in it, or have removed it
                self._path.rmdir()


@attrs.define(eq=False)
class PortTable:
    """The table in `directory`, which is created (0700) if it is missing. `random` chooses.

    Several tables on one directory exclude each other, also in one process.
    """

    _directory: Path
    _random: Random
    _ports: range = RANGE
    _settings: Path = _SETTINGS

    def reserve(self, bind_address: str, wanted: int | None = None) -> Reservation:
        """Reserve a port that a server can bind at that address now.

        It is chosen from `RANGE`, without the kernel's ephemeral and reserved ports (with the
        ephemeral ones if nothing else is left); or it is the `wanted` one. Raises `PortTaken` for a
        wanted one, `NoFreePort`, `UnsafeDirectory`, `InvalidAddress`, and `CannotReserve` if the
        address is not this host's or the port is not permitted.

        Blocks for half a millisecond. For a wanted one it may examine all processes (see `owners`),
        so it belongs in a thread.
        """
        if wanted is not None and not 0 < wanted < 65536:
            raise CannotReserve(f"{wanted} is no port")
        server = _Server.of(bind_address)
        while True:
            with contextlib.suppress(_TableRemoved), _opened(self._directory) as directory:
                _sweep(directory)
                return self._choose(directory, server, wanted)

    def _choose(self, directory: int, server: _Server, wanted: int | None) -> Reservation:
        for port in self.candidates() if wanted is None else (wanted,):
            outcome = _reserve(directory, server, port)
            if isinstance(outcome, int):
                return Reservation(port, outcome, self._directory, os.dup(directory))
            if port == wanted and outcome is _Obstacle.RESERVED:
                raise PortTaken(wanted, f"reserved by {_read_note(directory, wanted)}")
            if port == wanted:
                raise PortTaken(wanted, _holder(server.text, wanted))
        raise NoFreePort(f"all ports from {self._ports[0]} to {self._ports[-1]} are taken")

    def candidates(self) -> Iterator[int]:
        """Yield the ports to try, in random order."""
        reserved = parse_ranges(_setting(self._settings / "ip_local_reserved_ports"))
        ephemeral = parse_ephemeral(_setting(self._settings / "ip_local_port_range"))
        if ephemeral.start <= self._ports[0] and self._ports[-1] < ephemeral.stop:
            # All ports of the range are ephemeral on this host: use them nevertheless.
            ephemeral = range(0)
        for port in in_random_order(self._ports, self._random):
            if port not in ephemeral and not any(port in some for some in reserved):
                yield port


def in_random_order(ports: range, random: Random) -> Iterator[int]:
    """Yield each once, from a random one on in steps that share no divisor with their count."""
    count = len(ports)
    step = random.randrange(count)
    while math.gcd(step, count) != 1:
        step = random.randrange(count)
    start = random.randrange(count)
    for turn in range(count):
        yield ports[(start + turn * step) % count]


@attrs.frozen
class _Server:
    """The address of a server, as `bind` takes it."""

    text: str
    family: int
    scope: int

    @classmethod
    def of(cls, address: str) -> _Server:
        try:
            ipaddress.ip_address(address)
            family, _, _, _, where = socket.getaddrinfo(
                address, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST
            )[0]
        except (ValueError, OSError):  # the second: the interface after a `%` does not exist
            raise InvalidAddress(f"'{address}' is no IP address of this host") from None
        return cls(address, family, where[3] if len(where) == 4 else 0)

    def can_bind(self, port: int) -> bool:
        """Return False for EADDRINUSE; raises `CannotReserve` for another error."""
        try:
            with socket.socket(self.family, socket.SOCK_STREAM) as test:
                test.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                if self.family == socket.AF_INET6:
                    # the harder test: a server may want IPv4 as well
                    test.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
                    test.bind((self.text.partition("%")[0], port, 0, self.scope))
                else:
                    test.bind((self.text, port))
        except OSError as error:
            if error.errno == errno.EADDRINUSE:
                return False
            raise CannotReserve(
                f"cannot listen on port {port} of {self.text}: {error.strerror}"
            ) from error
        return True


class _Obstacle(enum.Enum):
    RESERVED = "its lock is held"
    BOUND = "it cannot be bound"


class _TableRemoved(Exception):
    """Another program has removed the directory since it was opened."""


def _reserve(directory: int, server: _Server, port: int) -> int | _Obstacle:
    lock = _lock(directory, port)
    if lock is None:
        return _Obstacle.RESERVED
    bindable = False
    try:
        bindable = server.can_bind(port)
    finally:
        if not bindable:
            _unlock(directory, port, lock)
    return lock if bindable else _Obstacle.BOUND


def _holder(address: str, port: int) -> str:
    try:
        if found := holders(address, port):
            return described(found)
        if found := occupants(address, port):
            return f"{described(found)}, which does not listen there"
    except CannotSeeSockets:
        pass
    return "in use by a process that cannot be seen"


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[int]:
    """Open the directory; raises `UnsafeDirectory` unless it is private to this user."""
    try:
        with contextlib.suppress(FileExistsError):
            path.mkdir(0o700, parents=True, exist_ok=True)
        try:
            flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
            directory = os.open(path, flags)
        except FileNotFoundError:
            raise _TableRemoved from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.ENOTDIR):
            raise UnsafeDirectory(f"{path} is no directory: remove it") from error
        raise CannotReserve(f"cannot use {path}: {error.strerror}") from error
    try:
        status = os.fstat(directory)
        if status.st_uid != os.geteuid():
            raise UnsafeDirectory(f"{path} belongs to user {status.st_uid}: remove it")
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise UnsafeDirectory(f"{path} is open to other users: remove it")
        yield directory
    finally:
        os.close(directory)


def _sweep(directory: int) -> None:
    """Remove the files of programs that ended without a release."""
    for name in os.listdir(directory):
        if name.isascii() and name.isdigit():
            lock = _lock(directory, int(name))
            if lock is not None:
                _unlock(directory, int(name), lock)


def _lock(directory: int, port: int) -> int | None:
    """Return the descriptor with the lock of this port, None if another process has it."""
    while True:
        lock = _lock_once(directory, port)
        if lock is None or _is_there(directory, port, lock):
            return lock
        os.close(lock)  # its holder has removed the file before the lock was free


def _is_there(directory: int, port: int, descriptor: int) -> bool:
    try:
        found = os.stat(str(port), dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return found.st_ino == os.fstat(descriptor).st_ino


def _lock_once(directory: int, port: int) -> int | None:
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(str(port), flags, 0o600, dir_fd=directory)
    except FileNotFoundError:
        raise _TableRemoved from None
    except OSError as error:
        if error.errno in (errno.ELOOP, errno.EISDIR, errno.ENXIO):
            raise UnsafeDirectory(f"the file of port {port} is no file: remove it") from error
        raise CannotReserve(f"cannot reserve port {port}: {error.strerror}") from error
    locked = False
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_nlink > 1:
            raise UnsafeDirectory(f"the file of port {port} is no file of its own: remove it")
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_note(descriptor)
        locked = True
    except BlockingIOError:
        return None
    except OSError as error:
        raise CannotReserve(f"cannot reserve port {port}: {error.strerror}") from error
    finally:
        if not locked:
            os.close(descriptor)
    return descriptor


def _unlock(directory: int, port: int, descriptor: int) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(str(port), dir_fd=directory)
    unlock(descriptor)


def _write_note(descriptor: int) -> None:
    """Write the name of this process, for messages about the port."""
    name = Path("/proc/self/comm").read_text("utf-8", "replace").strip()
    os.ftruncate(descriptor, 0)
    os.pwrite(descriptor, f"{name} (process {os.getpid()})".encode(), 0)


def _read_note(directory: int, port: int) -> str:
    try:
        descriptor = os.open(
            str(port), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory
        )
    except OSError:
        return "another program"
    try:
        text = os.read(descriptor, 100).decode("utf-8", "replace")
    finally:
        os.close(descriptor)
    return "".join(c if c.isprintable() else "?" for c in text) or "another program"


def _setting(path: Path) -> str:
    try:
        return path.read_text("ascii")
    except (OSError, UnicodeDecodeError):  # not shown in some containers
        return ""


def parse_ephemeral(text: str) -> range:
    """Return ip_local_port_range (ip(7)); Linux's default if it is not two numbers."""
    try:
        first, last = map(int, text.split())
    except ValueError:
        return _USUAL_EPHEMERAL
    return range(first, last + 1)


def parse_ranges(text: str) -> list[range]:
    """Return ip_local_reserved_ports: `8080,10000-10010`; invalid ranges are ignored."""
    found = []
    for item in text.strip().split(","):
        first, _, last = item.partition("-")
        with contextlib.suppress(ValueError):
            found.append(range(int(first), int(last or first) + 1))
    return found
