"""Where a hub listens: its sockets, and which addresses are this computer's."""

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

#: asked of the kernel, which cuts it to net.core.rmem_max: room for a burst while others work
RECEIVE_BUFFER_BYTES = 4 << 20
LOOPBACK = "127.0.0.1"
#: the broadcast address of lo: clients that compute one (ip | ~netmask) send there
LOOPBACK_BROADCAST = "127.255.255.255"
ANY = "0.0.0.0"  # noqa: S104 - a hub hears the whole network unless told to stay on loopback

#: linux/socket.h and linux/sock_diag.h: nine counters of a socket, the last one is the drops
_SO_MEMINFO = 55
_MEMINFO = struct.Struct("9I")

#: how long a list of interface addresses is believed, in seconds: one that is on it, and how soon
#: it is read anew for the sake of one that is not
_KNOWN_FOR = 60.0
_UNKNOWN_FOR = 5.0


class CannotListen(DomogikError):
    """The hub's port cannot be bound; the text is one line that says why."""


class Sockets(Protocol):
    """What a hub wants of its bound sockets."""

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
    """Another program, most likely another hub, has the hub's port."""


def bind(settings: NetworkSettings) -> HubSockets:
    """The bound sockets of a hub; raises `HubPortTaken` or `CannotListen`.

    On loopback two, 127.0.0.1 and 127.255.255.255 (a socket on 0.0.0.0 would hear both, and the
    network as well); otherwise one, 0.0.0.0. SO_REUSEADDR is never set: with it a second hub would
    start in silence and one of the two would get no unicast. Port 0 takes any free one.
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
    """Who has that UDP port, in words. Reads /proc once (milliseconds), only when a bind failed."""
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
    """The sockets of one hub, bound. What they receive goes to the callable given to `listen`."""

    _sockets: tuple[socket.socket, ...]
    _listening: list[DatagramSocket] = attrs.field(factory=list)

    @property
    def port(self) -> int:
        """The number all of them listen on."""
        port: int = self._sockets[0].getsockname()[1]
        return port

    @property
    def send(self) -> Callable[[bytes, Address], int]:
        """`sendto` of the first socket; raises `OSError`.

        Sending from the listening socket and not from one connected socket for each client costs
        some 20 % of the possible rate and buys: the datagrams come from the hub's own port, as
        from every other hub; an ICMP error of one client is never reported on the next call for
        another (Linux does that to connected sockets only); and no client, however many register,
        costs a descriptor. `bench/hub.py` shows both beside each other.
        """
        return self._sockets[0].sendto

    @property
    def receive_buffer_bytes(self) -> int:
        """What the kernel granted, as it counts (twice what programs may ask for)."""
        return min(sock.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF) for sock in self._sockets)

    @property
    def dropped(self) -> int:
        """Datagrams the kernel threw away because the receive buffer was full."""
        return sum(_drops(sock) for sock in self._sockets)

    def listen(self, reactor: IReactorTime, receive: Callable[[bytes, Address], object]) -> None:
        """Call `receive(datagram, sender)` for each datagram from now on."""
        descriptors = IReactorFDSet(reactor)
        for sock in self._sockets:
            listening = DatagramSocket(descriptors, sock, receive)
            self._listening.append(listening)
            descriptors.addReader(listening)

    def close(self) -> None:
        """Let go of the port at once; nothing is received after this call."""
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
    """Is this address one of this computer's? Interfaces come and go, so they are read again.

    127.0.0.2 is not, unless an interface has exactly that address (as xpl-perl's hub has it).
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
