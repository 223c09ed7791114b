"""The one UDP socket of a process; its identities share it."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime
from twisted.logger import Logger

from domogik.errors import DomogikError
from domogik.xpl.codec.codec import decode, encode
from domogik.xpl.codec.fragments import (
    LARGEST_PART_BYTES,
    REQUEST_SCHEMA,
    Reassembler,
    SentFragments,
    request_body,
)
from domogik.xpl.codec.fragments import SCHEMA as FRAGMENT_SCHEMA
from domogik.xpl.codec.message import CMND, STAT, InvalidMessage, Message
from domogik.xpl.node.bus import Bus, Origin
from domogik.xpl.node.datagrams import Address, DatagramSocket, Receiver, local_address
from domogik.xpl.node.identity import Identity, NoReply

__all__ = ["CannotBind", "Counters", "Identity", "NetworkSettings", "NoReply", "Port"]

#: seconds between two lines in the log about the same trouble
LOG_PAUSE = 60

_ANY = "0.0.0.0"  # noqa: S104 - who binds it has said so in the configuration


class CannotBind(DomogikError):
    """The address to bind is not there; the text is one line that says what to change."""


@attrs.frozen
class NetworkSettings:
    """`bind_interface`, `broadcast` and `xpl_port` of the section [domogik]."""

    bind_interface: str = "127.0.0.1"
    broadcast: str = "255.255.255.255"
    xpl_port: int = 3865

    @property
    def is_loopback(self) -> bool:
        """Whether nothing leaves this computer."""
        return self.bind_interface.startswith("127.")

    @property
    def hub_address(self) -> Address:
        """Where everything is sent that is not sent straight to somebody.

        On loopback that is 127.0.0.1 whatever `broadcast` says: 255.255.255.255 leaves by the
        default route and reaches no socket of ours.
        """
        return ("127.0.0.1" if self.is_loopback else self.broadcast, self.xpl_port)


@attrs.define
class Counters:
    """Since the start: datagrams received, sent, invalid and refused by the kernel; and messages
    handed to the process's own identities."""

    received: int = 0
    sent: int = 0
    invalid: int = 0
    unsent: int = 0
    in_process: int = 0


class Socket(Protocol):
    """What the port needs of a `DatagramSocket`."""

    @property
    def address(self) -> Address: ...

    def send(self, data: bytes, address: Address) -> None: ...

    def close(self) -> None: ...


def _open_socket(reactor: IReactorTime, address: Address, receive: Receiver) -> Socket:
    return DatagramSocket.open(IReactorFDSet(reactor), address, receive)


@attrs.define(eq=False)
class Port:
    """Sends from the socket it listens on, as hubs that answer the datagram's source need it.

    What comes in is decoded, put together where it comes in fragments, and delivered on the bus.
    Not delivered is what came from one of our own identities: the bus had it when it was sent, so
    its echo serves presence only.
    """

    _reactor: IReactorTime
    settings: NetworkSettings
    _bus: Bus
    _random: Random = attrs.field(factory=Random)
    _open: Callable[[IReactorTime, Address, Receiver], Socket] = _open_socket
    _log: Logger = Logger()
    counters: Counters = attrs.field(init=False, factory=Counters)
    _socket: Socket | None = attrs.field(init=False, default=None)
    _identities: dict[str, Identity] = attrs.field(init=False, factory=dict)
    #: messages of our identities that the bus has not had yet, oldest first
    _said: deque[Message] = attrs.field(init=False, factory=deque)
    _flush: IDelayedCall | None = attrs.field(init=False, default=None)
    _sent_fragments: SentFragments = attrs.field(init=False)
    _reassembler: Reassembler = attrs.field(init=False)
    _invalid_lines: _Seldom = attrs.field(init=False)
    _unsent_lines: _Seldom = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._sent_fragments = SentFragments(self._reactor, self._random)
        self._reassembler = Reassembler(self._reactor, self._ask_for_missing)
        self._invalid_lines = _Seldom(self._reactor)
        self._unsent_lines = _Seldom(self._reactor)

    @property
    def address(self) -> Address:
        """Our (ip, port), as heartbeats announce it; `RuntimeError` before `start`.

        Bound to 0.0.0.0, the ip is that of the interface towards `broadcast` as it is now.
        """
        if self._socket is None:
            raise RuntimeError("the port is not started")
        ip, port = self._socket.address
        if ip == _ANY:
            try:
                ip = local_address(self.settings.hub_address)
            except OSError:  # no network now: the hub of this host may still hear us
                ip = "127.0.0.1"
        return ip, port

    def start(self) -> None:
        """Bind and listen; `CannotBind` where `bind_interface` is no address of this host."""
        wanted = self.settings.bind_interface
        try:
            self._socket = self._open(self._reactor, (wanted, 0), self.received)
        except OSError as error:
            raise CannotBind(
                f"cannot bind {wanted}: {error.strerror or error}; bind_interface in the section"
                " [domogik] must be an address of this host"
            ) from error

    def stop(self) -> Deferred[None]:
        """Every identity leaves, then the socket is closed; fires when that is done."""
        # a copy: who is told that nobody answers any more may speak as somebody new
        for identity in tuple(self._identities.values()):
            identity.hang_up()
        self._deliver_said()  # the end of one is news to the others
        self._reassembler.stop()
        self._sent_fragments.stop()
        if self._flush is not None:
            self._flush.cancel()
            self._flush = None
        if self._socket is not None:
            self._socket.close()
            self._socket = None
        return succeed(None)

    def identity(
        self, device: str, host: str, *, interval: int = 5, extra: Iterable[tuple[str, str]] = ()
    ) -> Identity:
        """A new `domogik-<device>.<host>`; `InvalidMessage`, or `ValueError` if it is here already.

        `interval` is in minutes, 5 to 30; `extra` ends the body of its heartbeats.
        """
        source = f"domogik-{device}.{host}".lower()
        if source in self._identities:
            raise ValueError(f"{source} is on this port already")
        identity = Identity(
            source=source,
            port=self,
            clock=self._reactor,
            random=self._random,
            bus=self._bus,
            interval=interval,
            extra=tuple(extra),
        )
        body = identity.presence.body("255.255.255.255", 65535)
        encode(Message(STAT, source, "*", schema="hbeat.app", body=body))
        self._identities[source] = identity
        return identity

    def carry(self, message: Message, to: Address | None) -> None:
        """What `Identity.send` does; `InvalidMessage`."""
        data = encode(message)
        parts = [message]
        if len(data) > LARGEST_PART_BYTES and self._socket is not None:
            parts = self._sent_fragments.split(message)
        self._transmit(parts, to or self.settings.hub_address)
        if self._socket is None:
            return
        self._said.append(message)
        if self._flush is None:
            self._flush = self._reactor.callLater(0, self._deliver_said)

    def received(self, data: bytes, address: Address) -> None:
        """One datagram from the network; an embedded hub calls this with the sender's address.

        Raises nothing, whatever the bytes are.
        """
        self.counters.received += 1
        try:
            message = decode(data)
        except InvalidMessage as error:
            self._refused(error, address)
            return
        origin = Origin(address)
        mine = self._identities.get(message.source)
        if mine is not None:
            mine.presence.heard(message, origin)
            return
        if message.schema == FRAGMENT_SCHEMA:
            whole = self._reassembler.add(message)
            if whole is not None:
                self._bus.deliver(whole, origin)
            return
        if message.schema == REQUEST_SCHEMA:
            self._transmit(self._sent_fragments.answer(message), self.settings.hub_address)
        self._bus.deliver(message, origin)

    def _deliver_said(self) -> None:
        """What our identities said until now; what handlers say to that has its own turn."""
        if self._flush is not None and self._flush.active():
            self._flush.cancel()
        self._flush = None
        said, self._said = self._said, deque()
        for message in said:
            self.counters.in_process += 1
            self._bus.deliver(message, Origin(None))

    def _ask_for_missing(self, source: str, identifier: str, missing: tuple[int, ...]) -> None:
        """Parts of a message did not come; who has no name here cannot ask for them."""
        for identity in self._identities.values():
            identity.send(CMND, REQUEST_SCHEMA, request_body(identifier, missing), target=source)
            return

    def _transmit(self, messages: Iterable[Message], address: Address) -> None:
        for message in messages:
            try:
                if self._socket is None:
                    raise OSError("the port is closed")
                self._socket.send(encode(message, addressed=True), address)
            except OSError as error:
                self._not_sent(error, address)
            else:
                self.counters.sent += 1

    def _not_sent(self, error: OSError, address: Address) -> None:
        self.counters.unsent += 1
        if self._unsent_lines.is_due():
            self._log.warn(
                "not sent to {address}: {error} ({count} until now)",
                address=address,
                error=error,
                count=self.counters.unsent,
            )

    def _refused(self, error: InvalidMessage, address: Address) -> None:
        self.counters.invalid += 1
        if self._invalid_lines.is_due():
            self._log.warn(
                "invalid datagram from {address}: {error} ({count} until now)",
                address=address,
                error=error,
                count=self.counters.invalid,
            )


@attrs.define(eq=False)
class _Seldom:
    """Whether the same trouble may be logged again: once in `LOG_PAUSE`."""

    _clock: IReactorTime
    _silent_until: float = float("-inf")

    def is_due(self) -> bool:
        now = self._clock.seconds()
        if now < self._silent_until:
            return False
        self._silent_until = now + LOG_PAUSE
        return True
