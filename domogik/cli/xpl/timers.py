"""What is due when? A clock for a program whose only loop waits for one socket."""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable


class DelayedCall:
    """Something to be done later."""

    __slots__ = ("_is_active", "_time", "_work")

    def __init__(self, time: float, work: Callable[[], object]) -> None:
        self._time = time
        self._work = work
        self._is_active = True

    def cancel(self) -> None:
        """Do not do it; may be called at any time."""
        self._is_active = False

    def active(self) -> bool:
        """Whether it is still to be done."""
        return self._is_active

    def getTime(self) -> float:
        """When, in seconds of the clock."""
        return self._time

    def run(self) -> None:
        """Do it, once."""
        if self._is_active:
            self._is_active = False
            self._work()


class Timers:
    """`seconds` and `callLater` as Twisted's clocks have them, so that `fragments` can use it."""

    def __init__(self, seconds: Callable[[], float] = time.monotonic) -> None:
        self.seconds = seconds
        self._calls: list[tuple[float, int, DelayedCall]] = []
        self._order = itertools.count()

    def callLater(self, delay: float, work: Callable[[], object]) -> DelayedCall:
        """Have `work` done in `delay` seconds."""
        call = DelayedCall(self.seconds() + delay, work)
        heapq.heappush(self._calls, (call.getTime(), next(self._order), call))
        return call

    def run_due(self) -> float | None:
        """Do what is due; the seconds until the next is, None where nothing is to come."""
        while self._calls:
            due, _, call = self._calls[0]
            wait = due - self.seconds()
            if call.active() and wait > 0:
                return wait
            heapq.heappop(self._calls)
            call.run()
        return None
