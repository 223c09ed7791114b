"""Limits how many processes are started in one turn of the reactor.

Starting a process blocks the reactor for half a millisecond; three hundred in one turn would delay
everything else on the network.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger


@attrs.define(eq=False)
class Pacing:
    """Calls functions in order, for at most `slice_s` seconds in one reactor turn."""

    _clock: IReactorTime
    _slice_s: float = 0.005
    _log: Logger = Logger()
    _waiting: dict[object, Callable[[], None]] = attrs.field(init=False, factory=dict)
    _next: IDelayedCall | None = attrs.field(init=False, default=None)

    def ask(self, work: Callable[[], None]) -> object:
        """Call `work` in a later turn; return a ticket for `cancel`."""
        ticket = object()
        self._waiting[ticket] = work
        self._schedule()
        return ticket

    def cancel(self, ticket: object) -> None:
        """Cancel the call, if it is still waiting."""
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
            except Exception:  # noqa: BLE001 - others are still started
                self._log.failure("a start raised")
            if self._clock.seconds() >= end:
                break
        self._schedule()
