"""Those who asked for a start or a stop, and are told what came of it."""

from __future__ import annotations

import attrs
from twisted.internet.defer import Deferred

from domogik.errors import DomogikError
from domogik.supervisor.interfaces import Status


@attrs.define(eq=False)
class Waiting:
    """Who waits for one outcome. What it is told it hears when `release` is called."""

    _waiting: list[Deferred[Status]] = attrs.field(init=False, factory=list)
    _told: list[tuple[Deferred[Status], DomogikError | None]] = attrs.field(
        init=False, factory=list
    )

    def join(self) -> Deferred[Status]:
        """One more."""
        deferred: Deferred[Status] = Deferred()
        self._waiting.append(deferred)
        return deferred

    def tell(self, error: DomogikError | None = None) -> None:
        """Decide for everybody who waits now: it has come, or has failed with `error`."""
        self._told += [(deferred, error) for deferred in self._waiting]
        self._waiting.clear()

    def release(self, status: Status) -> None:
        """Let those who were told go on."""
        while self._told:
            deferred, error = self._told.pop(0)
            if error is None:
                deferred.callback(status)
            else:
                deferred.errback(error)
