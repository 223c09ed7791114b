"""Time: a monotonic clock for the reactors of our programs, and how often a log may repeat."""

from __future__ import annotations

import time
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

#: seconds between two lines of a log about the same thing that others can cause
LOG_PAUSE_S = 60.0


@attrs.define(eq=False)
class LogThrottle:
    """Lets one line of a log pass in `LOG_PAUSE_S`, for what others can cause without an end."""

    _clock: IReactorTime
    _silent_until: float = float("-inf")

    def is_due(self) -> bool:
        """Return whether a line may be written now; if so the next pause begins."""
        now = self._clock.seconds()
        if now < self._silent_until:
            return False
        self._silent_until = now + LOG_PAUSE_S
        return True


def use_monotonic_clock(
    reactor: Any,
) -> None:  # a method of it is replaced, which no interface allows
    """Make `reactor` measure time by CLOCK_MONOTONIC, which setting the clock does not affect.

    Twisted's reactors use `time.time`: if the system time is set back by an hour, every delayed
    call is an hour late. `reactor.seconds()` is no Unix time afterwards. Delayed calls that exist
    already keep their remaining delay.
    """
    if reactor.seconds is time.monotonic:
        return
    now = reactor.seconds()
    waiting = [(call, call.getTime() - now) for call in reactor.getDelayedCalls()]
    reactor.seconds = time.monotonic
    for call, left in waiting:
        call.seconds = time.monotonic
        call.reset(max(0.0, left))
