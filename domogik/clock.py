"""The clock by which reactors of ours wait: one that is never set."""

from __future__ import annotations

import time
from typing import Any


def keep_steady(reactor: Any) -> None:  # a method of it is replaced, which no interface allows
    """Have `reactor` measure time by CLOCK_MONOTONIC, which no NTP answer and no person moves.

    Twisted's reactors take `time.time`: set back by an hour, everything that is due waits an hour
    longer. Only for a reactor of a program of ours, since its `seconds()` is no Unix time any more.
    What waits already waits as long as it would have.
    """
    if reactor.seconds is time.monotonic:
        return
    now = reactor.seconds()
    waiting = [(call, call.getTime() - now) for call in reactor.getDelayedCalls()]
    reactor.seconds = time.monotonic
    for call, left in waiting:
        call.seconds = time.monotonic
        call.reset(max(0.0, left))
