"""The heartbeats of one identity, and the search for the hub: a state machine without Twisted.

The clock is Twisted's or, in commands of the terminal, another one with `seconds` and `callLater`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from random import Random
from typing import TYPE_CHECKING

import attrs

from domogik.xpl.codec.message import STAT, InvalidMessage, Message

if TYPE_CHECKING:
    from twisted.internet.interfaces import IDelayedCall, IReactorTime

    from domogik.xpl.node.datagrams import Address

Body = tuple[tuple[str, str], ...]

#: seconds between heartbeats while the hub is looked for (W-spec: 3 to 10)
SEARCH_INTERVAL_S = 3
#: seconds after which the search slows down, and between heartbeats from then on (xpllib, xpl-perl)
FAST_SEARCH_S = 120
SLOW_SEARCH_INTERVAL_S = 30
#: seconds after which the hub is lost if a heartbeat has not been echoed (xpllib)
ECHO_TIMEOUT = 5
#: seconds before the answer to a broadcast request, so that not all programs answer at once
ANSWER_DELAY = (2, 6)

MINUTES_ALLOWED = range(5, 31)


@attrs.define(eq=False, kw_only=True)
class Heartbeats:
    """Sends `hbeat.app` and `hbeat.end` of one identity, and finds the hub by the echo.

    From `start` to `leave` exactly one delayed call is waiting for the next heartbeat. It is
    created before the heartbeat is sent, because the echo may arrive before the send returns and
    replace it.
    """

    _clock: IReactorTime
    _random: Random
    #: sends through the hub, or directly to an address
    _send: Callable[[Message, Address | None], object]
    #: the (ip, port) that heartbeats announce; asked each time, for addresses change
    _where: Callable[[], Address]
    _source: str
    #: called with whether the hub answers, at each change and when it did not answer at first
    _on_change: Callable[[bool], object]
    #: minutes between heartbeats, 5 to 30
    interval: int = attrs.field(default=5)
    _extra: Body = ()

    #: None: no heartbeat has been echoed yet, and none has remained without an echo
    _hub_found: bool | None = attrs.field(init=False, default=None)
    _is_ready: bool = attrs.field(init=False, default=False)
    _last_echo: float | None = attrs.field(init=False, default=None)
    #: the source port of echoes: messages from there were forwarded by the hub
    _hub_port: int | None = attrs.field(init=False, default=None)
    _announced: Address | None = attrs.field(init=False, default=None)
    _search_began: float = attrs.field(init=False, default=0)
    _next: IDelayedCall | None = attrs.field(init=False, default=None)
    _echo_missing: IDelayedCall | None = attrs.field(init=False, default=None)
    _answer: IDelayedCall | None = attrs.field(init=False, default=None)
    _recipients: set[str] = attrs.field(init=False, factory=set)

    @interval.validator
    def _check_interval(self, _: object, minutes: int) -> None:
        if minutes not in MINUTES_ALLOWED:
            raise ValueError(f"a heartbeat interval is 5 to 30 minutes, not {minutes}")

    @property
    def hub_found(self) -> bool:
        """Whether the hub echoed the last heartbeat."""
        return bool(self._hub_found)

    @property
    def last_echo(self) -> float | None:
        """The time of the last echo in seconds of the clock, or None."""
        return self._last_echo

    @property
    def status(self) -> int:
        """The status in every heartbeat: 0 searching the hub, 1 configuring, 2 ready."""
        if self._is_ready:
            return 2
        return 1 if self._hub_found else 0

    def start(self) -> None:
        """Send heartbeats and search the hub; further calls have no effect."""
        if self._next is None:
            self._search()

    def ready(self) -> None:
        """Set `status` to 2 and send a heartbeat, if started."""
        self._is_ready = True
        if self._next is not None:
            self._beat()

    def leave(self) -> None:
        """Send `hbeat.end` and stop, if started."""
        if self._next is None:
            return
        _cancel(self._next)
        _cancel(self._echo_missing)
        self._next = self._echo_missing = self._hub_found = None
        self._forget_recipients()
        self._is_ready = False
        body = self._address_pairs(*self._where())
        self._send(Message(STAT, self._source, "*", schema="hbeat.end", body=body), None)

    def body(self, ip: str, port: int) -> Body:
        """Return the body of an `hbeat.app`: interval, port and remote-ip in this order, extras
        last."""
        return (*self._address_pairs(ip, port), ("status", str(self.status)), *self._extra)

    def is_mine(self, message: Message) -> bool:
        """Return whether an `hbeat.app` of our source has the address that we announce."""
        if self._announced is None:
            return False
        ip, port = self._announced
        return message.get("remote-ip", ip) == ip and message.get("port", str(port)) == str(port)

    def on_echo(self, sender: Address | None) -> None:
        """Handle an `hbeat.app` that `is_mine`, if started."""
        if self._next is None:
            return
        self._last_echo = self._clock.seconds()
        self._hub_port = sender[1] if sender is not None else None
        _cancel(self._echo_missing)
        self._echo_missing = None
        if not self._hub_found:
            self._hub_found = True
            self._beat()
            self._on_change(True)

    def on_request(self, message: Message, sender: Address | None) -> None:
        """Handle an `hbeat.request`, whose body is `command=request` or empty.

        A ping to our port is answered directly, so that no hub is needed. The address of a hub
        cannot be used, since the requester may be on another host.
        """
        if message.source == self._source or message.get("command", "request") != "request":
            return
        if message.target == self._source and message.vendor_device.startswith("domogik-"):
            is_direct = sender is not None and sender[1] != self._hub_port
            self._send_heartbeat(target=message.source, to=sender if is_direct else None)
        elif message.target in ("*", self._source):
            if len(self._recipients) < 2:  # it only matters whether it is one
                self._recipients.add(message.source)
            if self._answer is None:
                delay = self._random.uniform(*ANSWER_DELAY)
                self._answer = self._clock.callLater(delay, self._answer_recipients)

    def _on_hub_lost(self) -> None:
        self._hub_found = False
        self._echo_missing = None
        self._on_change(False)
        self._search()

    def _search(self) -> None:
        self._search_began = self._clock.seconds()
        self._beat()

    def _due(self) -> None:
        if self._hub_found is None:
            self._hub_found = False
            self._on_change(False)
        self._beat()

    def _beat(self) -> None:
        """Broadcast a heartbeat and schedule the next one."""
        _cancel(self._next)
        self._next = self._clock.callLater(self._pause(), self._due)
        if self._hub_found and self._echo_missing is None:
            self._echo_missing = self._clock.callLater(ECHO_TIMEOUT, self._on_hub_lost)
        self._forget_recipients()  # this heartbeat answers them
        self._send_heartbeat()

    def _pause(self) -> float:
        if self._hub_found:
            return self.interval * 60
        searched = self._clock.seconds() - self._search_began
        return SEARCH_INTERVAL_S if searched < FAST_SEARCH_S else SLOW_SEARCH_INTERVAL_S

    def _send_heartbeat(self, target: str = "*", to: Address | None = None) -> None:
        ip, port = self._announced = self._where()
        body = self.body(ip, port)
        with contextlib.suppress(InvalidMessage):  # a requester's name may be read but not written
            self._send(Message(STAT, self._source, target, schema="hbeat.app", body=body), to)

    def _address_pairs(self, ip: str, port: int) -> Body:
        return (("interval", str(self.interval)), ("port", str(port)), ("remote-ip", ip))

    def _answer_recipients(self) -> None:
        """Send a heartbeat to the only requester, or to all.

        The next periodic heartbeat is not postponed; frequent requests could otherwise prevent it.
        """
        self._answer = None
        target = next(iter(self._recipients)) if len(self._recipients) == 1 else "*"
        self._recipients.clear()
        self._send_heartbeat(target=target)

    def _forget_recipients(self) -> None:
        self._recipients.clear()
        _cancel(self._answer)
        self._answer = None


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
