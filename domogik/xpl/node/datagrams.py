"""A UDP socket in the reactor: read in fair portions, written without waiting."""

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
#: datagrams read before the reactor's timers and its other descriptors get their turn
PORTION = 64


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class DatagramSocket:
    """One bound socket that may broadcast.

    Twisted's own UDP port counts bytes before it lets others take their turn: a flood of tiny
    datagrams keeps it reading for seconds, one of empty datagrams for ever. This one counts
    datagrams.
    """

    _reactor: IReactorFDSet
    _socket: socket.socket
    _receive: Receiver
    _log: Logger = Logger()

    @classmethod
    def open(cls, reactor: IReactorFDSet, address: Address, receive: Receiver) -> DatagramSocket:
        """Bind `address` (port 0: any free one) and hand what comes to `receive`; `OSError`."""
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
        """What it is bound to."""
        ip, port = self._socket.getsockname()
        return ip, port

    def send(self, data: bytes, address: Address) -> None:
        """Send one datagram now; `OSError` where the kernel or the address will not have it."""
        try:
            self._socket.sendto(data, (_checked(address[0]), address[1]))
        except OverflowError as error:
            raise OSError(f"{address[1]} is not a port") from error

    def close(self) -> None:
        """Receive nothing more; twice is once."""
        if self._socket.fileno() >= 0:
            self._reactor.removeReader(self)
            self._socket.close()

    def doRead(self) -> None:
        """Hand on what has arrived, a portion at most."""
        for _ in range(PORTION):
            try:
                data, address = self._socket.recvfrom(LARGEST_DATAGRAM_BYTES)
            except BlockingIOError:
                return
            except OSError as error:
                self._log.warn("reading datagrams: {error}", error=error)
                return
            try:
                self._receive(data, address)
            except Exception:  # noqa: BLE001 - a door: raising here would close the socket
                self._log.failure("a datagram from {address} was not digested", address=address)
            if self._socket.fileno() < 0:
                return

    def fileno(self) -> int:
        """For the reactor; -1 when closed."""
        return self._socket.fileno()

    def connectionLost(self, reason: Failure) -> None:
        """The reactor gives up on the descriptor, or shuts down."""
        self._socket.close()

    def logPrefix(self) -> str:
        """For the reactor's log."""
        return "xPL"


def local_address(towards: Address) -> str:
    """The address of the interface that datagrams to `towards` leave by; `OSError` without one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        probe.connect((_checked(towards[0]), towards[1]))
        ip: str = probe.getsockname()[0]
        return ip


def _checked(ip: str) -> str:
    """`ip`, where it is a dotted quad: for anything else the system's library would ask the DNS."""
    try:
        socket.inet_pton(socket.AF_INET, ip)
    except (OSError, ValueError) as error:
        raise OSError(f"{ip!r} is not an IPv4 address") from error
    return ip
