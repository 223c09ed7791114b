"""The heartbeats of one identity, and the search for the hub."""

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
SEARCH_INTERVAL_S = 3
#: seconds after which the search slows down, and between heartbeats from then on (xpllib, xpl-perl)
FAST_SEARCH_S = 120
SLOW_SEARCH_INTERVAL_S = 30
#: seconds after which the hub is lost if a heartbeat has not been echoed (xpllib)
ECHO_TIMEOUT = 5
#: seconds before the answer to a broadcast request, so that not all programs answer at once
ANSWER_DELAY = (2, 6)

MINUTES_ALLOWED = range(5, 31)

#: the body of an `hbeat.request`, which asks for a heartbeat
REQUEST: Body = (("command", "request"),)


class Send(Protocol):
    """The signature of `Identity.send`."""

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
    """Sends `hbeat.app` and `hbeat.end` of one identity, and finds the hub by the echo.

    From `start` to `leave` exactly one delayed call is waiting for the next heartbeat. It is
    created before the heartbeat is sent, because the echo may arrive before the send returns and
    replace it.
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
    #: the source port of echoes: messages from there were forwarded by the hub
    _hub_port: int | None = attrs.field(init=False, default=None)
    _announced: tuple[str, int] | None = attrs.field(init=False, default=None)
    _search_began: float = attrs.field(init=False, default=0)
    _requests: Subscription | None = attrs.field(init=False, default=None)
    _next: IDelayedCall | None = attrs.field(init=False, default=None)
    _echo_missing: IDelayedCall | None = attrs.field(init=False, default=None)
    _answer: IDelayedCall | None = attrs.field(init=False, default=None)
    _recipients: set[str] = attrs.field(init=False, factory=set)
    _on_hub_callbacks: list[Callable[[], object]] = attrs.field(init=False, factory=list)
    _conflict_handlers: list[Handler] = attrs.field(init=False, factory=list)

    @interval.validator
    def _check_interval(self, _: object, minutes: int) -> None:
        if minutes not in MINUTES_ALLOWED:
            raise ValueError(f"a heartbeat interval is 5 to 30 minutes, not {minutes}")

    @property
    def hub_found(self) -> bool:
        """Whether the hub echoed the last heartbeat."""
        return self._hub_found

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

    def on_hub(self, callback: Callable[[], object]) -> None:
        """Call `callback` once, when the hub is found, or now if it is."""
        if self._hub_found:
            self._run(callback)
        else:
            self._on_hub_callbacks.append(callback)

    def on_name_conflict(self, handler: Handler) -> None:
        """Call `handler` for every `hbeat.app` of our source with another address or port.

        `remote-ip` and `port` of the body are those of the other program.
        """
        self._conflict_handlers.append(handler)

    def start(self) -> None:
        """Send heartbeats and search the hub; further calls have no effect."""
        if self._requests is None:
            self._requests = self._bus.subscribe(
                self._on_request, type=CMND, schema="hbeat.request"
            )
            self._search()

    def ready(self) -> None:
        """Set `status` to 2 and send a heartbeat, if started."""
        self._is_ready = True
        if self._requests is not None:
            self._beat()

    def leave(self) -> None:
        """Send `hbeat.end` and stop, if started."""
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
        self._send(STAT, "hbeat.end", self._address_pairs(*self._where()))

    def body(self, ip: str, port: int) -> Body:
        """Return the body of an `hbeat.app`: interval, port and remote-ip in this order, extras
        last."""
        return (*self._address_pairs(ip, port), ("status", str(self.status)), *self._extra)

    def heard(self, message: Message, origin: Origin) -> None:
        """Handle a received message of our own source: an echo or a name conflict."""
        if message.schema != "hbeat.app":
            return
        if not self._is_mine(message):
            for handler in tuple(self._conflict_handlers):
                self._run(handler, message, origin)
        elif self._requests is not None:
            self._on_echo(origin)

    def _is_mine(self, message: Message) -> bool:
        if self._announced is None:
            return False
        ip, port = self._announced
        return message.get("remote-ip", ip) == ip and message.get("port", str(port)) == str(port)

    def _on_echo(self, origin: Origin) -> None:
        self._last_echo = self._clock.seconds()
        self._hub_port = origin.address[1] if origin.address is not None else None
        _cancel(self._echo_missing)
        self._echo_missing = None
        if not self._hub_found:
            self._on_hub_found()

    def _on_hub_found(self) -> None:
        self._hub_found = True
        self._log.info("{source}: the hub is found", source=self._source)
        self._beat()
        callbacks, self._on_hub_callbacks = self._on_hub_callbacks, []
        for callback in callbacks:
            self._run(callback)

    def _on_hub_lost(self) -> None:
        self._echo_missing = None
        self._hub_found = False
        self._log.warn("{source}: the hub does not answer any more", source=self._source)
        self._search()

    def _search(self) -> None:
        self._search_began = self._clock.seconds()
        self._beat()

    def _beat(self) -> None:
        """Broadcast a heartbeat and schedule the next one."""
        _cancel(self._next)
        self._next = self._clock.callLater(self._pause(), self._beat)
        if self._hub_found and self._echo_missing is None:
            self._echo_missing = self._clock.callLater(ECHO_TIMEOUT, self._on_hub_lost)
        self._forget_recipients()  # this heartbeat answers them
        self._send_heartbeat()

    def _pause(self) -> float:
        if self._hub_found:
            return self.interval * 60
        searched = self._clock.seconds() - self._search_began
        return SEARCH_INTERVAL_S if searched < FAST_SEARCH_S else SLOW_SEARCH_INTERVAL_S

    def _send_heartbeat(self, target: str = "*", to: tuple[str, int] | None = None) -> None:
        ip, port = self._announced = self._where()
        try:
            self._send(STAT, "hbeat.app", self.body(ip, port), target=target, to=to)
        except InvalidMessage as error:  # the requester's name may be read but not written
            self._log.debug("no answer to {target}: {error}", target=target, error=error)

    def _address_pairs(self, ip: str, port: int) -> Body:
        return (("interval", str(self.interval)), ("port", str(port)), ("remote-ip", ip))

    def _on_request(self, message: Message, origin: Origin) -> None:
        """Handle an `hbeat.request`, whose body is `command=request` or empty."""
        if message.source == self._source or message.get("command", "request") != "request":
            return
        if message.target == self._source and message.vendor_device.startswith("domogik-"):
            self._send_heartbeat(target=message.source, to=self._direct_address(origin))
        elif message.target in ("*", self._source):
            if len(self._recipients) < 2:  # it only matters whether it is one
                self._recipients.add(message.source)
            if self._answer is None:
                delay = self._random.uniform(*ANSWER_DELAY)
                self._answer = self._clock.callLater(delay, self._answer_recipients)

    def _direct_address(self, origin: Origin) -> tuple[str, int] | None:
        """Return the requester's address, or None if the request came from the hub or this process.

        A ping to our port is answered directly, so that no hub is needed. The forwarder's address
        cannot be used, since the requester may be on another host.
        """
        if origin.address is None or origin.address[1] == self._hub_port:
            return None
        return origin.address

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

    def _run(self, callback: Callable[P, object], *args: P.args, **more: P.kwargs) -> None:
        try:
            callback(*args, **more)
        except Exception:  # noqa: BLE001 - heartbeats go on
            self._log.failure("{source}: a callback raised", source=self._source)


def _cancel(call: IDelayedCall | None) -> None:
    if call is not None and call.active():
        call.cancel()
