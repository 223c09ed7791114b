"""The Deferreds of pending starts and stops."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from domogik.errors import DomogikError
from domogik.supervisor.interfaces import Status


@attrs.define(eq=False)
class Waiting:
    """The Deferreds for one outcome: `tell` sets their result, `release` fires them."""

    _waiting: list[Deferred[Status]] = attrs.field(init=False, factory=list)
    _told: list[tuple[Deferred[Status], DomogikError | None]] = attrs.field(
        init=False, factory=list
    )

    def join(self) -> Deferred[Status]:
        """Return one more Deferred that waits for the outcome."""
        deferred: Deferred[Status] = Deferred()
        self._waiting.append(deferred)
        return deferred

    def tell(self, error: DomogikError | None = None) -> None:
        """Set success, or `error`, for all that wait now."""
        self._told += [(deferred, error) for deferred in self._waiting]
        self._waiting.clear()

    def release(self, status: Status) -> None:
        """Fire those with a result."""
        while self._told:
            deferred, error = self._told.pop(0)
            if error is None:
                deferred.callback(status)
            else:
                deferred.errback(error)
