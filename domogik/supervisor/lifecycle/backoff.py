"""The delay before a failed component is restarted.

The first restart comes `backoff_first` seconds after the failure (0: at once, and so do all that
follow), each later one after twice as long, up to `backoff_max`; up to a quarter of each delay is
random, so that components that failed together are not restarted together. After `start_limit`
automatic starts within `start_limit_window` seconds the component is given up until it has run
steadily or the user has started it.

It runs steadily if it ran longer than `start_limit_window / start_limit`: at that pace the limit is
never reached. A limit of 0 is no limit.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial

import attrs

from domogik.supervisor.interfaces import Policy
from domogik.supervisor.outcomes import span

_JITTER = 0.25
_REMEMBERED = 100
_MOST_DOUBLINGS = 60  # keeps the power in the range of a float


@attrs.frozen
class Wait:
    """Restart it in `seconds`."""

    seconds: float


@attrs.frozen
class GiveUp:
    """It failed too often; `reason` is a sentence."""

    reason: str


@attrs.define(eq=False)
class Restarts:
    """The automatic starts of one component. `random` returns numbers from [0, 1)."""

    _random: Callable[[], float]
    _failures: int = 0
    _gave_up: bool = False
    _starts: deque[float] | None = None  # most components never need one
    _lately: deque[float] = attrs.field(factory=partial(deque, maxlen=_REMEMBERED))

    def after_failure(self, policy: Policy, now: float, ran_for: float) -> Wait | GiveUp:
        """Return what to do about a failure at `now`, after `ran_for` seconds of running."""
        if ran_for > _steady(policy):
            self.forget()
        if self._gave_up or self._too_often(policy, now):
            self._gave_up = True
            return GiveUp(
                f"ended {policy.start_limit} times in {span(policy.start_limit_window)}, "
                f"is tried again every {span(policy.slow_retry)}"
            )
        wait = policy.backoff_first * 2.0 ** min(self._failures, _MOST_DOUBLINGS)
        self._failures += 1
        return Wait(min(wait, policy.backoff_max) * (1 - _JITTER * self._random()))

    def started(self, now: float) -> None:
        """Note an automatic start at `now`."""
        if self._starts is None:
            self._starts = deque()
        self._starts.append(now)
        self._lately.append(now)

    def within(self, seconds: float, now: float) -> int:
        """Return the number of restarts in the last `seconds`; `forget` does not reset them."""
        return sum(moment > now - seconds for moment in self._lately)

    def forget(self) -> None:
        """Reset the backoff, after a manual start or a steady run."""
        self._failures = 0
        self._gave_up = False
        self._starts = None

    def _too_often(self, policy: Policy, now: float) -> bool:
        if not policy.start_limit or self._starts is None:
            return False
        while self._starts and self._starts[0] <= now - policy.start_limit_window:
            self._starts.popleft()
        return len(self._starts) >= policy.start_limit


def _steady(policy: Policy) -> float:
    if not policy.start_limit:
        return policy.backoff_max
    return policy.start_limit_window / policy.start_limit
