"""The heartbeats of an identity of this process, and what is called when its hub is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec

import attrs
from twisted.logger import Logger

from domogik.xpl.codec.message import CMND, Message
from domogik.xpl.node.bus import Bus, Handler, Origin, Subscription
from domogik.xpl.node.heartbeats import Body, Heartbeats

P = ParamSpec("P")

#: the body of an `hbeat.request`, which asks for a heartbeat
REQUEST: Body = (("command", "request"),)


@attrs.define(eq=False, kw_only=True)
class Presence(Heartbeats):
    """`Heartbeats` that get requests from the bus, log, and call back."""

    _bus: Bus
    _log: Logger = Logger()
    _on_change: Callable[[bool], object] = attrs.field(init=False)
    _requests: Subscription | None = attrs.field(init=False, default=None)
    _on_hub_callbacks: list[Callable[[], object]] = attrs.field(init=False, factory=list)
    _conflict_handlers: list[Handler] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._on_change = self._hub_changed

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
                lambda message, origin: self.on_request(message, origin.address),
                type=CMND,
                schema="hbeat.request",
            )
        super().start()

    def leave(self) -> None:
        """Send `hbeat.end` and stop, if started."""
        if self._requests is not None:
            self._requests.cancel()
            self._requests = None
        super().leave()

    def heard(self, message: Message, origin: Origin) -> None:
        """Handle a received message of our own source: an echo or a name conflict."""
        if message.schema != "hbeat.app":
            return
        if self.is_mine(message):
            self.on_echo(origin.address)
            return
        for handler in tuple(self._conflict_handlers):
            self._run(handler, message, origin)

    def _hub_changed(self, found: bool) -> None:
        if found:
            self._log.info("{source}: the hub is found", source=self._source)
            callbacks, self._on_hub_callbacks = self._on_hub_callbacks, []
            for callback in callbacks:
                self._run(callback)
        elif self._last_echo is not None:
            self._log.warn("{source}: the hub does not answer any more", source=self._source)

    def _run(self, callback: Callable[P, object], *args: P.args, **more: P.kwargs) -> None:
        try:
            callback(*args, **more)
        except Exception:  # noqa: BLE001 - heartbeats go on
            self._log.failure("{source}: a callback raised", source=self._source)
