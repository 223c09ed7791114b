"""Keeps a unit running while a caller needs it, and restores its state afterwards."""

from __future__ import annotations

from collections.abc import Collection
from types import TracebackType

from twisted.internet.defer import CancelledError

from domogik.answers import deferred
from domogik.errors import DomogikError, OperationFailed
from domogik.units.apps.registry import TemporaryUse, Units
from domogik.units.apps.starting import failure, start
from domogik.units.systemd.backend import Order
from domogik.units.systemd.status import UnitStatus


class EnsureRunning:
    """One block of `Daemon.ensure_running`; `names` are all names of `unit`."""

    def __init__(self, units: Units, unit: str, names: Collection[str]) -> None:
        self._units = units
        self._unit = unit
        self._names = names
        self._id: str | None = None

    @deferred
    async def __aenter__(self) -> bool:
        async with self._units.locked(self._names):
            status = await self._status()
            if not status.exists:
                return False
            use = self._units.uses.get(status.id)
            if use is None:
                enablement = await self._units.enablement(self._unit)
                use = TemporaryUse(status.is_running, enablement.is_enabled)
            if not status.is_running or status.is_starting:
                await self._start(use)
            use.users += 1
            self._units.uses[status.id] = use
            self._id = status.id
            return status.is_running

    async def _start(self, use: TemporaryUse) -> None:
        try:
            await start(self._units, self._unit)
        except (DomogikError, CancelledError):
            # systemd goes on with the start otherwise
            if not use.users:
                await self._restore(use)
            raise

    @deferred
    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._id is None:
            return
        try:
            await self._leave(self._id)
        except OperationFailed as trouble:
            if error is None:
                raise
            error.add_note(f"{trouble}: {trouble.reason}")

    async def _leave(self, unit_id: str) -> None:
        async with self._units.locked(self._names):
            use = self._units.uses[unit_id]
            use.users -= 1
            if not use.users:
                del self._units.uses[unit_id]
            status = await self._status()
            died = status.is_failed or status.is_waiting_to_restart
            sentence = f"{self._unit} ended while it was needed"
            trouble = await failure(self._units, sentence, status) if died else None
            if not use.users:
                await self._restore(use)
        if trouble is not None:
            raise trouble

    async def _restore(self, use: TemporaryUse) -> None:
        """Stop the unit unless it ran before or was enabled meanwhile."""
        if use.was_running:
            return
        if use.was_enabled or not (await self._units.enablement(self._unit)).is_enabled:
            await self._units.carry_out(Order.STOP, self._unit)

    async def _status(self) -> UnitStatus:
        return (await self._units.status([self._unit]))[self._unit]
