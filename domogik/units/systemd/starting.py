"""Start a unit, and if it does not come up say what systemd says: its words, and its last lines."""

from __future__ import annotations

from collections.abc import Iterable

from domogik.errors import DomogikError, OperationFailed
from domogik.units.apps.registry import Units
from domogik.units.systemd.backend import Order, OrderFailed
from domogik.units.systemd.status import UnitStatus

#: with a failure, so much of the journal is told
_LAST_LINES = 10


class UnitFailed(OperationFailed):
    """A unit did not come to what it was told to; `status` is how it is, `log` its last lines."""

    def __init__(self, sentence: str, status: UnitStatus, log: Iterable[str] = ()) -> None:
        self.status = status
        self.log = tuple(log)
        super().__init__(sentence, "\n".join((status.outcome, *self.log)))


async def failure(units: Units, sentence: str, status: UnitStatus) -> UnitFailed:
    """The error about a unit, with the end of its journal where that can be read."""
    try:
        log = await units.logs(status.name, _LAST_LINES)
    except DomogikError as error:
        log = [str(error)]
    return UnitFailed(sentence, status, log)


async def start(units: Units, name: str, order: Order = Order.START) -> UnitStatus:
    """Start it, or start it again, and see that it came up; raises `UnitFailed`, `NoSystemd`."""
    try:
        await units.carry_out(order, name)
    except OrderFailed as error:
        raise await failure(units, str(error), (await units.status([name]))[name]) from error
    return await came_up(units, (await units.status([name]))[name])


async def came_up(units: Units, status: UnitStatus) -> UnitStatus:
    """The status of a unit that was started just now; raises `UnitFailed` if it does not run.

    What is a service of `Type=simple` to systemd has started when its program was, and may have
    ended already.
    """
    if not status.is_running:
        raise await failure(units, f"{status.name} was started and does not run", status)
    return status
