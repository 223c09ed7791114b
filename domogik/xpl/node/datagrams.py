"""A UDP socket in the reactor."""

from __future__ import annotations

import socket
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IReactorFDSet, IReadDescriptor
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

#: an IPv4 address and a port
Address = tuple[str, int]
Receiver = Callable[[bytes, Address], object]

LARGEST_DATAGRAM_BYTES = 65507
RECEIVE_BUFFER_BYTES = 1 << 20
#: datagrams read before the reactor serves timers and other descriptors
READS_PER_TURN = 64


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class DatagramSocket:
    """A bound UDP socket that may broadcast.

    Twisted's UDP port limits the bytes, not the datagrams, that it reads in one turn: small or
    empty datagrams can block the reactor. This one limits datagrams.
    """

    _reactor: IReactorFDSet
    _socket: socket.socket
    _receive: Receiver
    _log: Logger = Logger()

    @classmethod
    def open(cls, reactor: IReactorFDSet, address: Address, receive: Receiver) -> DatagramSocket:
        """Bind `address` (port 0: any free one) and pass datagrams to `receive`; raises
        `OSError`."""
        bound = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            bound.setblocking(False)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
            bound.bind((_checked(address[0]), address[1]))
        except BaseException:
            bound.close()
            raise
        opened = cls(reactor, bound, receive)
        reactor.addReader(opened)
        return opened

    @property
    def address(self) -> Address:
        """The bound address."""
        ip, port = self._socket.getsockname()
        return ip, port

    def send(self, data: bytes, address: Address) -> None:
        """Send a datagram; raises `OSError`."""
        try:
            self._socket.sendto(data, (_checked(address[0]), address[1]))
        except OverflowError as error:
            raise OSError(f"{address[1]} is not a port") from error

    def close(self) -> None:
        """Close the socket; may be called twice."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()

    def doRead(self) -> None:
        """Read up to `READS_PER_TURN` datagrams."""
        for _ in range(READS_PER_TURN):
            try:
                data, address = self._socket.recvfrom(LARGEST_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._log.warn("reading datagrams: {error}", error=error)
                return
            try:
                self._receive(data, address)
            except Exception:  # noqa: BLE001 - raising would close the socket
                self._log.failure("handling a datagram from {address} failed", address=address)
            if self._socket.fileno() < 0:
                return

    def fileno(self) -> int:
        """Return the descriptor, -1 when closed."""
        return self._socket.fileno()

    def connectionLost(self, reason: Failure) -> None:
        """Close the socket."""
        self._socket.close()

    def logPrefix(self) -> str:
        """Return the prefix for the reactor's log."""
        return "xPL"


def local_address(towards: Address) -> str:
    """Return the address of the interface that datagrams to `towards` leave by; raises
    `OSError`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        probe.connect((_checked(towards[0]), towards[1]))
        ip: str = probe.getsockname()[0]
        return ip


def _checked(ip: str) -> str:
    """Return `ip` if it is a dotted quad; others would cause a DNS query."""
    try:
        socket.inet_pton(socket.AF_INET, ip)
    except (OSError, ValueError) as error:
        raise OSError(f"{ip!r} is not an IPv4 address") from error
    return ip
