"""One role on the network: a source of its own, what it sends, and the questions it asks."""

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
from domogik.xpl.node.presence import Body, Presence

#: why nobody can answer any more
CLOSED = "the network was closed before an answer came"


class NoReply(DomogikError):
    """Nobody answered in time."""


class Carrier(Protocol):
    """What an identity needs of the port it is on."""

    @property
    def address(self) -> Address: ...

    def carry(self, message: Message, to: Address | None) -> None: ...


@attrs.define(eq=False)
class Identity:
    """A source on the port of this process; `Port.identity` makes one."""

    source: str
    _port: Carrier
    _clock: IReactorTime
    _random: Random
    _bus: Bus
    _interval: int = 5
    _extra: Body = ()
    presence: Presence = attrs.field(init=False)
    _questions: set[_Question] = attrs.field(init=False, factory=set)
    _is_closed: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self.presence = Presence(
            clock=self._clock,
            random=self._random,
            bus=self._bus,
            send=self.send,
            where=lambda: self._port.address,
            source=self.source,
            interval=self._interval,
            extra=self._extra,
        )

    def is_for_me(self, message: Message) -> bool:
        """Whether it is aimed at everyone or at this identity, and is not this identity's own.

        Groups (`xpl-group.*`) are not supported: nobody here is a member.
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
        """Send through the hub, or straight to the (ip, port) `to`; in fragments if it is long.

        The process's other identities hear it in the reactor's next turn, whole, in the order of
        the sends and whatever becomes of the datagram; never before this call has returned.
        Raises `InvalidMessage` for what xPL cannot say, and nothing else.
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
        """Send a command and wait for the first message that is its `answer`, from whomever.

        The Deferred fires with that message. It fails with `NoReply` after `timeout` seconds or
        when the port stops, with `InvalidMessage` where the command cannot be said. Until then the
        command is sent again every `repeat` seconds (None: never). Cancelling ends the wait.
        """
        if self._is_closed:
            return fail(NoReply(CLOSED))
        said = tuple(body)
        question = _Question(
            clock=self._clock,
            ask=lambda: self.send(CMND, schema, said, target=target, to=to),
            is_answer=lambda message: message.source != self.source and answer(message),
            repeat=repeat,
            waiting=self._questions,
        )
        question.put(self._bus, timeout, f"no answer to {schema} within {timeout:g} s")
        return question.result

    def hang_up(self) -> None:
        """Fail what still waits for an answer, and leave; the port does this when it stops."""
        self._is_closed = True
        for question in tuple(self._questions):
            question.give_up(CLOSED)
        self.presence.leave()


@attrs.define(eq=False)
class _Question:
    """A command that waits for its answer; everything it holds is let go when `result` fires."""

    _clock: IReactorTime
    _ask: Callable[[], None]
    _is_answer: Callable[[Message], bool]
    _repeat: float | None
    #: where we are until `result` fires
    _waiting: set[_Question]
    result: Deferred[Message] = attrs.field(init=False)
    _subscription: Subscription | None = None
    _calls: dict[str, IDelayedCall] = attrs.field(init=False, factory=dict)

    def __attrs_post_init__(self) -> None:
        self.result = Deferred(lambda _: self._let_go())

    def put(self, bus: Bus, timeout: float, complaint: str) -> None:
        """Ask. We listen before, for the answer may be there before the send returns."""
        self._waiting.add(self)
        self._subscription = bus.subscribe(self._heard)
        self._calls["end"] = self._clock.callLater(timeout, self.give_up, complaint)
        self._put_again()

    def give_up(self, complaint: str) -> None:
        self._let_go()
        self.result.errback(NoReply(complaint))

    def _put_again(self) -> None:
        if self._repeat is not None:
            self._calls["again"] = self._clock.callLater(self._repeat, self._put_again)
        try:
            self._ask()
        except InvalidMessage as error:
            self._let_go()
            self.result.errback(error)

    def _heard(self, message: Message, _: Origin) -> None:
        if self._is_answer(message):
            self._let_go()
            self.result.callback(message)

    def _let_go(self) -> None:
        self._waiting.discard(self)
        if self._subscription is not None:
            self._subscription.cancel()
        for call in self._calls.values():
            if call.active():
                call.cancel()
