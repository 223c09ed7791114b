"""A program that listens on xPL without Twisted: one socket, at home at the hub."""

from __future__ import annotations

import contextlib
import select
import socket
from collections.abc import Callable, Iterator
from random import Random
from typing import Any, cast

import attrs

from domogik.cli.xpl.network import Network, NoHubKnown
from domogik.cli.xpl.timers import DelayedCall, Timers
from domogik.xpl.codec import fragments
from domogik.xpl.codec.codec import decode_with_warnings, encode
from domogik.xpl.codec.message import CMND, STAT, InvalidMessage, Message, Pair

#: seconds in which the hub gives a heartbeat back, or it is not there (and the next one is due:
#: W-spec has 3 to 10 s between those of a program that looks for its hub)
ECHO_TIMEOUT = 3.0
#: heartbeats without an answer after which the search slows down (xpllib, xpl-perl: 120 s)
PATIENCE = 40
SLOW_EXTRA = 27.0
#: minutes between heartbeats, as announced
INTERVAL = 5
#: seconds before everyone's request for heartbeats is answered
ANSWER_DELAY = (2.0, 6.0)

LARGEST_DATAGRAM_BYTES = 65507
RECEIVE_BUFFER_BYTES = 4 << 20


@attrs.frozen
class Heard:
    """One datagram, or the message that several carried.

    `message` is None where it is none; `error` says why, `data` are its bytes. `warnings` are
    sentences about what is not as the specification has it.
    """

    message: Message | None
    warnings: tuple[str, ...] = ()
    error: str = ""
    data: bytes = b""
    sender: tuple[str, int] = ("", 0)


def _nothing(found: bool) -> None:
    """For who does not care whether the hub is there."""


@attrs.define(eq=False)
class Station:
    """Registered by heartbeats from the first `heard` to `close`.

    `on_hub(found)` is called at each change, and 3 s after the first `heard` at the latest. With
    `join` messages in fragments are put together; their missing parts are not asked for, because
    who only listens changes nothing on the network.
    """

    _network: Network
    source: str
    _timers: Timers = attrs.field(factory=Timers)
    on_hub: Callable[[bool], object] = _nothing
    join: bool = True
    _random: Random = attrs.field(factory=Random)
    _socket: socket.socket = attrs.field(init=False)
    _reassembler: fragments.Reassembler = attrs.field(init=False)
    _found: bool | None = attrs.field(init=False, default=None)
    _unanswered: int = attrs.field(init=False, default=0)
    #: what follows the last heartbeat: the next one, or that no echo came
    _next: DelayedCall | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        clock = cast(Any, self._timers)
        self._reassembler = fragments.Reassembler(clock, lambda *missing: None)

    @property
    def incomplete(self) -> int:
        """How many messages in fragments never became whole."""
        counters = self._reassembler.counters
        return counters.lost + counters.dropped + counters.superseded + counters.refused

    @property
    def where(self) -> str:
        """Where the hub is looked for, for people."""
        try:
            return "{}:{}".format(*self._network.hub())
        except NoHubKnown as error:
            return str(error)

    def open(self) -> None:
        """Bind; raises `CommandFailed`. Nothing is sent yet, so from here on `close` suffices."""
        self._socket = self._network.open_socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER_BYTES)
        self._socket.setblocking(False)

    def close(self) -> None:
        """Say that we go, if ever we were here, and go."""
        if self._next is not None:
            with contextlib.suppress(OSError, NoHubKnown):
                self.send(
                    Message(STAT, self.source, "*", schema="hbeat.end", body=self._whereabouts())
                )
        self._socket.close()

    def send(self, message: Message) -> None:
        """To the hub; raises `InvalidMessage`, `NoHubKnown`, `OSError`."""
        self._socket.sendto(encode(message), self._network.hub())

    def heard(self, timeout: float | None = None) -> Iterator[Heard]:
        """What comes in, as it comes; ends after `timeout` seconds, without one never.

        Left out are our own heartbeats, and the parts of what is joined.
        """
        if self._next is None:
            self._beat()
        end = None if timeout is None else self._timers.callLater(timeout, _ended)
        while True:
            wait = self._timers.run_due()
            if end is not None and not end.active():
                return
            if not select.select([self._socket], [], [], wait)[0]:
                continue
            try:
                data, sender = self._socket.recvfrom(LARGEST_DATAGRAM_BYTES)
            except OSError:  # an ICMP answer to something we sent: the search says it
                continue
            found = self._read(data, sender)
            if found is not None:
                yield found

    def _read(self, data: bytes, sender: tuple[str, int]) -> Heard | None:
        try:
            message, warnings = decode_with_warnings(data)
        except InvalidMessage as error:
            return Heard(None, error=str(error), data=data, sender=sender)
        if message.source == self.source and self._is_mine(message):
            if message.schema == "hbeat.app":
                self._echoed()
            return None
        if message.schema == "hbeat.request" and message.type == CMND:
            self._asked(message)
        if self.join and message.schema == fragments.SCHEMA:
            whole = self._reassembler.add(message)
            return None if whole is None else Heard(whole)
        return Heard(message, warnings)

    def _is_mine(self, message: Message) -> bool:
        """Another program with our source announces another port."""
        port = str(self._socket.getsockname()[1])
        return message.schema.startswith("hbeat.") and message.get("port") == port

    def _beat(self) -> None:
        self._then(ECHO_TIMEOUT, self._unheard)
        with contextlib.suppress(OSError, NoHubKnown):  # then there is no echo, which is told
            self.send(Message(STAT, self.source, "*", schema="hbeat.app", body=self._whereabouts()))

    def _then(self, delay: float, work: Callable[[], object]) -> None:
        if self._next is not None:
            self._next.cancel()
        self._next = self._timers.callLater(delay, work)

    def _whereabouts(self) -> tuple[Pair, ...]:
        ip, port = self._network.announced(self._socket)
        return (("interval", str(INTERVAL)), ("port", str(port)), ("remote-ip", ip))

    def _unheard(self) -> None:
        self._unanswered += 1
        self._tell(False)
        extra = 0.0 if self._unanswered < PATIENCE else SLOW_EXTRA
        self._then(extra, self._beat)

    def _echoed(self) -> None:
        self._unanswered = 0
        self._then(INTERVAL * 60.0, self._beat)
        self._tell(True)

    def _asked(self, message: Message) -> None:
        """A heartbeat that falls due meanwhile is the answer too."""
        delay = self._random.uniform(*ANSWER_DELAY)
        due = self._next.getTime() - self._timers.seconds() if self._next is not None else 0.0
        if message.target in ("*", self.source) and self._found and due > delay:
            self._then(delay, self._beat)

    def _tell(self, found: bool) -> None:
        if found is not self._found:
            self._found = found
            self.on_hub(found)


def _ended() -> None:
    """The time is out: its call is not active any more."""
