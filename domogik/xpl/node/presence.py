"""Finding the hub, and saying that we are here: the heartbeats of one identity."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import ParamSpec, Protocol

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from domogik.xpl.codec.message import CMND, STAT, InvalidMessage, Message
from domogik.xpl.node.bus import Bus, Handler, Origin, Subscription

P = ParamSpec("P")
Body = tuple[tuple[str, str], ...]

#: seconds between heartbeats while the hub is looked for (W-spec: 3 to 10)
FAST = 3
#: seconds after which the search slows down, and between heartbeats from then on (xpllib, xpl-perl)
PATIENCE = 120
SLOW = 30
#: seconds within which the echo of a heartbeat must be back, or the hub is lost (xpllib)
ECHO_TIMEOUT = 5
#: seconds before a heartbeat that everyone was asked for, so that not all answer at once
ANSWER_DELAY = (2, 6)

MINUTES_ALLOWED = range(5, 31)

#: the body of an `hbeat.request`, which asks for a heartbeat
REQUEST: Body = (("command", "request"),)


class Send(Protocol):
    """`Identity.send`."""

    def __call__(
        self,
        type: str,
        schema: str,
        body: Body,
        target: str = "*",
        to: tuple[str, int] | None = None,
    ) -> object: ...


@attrs.define(eq=False)
class Presence:
    """One identity's `hbeat.app` and `hbeat.end`, and what their echo tells about the hub.

    From `start` to `leave` exactly one call waits in the clock for the next heartbeat, whatever
    happens inside a send: it is set before the heartbeat leaves, so that an echo that is back
    before the send returns replaces it.
    """

    _clock: IReactorTime
    _random: Random
    _bus: Bus
    _send: Send
    #: the (ip, port) that heartbeats announce; asked each time, for addresses change
    _where: Callable[[], tuple[str, int]]
    _source: str
    #: minutes between heartbeats, 5 to 30
    interval: int = attrs.field(default=5)
    _extra: Body = ()
    _log: Logger = Logger()

    _hub_found: bool = attrs.field(init=False, default=False)
    _is_ready: bool = attrs.field(init=False, default=False)
    _last_echo: float | None = attrs.field(init=False, default=None)
    #: the port that echoes come from: what comes from there was forwarded
    _hub_port: int | None = attrs.field(init=False, default=None)
    _announced: tuple[str, int] | None = attrs.field(init=False, default=None)
    _search_began: float = attrs.field(init=False, default=0)
    _requests: Subscription | None = attrs.field(init=False, default=None)
    _next: IDelayedCall | None = attrs.field(init=False, default=None)
    _echo_missing: IDelayedCall | None = attrs.field(init=False, default=None)
    _answer: IDelayedCall | None = attrs.field(init=False, default=None)
    _recipients: set[str] = attrs.field(init=False, factory=set)
    _when_found: list[Callable[[], object]] = attrs.field(init=False, factory=list)
    _namesakes: list[Handler] = attrs.field(init=False, factory=list)

    @interval.validator
    def _check_interval(self, _: object, minutes: int) -> None:
        if minutes not in MINUTES_ALLOWED:
            raise ValueError(f"a heartbeat interval is 5 to 30 minutes, not {minutes}")

    @property
    def hub_found(self) -> bool:
        """Whether the hub gave us the last heartbeat back."""
        return self._hub_found

    @property
    def last_echo(self) -> float | None:
        """When the hub last gave us one back, in seconds of the clock; None: never."""
        return self._last_echo

    @property
    def status(self) -> int:
        """0: looks for the hub; 1: found it, configures itself; 2: ready. In every heartbeat."""
        if self._is_ready:
            return 2
        return 1 if self._hub_found else 0

    def on_hub(self, callback: Callable[[], object]) -> None:
        """Call once, when the hub is found; at once where it is."""
        if self._hub_found:
            self._run(callback)
        else:
            self._when_found.append(callback)

    def on_namesake(self, handler: Handler) -> None:
        """Call for every `hbeat.app` of our own source that announces another address or port.

        The body's `remote-ip` and `port` say where that other program is.
        """
        self._namesakes.append(handler)

    def start(self) -> None:
        """Say that we are here and look for the hub; when started, nothing happens."""
        if self._requests is None:
            self._requests = self._bus.subscribe(self._asked, type=CMND, schema="hbeat.request")
            self._search()

    def ready(self) -> None:
        """From now on `status` is 2; tell at once where we are started."""
        self._is_ready = True
        if self._requests is not None:
            self._beat()

    def leave(self) -> None:
        """Say `hbeat.end` and nothing more; where we are not started, nothing happens."""
        if self._requests is None:
            return
        self._requests.cancel()
        self._requests = None
        _cancel(self._next)
        self._next = None
        _cancel(self._echo_missing)
        self._echo_missing = None
        self._forget_recipients()
        self._hub_found = self._is_ready = False
        self._send(STAT, "hbeat.end", self._whereabouts(*self._where()))

    def body(self, ip: str, port: int) -> Body:
        """Of an `hbeat.app`: interval, port and remote-ip in this order, the extras last."""
        return (*self._whereabouts(ip, port), ("status", str(self.status)), *self._extra)

    def heard(self, message: Message, origin: Origin) -> None:
        """A message of our own source came from the network: an echo, or a namesake's."""
        if message.schema != "hbeat.app":
            return
        if not self._is_mine(message):
            for handler in tuple(self._namesakes):
                self._run(handler, message, origin)
        elif self._requests is not None:
            self._echoed(origin)

    def _is_mine(self, message: Message) -> bool:
        if self._announced is None:
            return False
        ip, port = self._announced
        return message.get("remote-ip", ip) == ip and message.get("port", str(port)) == str(port)

    def _echoed(self, origin: Origin) -> None:
        self._last_echo = self._clock.seconds()
        self._hub_port = origin.address[1] if origin.address is not None else None
        _cancel(self._echo_missing)
        self._echo_missing = None
        if not self._hub_found:
            self._found()

    def _found(self) -> None:
        self._hub_found = True
        self._log.info("{source}: the hub is found", source=self._source)
        self._beat()
        callbacks, self._when_found = self._when_found, []
        for callback in callbacks:
            self._run(callback)

    def _lost(self) -> None:
        self._echo_missing = None
        self._hub_found = False
        self._log.warn("{source}: the hub does not answer any more", source=self._source)
        self._search()

    def _search(self) -> None:
        self._search_began = self._clock.seconds()
        self._beat()

    def _beat(self) -> None:
        """A heartbeat to everyone, and the next one in the clock."""
        _cancel(self._next)
        self._next = self._clock.callLater(self._pause(), self._beat)
        if self._hub_found and self._echo_missing is None:
            self._echo_missing = self._clock.callLater(ECHO_TIMEOUT, self._lost)
        self._forget_recipients()  # this one is their answer
        self._say_here()

    def _pause(self) -> float:
        if self._hub_found:
            return self.interval * 60
        searched = self._clock.seconds() - self._search_began
        return FAST if searched < PATIENCE else SLOW

    def _say_here(self, target: str = "*", to: tuple[str, int] | None = None) -> None:
        ip, port = self._announced = self._where()
        try:
            self._send(STAT, "hbeat.app", self.body(ip, port), target=target, to=to)
        except InvalidMessage as error:  # whoever asked has a name that we may read but not write
            self._log.debug("no answer to {target}: {error}", target=target, error=error)

    def _whereabouts(self, ip: str, port: int) -> Body:
        return (("interval", str(self.interval)), ("port", str(port)), ("remote-ip", ip))

    def _asked(self, message: Message, origin: Origin) -> None:
        """`hbeat.request`: its body is `command=request` or empty."""
        if message.source == self._source or message.get("command", "request") != "request":
            return
        if message.target == self._source and message.vendor_device.startswith("domogik-"):
            self._say_here(target=message.source, to=self._straight_to(origin))
        elif message.target in ("*", self._source):
            if len(self._recipients) < 2:  # it only matters whether there is one
                self._recipients.add(message.source)
            if self._answer is None:
                delay = self._random.uniform(*ANSWER_DELAY)
                self._answer = self._clock.callLater(delay, self._answer_recipients)

    def _straight_to(self, origin: Origin) -> tuple[str, int] | None:
        """The asker's own address; None where the request came through the hub or from inside.

        A ping sent straight to our port is answered straight, so that no hub is needed. The
        forwarder's address would not do: the asker may be on another host.
        """
        if origin.address is None or origin.address[1] == self._hub_port:
            return None
        return origin.address

    def _answer_recipients(self) -> None:
        """To the only asker, or to all.

        The next heartbeat stays where it is in the clock: otherwise somebody who asks often
        enough would keep it from everyone else for ever.
        """
        self._answer = None
        target = next(iter(self._recipients)) if len(self._recipients) == 1 else "*"
        self._recipients.clear()
        self._say_here(target=target)

    def _forget_recipients(self) -> None:
        self._recipients.clear()
        _cancel(self._answer)
        self._answer = None

    def _run(self, callback: Callable[P, object], *args: P.args, **more: P.kwargs) -> None:
        try:
            callback(*args, **more)
        except Exception:  # noqa: BLE001 - a door for callbacks: heartbeats go on
            self._log.failure("{source}: a callback raised", source=self._source)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
