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
from domogik.cli.xpl.timers import Timers
from domogik.xpl.codec import fragments
from domogik.xpl.codec.codec import decode_with_warnings, encode
from domogik.xpl.codec.message import CMND, InvalidMessage, Message
from domogik.xpl.node.heartbeats import Heartbeats

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
    _heartbeats: Heartbeats = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        clock = cast(Any, self._timers)
        self._reassembler = fragments.Reassembler(clock, lambda *missing: None)
        self._heartbeats = Heartbeats(
            clock=clock,
            random=self._random,
            send=self._send_quietly,
            where=lambda: self._network.announced(self._socket),
            source=self.source,
            on_change=self._hub_changed,
        )

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
        self._heartbeats.leave()
        self._socket.close()

    def send(self, message: Message) -> None:
        """To the hub; raises `InvalidMessage`, `NoHubKnown`, `OSError`."""
        self._socket.sendto(encode(message), self._network.hub())

    def _hub_changed(self, found: bool) -> None:
        self.on_hub(found)

    def _send_quietly(self, message: Message, to: tuple[str, int] | None) -> None:
        with contextlib.suppress(OSError, NoHubKnown):  # then there is no echo, which is told
            self._socket.sendto(encode(message), to or self._network.hub())

    def heard(self, timeout: float | None = None) -> Iterator[Heard]:
        """What comes in, as it comes; ends after `timeout` seconds, without one never.

        Left out are our own heartbeats, and the parts of what is joined.
        """
        self._heartbeats.start()
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
        is_heartbeat = message.source == self.source and message.schema == "hbeat.app"
        if is_heartbeat and self._heartbeats.is_mine(message):
            self._heartbeats.on_echo(sender)
            return None
        if message.schema == "hbeat.request" and message.type == CMND:
            self._heartbeats.on_request(message, sender)
        if self.join and message.schema == fragments.SCHEMA:
            whole = self._reassembler.add(message)
            return None if whole is None else Heard(whole)
        return Heard(message, warnings)


def _ended() -> None:
    """The time is out: its call is not active any more."""
