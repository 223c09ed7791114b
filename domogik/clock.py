"""A monotonic clock for the reactors of Domogik's own programs."""

from __future__ import annotations

import time
from typing import Any


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
