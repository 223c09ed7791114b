"""Keeps the status of all declared units up to date.

Units are looked up when systemd reports a change, and at intervals if it reports none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.errors import DomogikError
from domogik.units.apps.registry import Units
from domogik.units.systemd.status import UnitStatus

T = TypeVar("T")

#: changes come in bursts, and looking a unit up may make others change
_SETTLE_S = 0.2
_LOOK_EVERY_S = 10.0
#: the interval while systemd reports changes, for one that was missed
_LOOK_RARELY_S = 300.0

#: is called with the full name, the former status (None at first) and the new one (None if the unit
#: is no longer declared)
OnChange = Callable[[str, UnitStatus | None, UnitStatus | None], None]


@attrs.define(eq=False)
class UnitWatch:
    """Keeps the last status of every declared unit between `start` and `stop`.

    `reason` says why systemd cannot be asked, and is empty if it can; `on_reason` is called
    after it has changed.
    """

    _clock: IReactorTime
    _units: Units
    _on_change: OnChange
    _on_reason: Callable[[], None] = lambda: None
    statuses: dict[str, UnitStatus] = attrs.field(init=False, factory=dict)
    reason: str = attrs.field(init=False, default="")
    _log: Logger = Logger()
    _changed: set[str] = attrs.field(init=False, factory=set)
    _is_all_due: bool = attrs.field(init=False, default=True)
    _wake: Deferred[None] | None = attrs.field(init=False, default=None)
    _requests: list[Deferred[None]] = attrs.field(init=False, factory=list)
    _is_running: bool = attrs.field(init=False, default=False)
    _loop: Deferred[None] | None = attrs.field(init=False, default=None)
    _awaited: Deferred[Any] | None = attrs.field(init=False, default=None)
    _unsubscribe: Callable[[], None] | None = attrs.field(init=False, default=None)

    def start(self) -> Deferred[None]:
        """Begin; fire when every unit was looked up once."""
        self._is_running = True
        first = self.look()
        self._unsubscribe = self._units.backend.subscribe(self._on_changed)
        self._loop = Deferred.fromCoroutine(self._run()).addErrback(self._ended)
        self._loop = self._loop.addBoth(self._fire_requests)
        return first

    def stop(self) -> None:
        """End; `statuses` stays as it is."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._unsubscribe = None
        self._is_running = False
        if self._awaited is not None:
            self._awaited.cancel()

    def look(self) -> Deferred[None]:
        """Look all units up and fire when that is done; at once if it is not started."""
        if not self._is_running:
            return succeed(None)
        request: Deferred[None] = Deferred()
        self._requests.append(request)
        self._is_all_due = True
        self._wake_up()
        return request

    def _on_changed(self, unit_id: str | None) -> None:
        if unit_id is None:
            self._is_all_due = True
        else:
            known = {name for name, status in self.statuses.items() if unit_id in status.names}
            self._changed |= known | ({unit_id} & self._units.declared)
        if self._is_all_due or self._changed:
            self._wake_up()

    def _wake_up(self) -> None:
        if self._wake is not None and not self._wake.called:
            self._wake.callback(None)

    def _ended(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._log.failure("watching units ended", reason)

    def _fire_requests(self, result: object = None) -> None:
        requests, self._requests = self._requests, []
        for one in requests:
            one.callback(None)

    async def _wait_for(self, awaited: Deferred[T]) -> T:
        # a callback may call `stop`, which must not cancel the coroutine that is running
        self._awaited = awaited
        try:
            return await awaited
        finally:
            self._awaited = None

    async def _run(self) -> None:
        while self._is_running:
            requests, self._requests = self._requests, []
            names = self._units.declared if self._is_all_due else frozenset(self._changed)
            self._is_all_due = False
            self._changed.clear()
            try:
                await self._look_at(names)
            finally:
                for one in requests:
                    one.callback(None)
            if self._is_running:
                await self._until_due()

    async def _until_due(self) -> None:
        if not self._is_all_due and not self._changed:
            self._wake = Deferred()
            is_reported = self._units.backend.reports_changes() and not self.reason
            wait = _LOOK_RARELY_S if is_reported else _LOOK_EVERY_S
            timer = self._clock.callLater(wait, self._all_due)
            try:
                await self._wait_for(self._wake)
            finally:
                self._wake = None
                if timer.active():
                    timer.cancel()
        if not self._requests:
            await self._wait_for(deferLater(self._clock, _SETTLE_S))

    def _all_due(self) -> None:
        self._is_all_due = True
        self._wake_up()

    async def _look_at(self, names: frozenset[str]) -> None:
        names &= self._units.declared
        try:
            found = await self._wait_for(self._units.status(names))
        except DomogikError as error:
            if str(error) != self.reason:
                self._log.warn("units cannot be watched: {reason}", reason=str(error))
            self._set_reason(str(error))
            return
        self._set_reason("")
        for name in self.statuses.keys() - self._units.declared:
            self._notify(name, self.statuses.pop(name), None)
        for name, status in found.items():
            before = self.statuses.get(name)
            self.statuses[name] = status
            if status != before:
                self._notify(name, before, status)

    def _set_reason(self, reason: str) -> None:
        before, self.reason = self.reason, reason
        if reason != before:
            try:
                self._on_reason()
            except Exception:  # noqa: BLE001 - a receiver may raise anything
                self._log.failure("the receiver of the reason why units cannot be watched raised")

    def _notify(self, name: str, before: UnitStatus | None, after: UnitStatus | None) -> None:
        try:
            self._on_change(name, before, after)
        except Exception:  # noqa: BLE001 - a receiver may raise anything
            self._log.failure("a receiver of the state of {name} raised", name=name)
