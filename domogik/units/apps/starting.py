"""Starts a unit; the error of a failure has systemd's words and the end of the journal."""

from __future__ import annotations

from collections.abc import Iterable

from domogik.errors import DomogikError, OperationFailed
from domogik.units.apps.registry import Units
from domogik.units.systemd.backend import Order, OrderFailed
from domogik.units.systemd.status import UnitStatus

#: the lines of the journal that a failure has
_LAST_LINES = 10


class UnitFailed(OperationFailed):
    """An order for a unit failed; `log` has the last lines of its journal."""

    def __init__(self, sentence: str, status: UnitStatus, log: Iterable[str] = ()) -> None:
        self.status = status
        self.log = tuple(log)
        super().__init__(sentence, "\n".join((status.outcome, *self.log)))


async def failure(units: Units, sentence: str, status: UnitStatus) -> UnitFailed:
    """Return the error about a unit, with the end of its journal if that can be read."""
    try:
        log = await units.logs(status.name, _LAST_LINES)
    except DomogikError as error:
        log = [str(error)]
    return UnitFailed(sentence, status, log)


async def start(units: Units, name: str, order: Order = Order.START) -> UnitStatus:
    """Start or restart a unit and return its status; raises `UnitFailed`, `NoSystemd`."""
    try:
        await units.carry_out(order, name)
    except OrderFailed as error:
        raise await failure(units, str(error), (await units.status([name]))[name]) from error
    return await check_started(units, (await units.status([name]))[name])


async def check_started(units: Units, status: UnitStatus) -> UnitStatus:
    """Return the status of a unit just started; raises `UnitFailed` if it does not run.

    A service of `Type=simple` counts as started as soon as its program is, which may have ended.
    """
    if not status.is_running:
        raise await failure(units, f"{status.name} was started and does not run", status)
    return status
