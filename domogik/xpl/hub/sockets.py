"""The sockets of a hub, and the addresses of this computer."""

from __future__ import annotations

import errno
import socket
import struct
import time
from collections.abc import Callable
from typing import Protocol

import attrs
import psutil
from twisted.internet.interfaces import IReactorFDSet, IReactorTime

from domogik.errors import DomogikError
from domogik.xpl.node.datagrams import Address, DatagramSocket
from domogik.xpl.node.port import NetworkSettings

#: requested from the kernel, which limits it to net.core.rmem_max; it buffers bursts
RECEIVE_BUFFER_BYTES = 4 << 20
LOOPBACK = "127.0.0.1"
#: the broadcast address of lo: clients that compute one (ip | ~netmask) send there
LOOPBACK_BROADCAST = "127.255.255.255"
ANY = "0.0.0.0"  # noqa: S104 - a hub hears the whole network unless told to stay on loopback

#: linux/socket.h and linux/sock_diag.h: nine counters of a socket, the last one is the drops
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")

#: seconds after which the list of interface addresses is read again: for an address that is on it,
#: and for one that is not
_KNOWN_FOR = 60.0
_UNKNOWN_FOR = 5.0


class CannotListen(DomogikError):
    """The hub's port cannot be bound; the text is one line with the cause."""


class Sockets(Protocol):
    """The interface of the sockets that a hub uses."""

    @property
    def port(self) -> int: ...

    @property
    def send(self) -> Callable[[bytes, Address], int]: ...

    @property
    def receive_buffer_bytes(self) -> int: ...

    @property
    def dropped(self) -> int: ...

    def listen(
        self, reactor: IReactorTime, receive: Callable[[bytes, Address], object]
    ) -> None: ...

    def close(self) -> None: ...


class HubPortTaken(CannotListen):
    """Another program, usually another hub, uses the hub's port."""


def bind(settings: NetworkSettings) -> HubSockets:
    """Return the bound sockets of a hub; raises `HubPortTaken` or `CannotListen`.

    On loopback there are two, 127.0.0.1 and 127.255.255.255 (0.0.0.0 would also receive from the
    network), otherwise one, 0.0.0.0. SO_REUSEADDR is never set: with it a second hub would start,
    and one of the two would get no unicast. Port 0 selects a free one.
    """
    if not settings.is_loopback:
        return HubSockets((_bound(ANY, settings.xpl_port),))
    for _ in range(20):  # port 0: the number that is free at one address may be taken at the other
        unicast = _bound(LOOPBACK, settings.xpl_port)
        try:
            broadcast = _bound(LOOPBACK_BROADCAST, unicast.getsockname()[1])
        except HubPortTaken:
            unicast.close()
            if settings.xpl_port:
                raise
        except CannotListen:
            unicast.close()
            raise
        else:
            return HubSockets((unicast, broadcast))
    raise CannotListen("found no port that is free at 127.0.0.1 and at 127.255.255.255")


def _bound(address: str, port: int) -> socket.socket:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        sock.bind((address, port))
    except OSError as error:
        sock.close()
        if error.errno == errno.EADDRINUSE:
            raise HubPortTaken(
                f"UDP port {port} of {address} is taken by {_holder(port)}: stop it, or set "
                "'hub = external' to use it, or choose another 'xpl_port'"
            ) from error
        raise CannotListen(
            f"cannot listen on UDP port {port} of {address}: {error.strerror}"
        ) from error
    return sock


def _holder(port: int) -> str:
    """Return a description of the process that has the UDP port. Reads /proc once, for
    milliseconds."""
    try:
        pids = {
            connection.pid
            for connection in psutil.net_connections("udp4")
            if connection.laddr and connection.laddr.port == port
        }
        for pid in sorted(pid for pid in pids if pid is not None):
            return f"{psutil.Process(pid).name()} (pid {pid})"
    except (psutil.Error, OSError):
        pass
    return "another program"


@attrs.define(eq=False)
class HubSockets:
    """The bound sockets of one hub; datagrams are passed to the callable given to `listen`."""

    _sockets: tuple[socket.socket, ...]
    _listening: list[DatagramSocket] = attrs.field(factory=list)

    @property
    def port(self) -> int:
        """The port of all sockets."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    @property
    def send(self) -> Callable[[bytes, Address], int]:
        """The `sendto` method of the first socket; raises `OSError`.

        A connected socket for each client would be some 20 % faster (`bench/hub.py`). But this way
        datagrams come from the hub's own port, as from every other hub, an ICMP error of one client
        is never reported for another, and no client costs a descriptor.
        """
        return self._sockets[0].sendto

    @property
    def receive_buffer_bytes(self) -> int:
        """The size that the kernel granted, twice what programs may request."""
        return min(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for sock in self._sockets)

    @property
    def dropped(self) -> int:
        """The number of datagrams that the kernel dropped because the buffer was full."""
        return sum(_drops(sock) for sock in self._sockets)

    def listen(self, reactor: IReactorTime, receive: Callable[[bytes, Address], object]) -> None:
        """Call `receive(datagram, sender)` for each datagram from now on."""
        descriptors = IReactorFDSet(reactor)
        for sock in self._sockets:
            listening = DatagramSocket(descriptors, sock, receive)
            self._listening.append(listening)
            descriptors.addReader(listening)

    def close(self) -> None:
        """Close the sockets; nothing is received after this call."""
        for listening in self._listening:
            listening.close()
        for sock in self._sockets:
            sock.close()


def _drops(sock: socket.socket) -> int:
    try:
        counters = sock.getsockopt(socket.SOL_SOCKET, _SO_MEMINFO, _MEMINFO.size)
    except OSError:  # older than Linux 4.12, or not Linux
        return 0
    drops: int = _MEMINFO.unpack(counters)[-1]
    return drops


@attrs.define(eq=False)
class LocalAddresses:
    """Returns whether an address is one of this computer's; the list is refreshed regularly.

    127.0.0.2 is not, unless an interface has exactly that address (as in xpl-perl's hub).
    """

    _monotonic: Callable[[], float] = time.monotonic
    _known: frozenset[str] = frozenset()
    _read_at: float = -_KNOWN_FOR

    def __call__(self, address: str) -> bool:
        age = self._monotonic() - self._read_at
        if age >= (_KNOWN_FOR if address in self._known else _UNKNOWN_FOR):
            self._known = frozenset(
                entry.address
                for entries in psutil.net_if_addrs().values()
                for entry in entries
                if entry.family == socket.AF_INET
            )
            self._read_at = self._monotonic()
        return address in self._known
