"""A role (dbmgr, rest) that another process of this host has, taken over when that process ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.app.parts.role_lookup import ROLE_LOOKUP_S, RoleLookup
from domogik.xpl.codec.message import STAT, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription

#: seconds between two looks whether the other process is still there
LOOK_EVERY = 60.0


@attrs.define(eq=False)
class RoleTakeover:
    """Calls `take_over` when no process of this host has the role any more.

    It asks when the `hbeat.end` of the other process is heard, and every minute: an `hbeat.end` may
    be forged, and a process that crashes sends none.
    """

    _clock: IReactorTime
    _bus: Bus
    _role_lookup: RoleLookup
    _source: str
    _take_over: Callable[[], Awaitable[None]]
    _subscription: Subscription | None = None
    _timer: IDelayedCall | None = None
    _looking: Deferred[None] | None = None
    _log: Logger = Logger()

    def start(self) -> None:
        """Subscribe to the `hbeat.end` of the other process and start the timer."""
        self._subscription = self._bus.subscribe(
            self._ended, type=STAT, schema="hbeat.end", source=self._source
        )
        self._timer = self._clock.callLater(LOOK_EVERY, self._look)

    def stop(self) -> None:
        """Cancel the subscription, the timer and a question that is under way."""
        if self._subscription is not None:
            self._subscription.cancel()
            self._subscription = None
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        if self._looking is not None:
            self._looking.cancel()

    def _ended(self, message: Message, origin: Origin) -> None:
        if self._timer is not None and self._timer.active():
            self._timer.reset(0)

    def _look(self) -> None:
        self._timer = self._clock.callLater(LOOK_EVERY, self._look)
        if self._looking is None or self._looking.called:
            self._looking = Deferred.fromCoroutine(self._look_once())
            _ = self._looking.addErrback(self._failed)

    async def _look_once(self) -> None:
        role = self._source.removeprefix("domogik-").partition(".")[0]
        if await self._role_lookup.find(role, ROLE_LOOKUP_S) is not None:
            self._role_lookup.close_probe()
            return
        self._log.info("{source} has ended: it starts here", source=self._source)
        self._looking = None  # the end of this object is not the end of what it starts
        self.stop()
        await self._take_over()

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError) is None:
            self._log.failure("taking over {source}", failure, source=self._source)
