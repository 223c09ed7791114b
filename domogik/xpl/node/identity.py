"""An identity on the network: its source, its messages and its requests."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from random import Random
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred, fail
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from domogik.errors import DomogikError
from domogik.xpl.codec.message import CMND, InvalidMessage, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.datagrams import Address
from domogik.xpl.node.heartbeats import Body
from domogik.xpl.node.presence import Presence

#: the error of requests that are pending when the port stops
CLOSED = "the network was closed before an answer came"


class NoReply(DomogikError):
    """No answer came in time."""


class Carrier(Protocol):
    """The interface of the port that an identity uses."""

    @property
    def address(self) -> Address: ...

    def carry(self, message: Message, to: Address | None) -> None: ...


@attrs.define(eq=False)
class Identity:
    """A source on the port of this process; `Port.identity` creates it."""

    source: str
    _port: Carrier
    _clock: IReactorTime
    _random: Random
    _bus: Bus
    _interval: int = 5
    _extra: Body = ()
    presence: Presence = attrs.field(init=False)
    _requests: set[_Request] = attrs.field(init=False, factory=set)
    _is_closed: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.presence = Presence(
            clock=self._clock,
            random=self._random,
            bus=self._bus,
            send=self._port.carry,
            where=lambda: self._port.address,
            source=self.source,
            interval=self._interval,
            extra=self._extra,
        )

    def is_for_me(self, message: Message) -> bool:
        """Return whether the message is for everyone or this identity, and not from it.

        Groups (`xpl-group.*`) are not supported.
        """
        return message.target.lower() in ("*", self.source) and message.source != self.source

    def send(
        self,
        type: str,
        schema: str,
        body: Iterable[tuple[str, str]],
        target: str = "*",
        to: Address | None = None,
    ) -> None:
        """Send through the hub, or directly to the (ip, port) `to`; in fragments if it is long.

        Other identities of this process get the whole message in the reactor's next turn, in the
        order of the sends, even if the datagram is lost. Raises `InvalidMessage` for what xPL does
        not allow.
        """
        self._port.carry(Message(type, self.source, target, schema=schema, body=tuple(body)), to)

    def request(
        self,
        schema: str,
        body: Iterable[tuple[str, str]],
        *,
        answer: Callable[[Message], bool],
        target: str = "*",
        to: Address | None = None,
        timeout: float,
        repeat: float | None = None,
    ) -> Deferred[Message]:
        """Send a command and wait for the first message that is its `answer`, from any source.

        The Deferred fires with that message. It fails with `NoReply` after `timeout` seconds or
        when the port stops, and with `InvalidMessage` if the command is not valid. The command is
        sent again every `repeat` seconds (None: never). Cancelling ends the wait.
        """
        if self._is_closed:
            return fail(NoReply(CLOSED))
        pairs = tuple(body)
        request = _Request(
            clock=self._clock,
            ask=lambda: self.send(CMND, schema, pairs, target=target, to=to),
            is_answer=lambda message: message.source != self.source and answer(message),
            repeat=repeat,
            waiting=self._requests,
        )
        request.start(self._bus, timeout, f"no answer to {schema} within {timeout:g} s")
        return request.result

    def close(self) -> None:
        """Fail pending requests, and send `hbeat.end`; the port does this when it stops."""
        self._is_closed = True
        for request in tuple(self._requests):
            request.fail(CLOSED)
        self.presence.leave()


@attrs.define(eq=False)
class _Request:
    """A command that waits for its answer, until `result` fires."""

    _clock: IReactorTime
    _ask: Callable[[], None]
    _is_answer: Callable[[Message], bool]
    _repeat: float | None
    #: contains this request until `result` fires
    _waiting: set[_Request]
    result: Deferred[Message] = attrs.field(init=False)
    _subscription: Subscription | None = None
    _calls: dict[str, IDelayedCall] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.result = Deferred(lambda _: self._release())

    def start(self, bus: Bus, timeout: float, reason: str) -> None:
        """Subscribe, then send, since the answer may arrive before the send returns."""
        self._waiting.add(self)
        self._subscription = bus.subscribe(self._on_message)
        self._calls["end"] = self._clock.callLater(timeout, self.fail, reason)
        self._send_again()

    def fail(self, reason: str) -> None:
        self._release()
        self.result.errback(NoReply(reason))

    def _send_again(self) -> None:
        if self._repeat is not None:
            self._calls["again"] = self._clock.callLater(self._repeat, self._send_again)
        try:
            self._ask()
        except InvalidMessage as error:
            self._release()
            self.result.errback(error)

    def _on_message(self, message: Message, _: Origin) -> None:
        if self._is_answer(message):
            self._release()
            self.result.callback(message)

    def _release(self) -> None:
        self._waiting.discard(self)
        if self._subscription is not None:
            self._subscription.cancel()
        for call in self._calls.values():
            if call.active():
                call.cancel()
