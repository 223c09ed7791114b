"""How are the declared units now? Asked again when systemd says that something changed.

Where changes cannot be told they are looked for.
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

#: changes come in bursts; and to look at a unit may make others change
_SETTLE_S = 0.2
_LOOK_EVERY_S = 10.0
#: where changes are told, one that was missed is found by then
_LOOK_ANYWAY_S = 300.0

#: called with the full name, how it was (None at first), and how it is (None: no longer declared)
OnChange = Callable[[str, UnitStatus | None, UnitStatus | None], None]


@attrs.define(eq=False)
class UnitWatch:
    """Keeps the last status of every declared unit while it runs.

    `reason` says why there is none to be had, and is empty where there is; `on_reason()` is called
    when it has changed.
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
    _bell: Deferred[None] | None = attrs.field(init=False, default=None)
    _asked: list[Deferred[None]] = attrs.field(init=False, factory=list)
    _is_running: bool = attrs.field(init=False, default=False)
    _loop: Deferred[None] | None = attrs.field(init=False, default=None)
    _awaited: Deferred[Any] | None = attrs.field(init=False, default=None)
    _unsubscribe: Callable[[], None] | None = attrs.field(init=False, default=None)

    def start(self) -> Deferred[None]:
        """Fires when every unit was looked at once."""
        self._is_running = True
        looked = self.look()
        self._unsubscribe = self._units.backend.subscribe(self._hear)
        self._loop = Deferred.fromCoroutine(self._run()).addErrback(self._ended)
        self._loop = self._loop.addBoth(self._nobody_waits)
        return looked

    def stop(self) -> None:
        """Look no more; `statuses` stays as it is."""
        if self._unsubscribe is not None:
            self._unsubscribe()
        self._unsubscribe = None
        self._is_running = False
        if self._awaited is not None:
            self._awaited.cancel()

    def look(self) -> Deferred[None]:
        """Look at all of them, after others were declared for example; fires when that was done.

        Nothing is looked at while it does not run.
        """
        if not self._is_running:
            return succeed(None)
        asked: Deferred[None] = Deferred()
        self._asked.append(asked)
        self._is_all_due = True
        self._ring()
        return asked

    def _hear(self, unit_id: str | None) -> None:
        if unit_id is None:
            self._is_all_due = True
        else:
            known = {name for name, status in self.statuses.items() if unit_id in status.names}
            self._changed |= known | ({unit_id} & self._units.declared)
        if self._is_all_due or self._changed:
            self._ring()

    def _ring(self) -> None:
        if self._bell is not None and not self._bell.called:
            self._bell.callback(None)

    def _ended(self, reason: Failure) -> None:
        if not reason.check(CancelledError):
            self._log.failure("watching units ended", reason)

    def _nobody_waits(self, result: object = None) -> None:
        asked, self._asked = self._asked, []
        for one in asked:
            one.callback(None)

    async def _wait_for(self, awaited: Deferred[T]) -> T:
        # who is called meanwhile may stop us, and cannot cancel what is running
        self._awaited = awaited
        try:
            return await awaited
        finally:
            self._awaited = None

    async def _run(self) -> None:
        while self._is_running:
            asked, self._asked = self._asked, []
            names = self._units.declared if self._is_all_due else frozenset(self._changed)
            self._is_all_due = False
            self._changed.clear()
            try:
                await self._look_at(names)
            finally:
                for one in asked:
                    one.callback(None)
            if self._is_running:
                await self._until_due()

    async def _until_due(self) -> None:
        if not self._is_all_due and not self._changed:
            self._bell = Deferred()
            is_told = self._units.backend.reports_changes() and not self.reason
            wait = _LOOK_ANYWAY_S if is_told else _LOOK_EVERY_S
            timer = self._clock.callLater(wait, self._all_due)
            try:
                await self._wait_for(self._bell)
            finally:
                self._bell = None
                if timer.active():
                    timer.cancel()
        if not self._asked:
            await self._wait_for(deferLater(self._clock, _SETTLE_S))

    def _all_due(self) -> None:
        self._is_all_due = True
        self._ring()

    async def _look_at(self, names: frozenset[str]) -> None:
        names &= self._units.declared
        try:
            found = await self._wait_for(self._units.status(names))
        except DomogikError as error:
            if str(error) != self.reason:
                self._log.warn("units cannot be watched: {reason}", reason=str(error))
            self._because(str(error))
            return
        self._because("")
        for name in self.statuses.keys() - self._units.declared:
            self._tell(name, self.statuses.pop(name), None)
        for name, status in found.items():
            before = self.statuses.get(name)
            self.statuses[name] = status
            if status != before:
                self._tell(name, before, status)

    def _because(self, reason: str) -> None:
        before, self.reason = self.reason, reason
        if reason != before:
            try:
                self._on_reason()
            except Exception:  # noqa: BLE001 - a door for callbacks
                self._log.failure("who is told why units cannot be watched raised")

    def _tell(self, name: str, before: UnitStatus | None, after: UnitStatus | None) -> None:
        try:
            self._on_change(name, before, after)
        except Exception:  # noqa: BLE001 - a door for callbacks
            self._log.failure("a receiver of the state of {name} raised", name=name)
