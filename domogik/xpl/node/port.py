"""The UDP socket of a process, which its identities share."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from random import Random
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorFDSet, IReactorTime
from twisted.logger import Logger

from domogik.clock import LogThrottle
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
from domogik.xpl.node.identity import Identity

_ANY = "0.0.0.0"  # noqa: S104 - set in the configuration


class CannotBind(DomogikError):
    """The address cannot be bound; the text is one line that says what to change."""


@attrs.frozen
class NetworkSettings:
    """The keys `bind_interface`, `broadcast` and `xpl_port` of [domogik]."""

    bind_interface: str = "127.0.0.1"
    broadcast: str = "255.255.255.255"
    xpl_port: int = 3865

    @property
    def is_loopback(self) -> bool:
        """Whether all traffic stays on this computer."""
        return self.bind_interface.startswith("127.")

    @property
    def hub_address(self) -> Address:
        """The address of all messages that are not sent directly.

        On loopback it is 127.0.0.1 whatever `broadcast` is: 255.255.255.255 leaves by the default
        route and reaches no local socket.
        """
        return ("127.0.0.1" if self.is_loopback else self.broadcast, self.xpl_port)


@attrs.define
class Counters:
    """Counts since the start: datagrams received, sent, invalid and refused by the kernel; messages
    delivered to identities of this process."""

    received: int = 0
    sent: int = 0
    invalid: int = 0
    unsent: int = 0
    in_process: int = 0


class Socket(Protocol):
    """The methods of `DatagramSocket` that the port uses."""

    @property
    def address(self) -> Address: ...

    def send(self, data: bytes, address: Address) -> None: ...

    def close(self) -> None: ...


def _open_socket(reactor: IReactorTime, address: Address, receive: Receiver) -> Socket:
    return DatagramSocket.open(IReactorFDSet(reactor), address, receive)


@attrs.define(eq=False)
class Port:
    """Sends from the socket it listens on, since some hubs answer to the source of a datagram.

    Received datagrams are decoded, joined if they are fragments, and delivered on the bus. Echoes
    of our own messages are used for presence only, because the bus got them when they were sent.
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
    #: messages of our identities that are not yet on the bus, oldest first
    _published: deque[Message] = attrs.field(init=False, factory=deque)
    _flush: IDelayedCall | None = attrs.field(init=False, default=None)
    _sent_fragments: SentFragments = attrs.field(init=False)
    _reassembler: Reassembler = attrs.field(init=False)
    _invalid_limit: LogThrottle = attrs.field(init=False)
    _unsent_limit: LogThrottle = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._sent_fragments = SentFragments(self._reactor, self._random)
        self._reassembler = Reassembler(self._reactor, self._ask_for_missing)
        self._invalid_limit = LogThrottle(self._reactor)
        self._unsent_limit = LogThrottle(self._reactor)

    @property
    def address(self) -> Address:
        """The (ip, port) that heartbeats announce; `RuntimeError` before `start`.

        If bound to 0.0.0.0, the ip is that of the current interface towards `broadcast`.
        """
        if self._socket is None:
            raise RuntimeError("the port is not started")
        ip, port = self._socket.address
        if ip == _ANY:
            try:
                ip = local_address(self.settings.hub_address)
            except OSError:  # without a network the hub of this host may still receive it
                ip = "127.0.0.1"
        return ip, port

    def start(self) -> None:
        """Bind and listen; raises `CannotBind` if `bind_interface` is not an address of this
        host."""
        wanted = self.settings.bind_interface
        try:
            self._socket = self._open(self._reactor, (wanted, 0), self.received)
        except OSError as error:
            raise CannotBind(
                f"cannot bind {wanted}: {error.strerror or error}; bind_interface in the section"
                " [domogik] must be an address of this host"
            ) from error

    def stop(self) -> Deferred[None]:
        """Close every identity, then the socket; the Deferred fires when that is done."""
        # a copy: a failed request may lead to a new identity
        for identity in tuple(self._identities.values()):
            identity.close()
        self._deliver_published()  # other identities receive the `hbeat.end`
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
        """Return a new `domogik-<device>.<host>`; raises `InvalidMessage`, or `ValueError` if it
        exists.

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
        """Send a message for an identity; raises `InvalidMessage`."""
        data = encode(message)
        parts = [message]
        if len(data) > LARGEST_PART_BYTES and self._socket is not None:
            parts = self._sent_fragments.split(message)
        self._transmit(parts, to or self.settings.hub_address)
        if self._socket is None:
            return
        self._published.append(message)
        if self._flush is None:
            self._flush = self._reactor.callLater(0, self._deliver_published)

    def received(self, data: bytes, address: Address) -> None:
        """Handle a datagram; an embedded hub calls this with the sender's address. Raises
        nothing."""
        self.counters.received += 1
        try:
            message = decode(data)
        except InvalidMessage as error:
            self._on_invalid(error, address)
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

    def _deliver_published(self) -> None:
        """Deliver the pending messages; those that handlers send follow in the next turn."""
        if self._flush is not None and self._flush.active():
            self._flush.cancel()
        self._flush = None
        published, self._published = self._published, deque()
        for message in published:
            self.counters.in_process += 1
            self._bus.deliver(message, Origin(None))

    def _ask_for_missing(self, source: str, identifier: str, missing: tuple[int, ...]) -> None:
        """Request missing parts; a process without an identity cannot."""
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
                self._on_send_error(error, address)
            else:
                self.counters.sent += 1

    def _on_send_error(self, error: OSError, address: Address) -> None:
        self.counters.unsent += 1
        if self._unsent_limit.is_due():
            self._log.warn(
                "not sent to {address}: {error} ({count} until now)",
                address=address,
                error=error,
                count=self.counters.unsent,
            )

    def _on_invalid(self, error: InvalidMessage, address: Address) -> None:
        self.counters.invalid += 1
        if self._invalid_limit.is_due():
            self._log.warn(
                "invalid datagram from {address}: {error} ({count} until now)",
                address=address,
                error=error,
                count=self.counters.invalid,
            )
