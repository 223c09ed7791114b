"""A single timer."""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, ParamSpec

import attrs
from twisted.internet.interfaces import IDelayedCall, IReactorTime

P = ParamSpec("P")


@attrs.define(eq=False)
class OneTimer(Generic[P]):
    """Calls `callback` with the arguments of `arm`, unless it is armed again or dropped before."""

    _clock: IReactorTime
    _callback: Callable[P, None]
    _call: IDelayedCall | None = attrs.field(init=False, default=None)

    def arm(self, seconds: float, *arguments: P.args, **keywords: P.kwargs) -> None:
        """Set the timer, instead of what it was set for."""
        self.drop()
        self._call = self._clock.callLater(seconds, self._is_due, *arguments, **keywords)

    def extend(self, seconds: float) -> None:
        """Reset the delay, if the timer is set."""
        if self._call is not None:
            self._call.reset(seconds)

    def drop(self) -> None:
        """Cancel the timer."""
        if self._call is not None:
            self._call.cancel()
            self._call = None

    def _is_due(self, *arguments: P.args, **keywords: P.kwargs) -> None:
        self._call = None
        self._callback(*arguments, **keywords)
