"""How many processes are started at once? As many as fit into a few milliseconds.

To start a process holds the reactor up for half a millisecond. Three hundred of them in one go
would be heard as silence on the network; here the reactor has its turn after every slice.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


@attrs.define(eq=False)
class Pacing:
    """Does what it is asked, in that order, at most `slice_s` seconds of it in one reactor turn."""

    _clock: IReactorTime
    _slice_s: float = 0.005
    _log: Logger = Logger()
    _waiting: dict[object, Callable[[], None]] = attrs.field(init=False, factory=dict)
    _next: IDelayedCall | None = attrs.field(init=False, default=None)

    def ask(self, work: Callable[[], None]) -> object:
        """Have `work` called soon, never at once; the answer is for `cancel`."""
        ticket = object()
        self._waiting[ticket] = work
        self._schedule()
        return ticket

    def cancel(self, ticket: object) -> None:
        """Call it off; too late is no fault."""
        self._waiting.pop(ticket, None)
        if not self._waiting and self._next is not None:
            self._next.cancel()
            self._next = None

    def _schedule(self) -> None:
        if self._next is None and self._waiting:
            self._next = self._clock.callLater(0, self._run)

    def _run(self) -> None:
        self._next = None
        end = self._clock.seconds() + self._slice_s
        for ticket in tuple(self._waiting):
            work = self._waiting.pop(ticket, None)
            if work is None:
                continue
            try:
                work()
            except Exception:  # noqa: BLE001 - a door: the others still want to be started
                self._log.failure("a start raised")
            if self._clock.seconds() >= end:
                break
        self._schedule()
