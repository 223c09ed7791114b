"""A systemd in memory, for tests of what manages units.

It passes the same contract tests as the real one (tests/contract/test_units.py).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any, ClassVar

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from domogik.errors import DomogikError
from domogik.threads import at_once
from domogik.units.apps.registry import Units
from domogik.units.checks.port_owners import OpenPort, PortOwners
from domogik.units.systemd.backend import (
    ChangeReceiver,
    IUnitBackend,
    NoSystemd,
    NotPermitted,
    Order,
    OrderFailed,
)
from domogik.units.systemd.status import Enablement, UnitStatus

_STARTS = (Order.START, Order.RESTART)


@attrs.define(eq=False)
class FakeUnit:
    """A unit file and the unit's status.

    `word` is its UnitFileState. `alias` is the name that `Alias=` gives it when it is enabled.
    `start_fails` is the Result with which a start fails, `fails_after_start` the one with which the
    unit fails right after a start; empty if it does not. With `is_slow` a start lasts until
    `FakeSystemd.finish_start`.
    """

    status: UnitStatus
    word: str = "disabled"
    alias: str = ""
    start_fails: str = ""
    fails_after_start: str = ""
    is_slow: bool = False
    can_reload: bool = False
    log: list[str] = attrs.field(factory=list)
    waiting: list[Deferred[None]] = attrs.field(factory=list)

    def set_state(self, active: str, sub: str, **more: Any) -> None:
        """Change its ActiveState, its SubState, and other fields of the status."""
        self.status = attrs.evolve(self.status, active_state=active, sub_state=sub, **more)

    @property
    def names(self) -> tuple[str, ...]:
        """The names that it has at the moment."""
        with_alias = self.alias and self.word.startswith("enabled")
        return (self.status.id, self.alias) if with_alias else (self.status.id,)


@implementer(IUnitBackend)
@attrs.define(eq=False)
class FakeSystemd:
    """Carries orders out at once, except for starts of slow units.

    `orders` has all orders given, `questions` the names of each status call. `refuses` is the text
    with which every order fails as if privileges were missing, `absent` the one with which every
    call fails as if there were no systemd; each is empty by default.
    """

    units: dict[str, FakeUnit] = attrs.field(factory=dict)
    orders: list[tuple[Order, str]] = attrs.field(factory=list)
    questions: list[frozenset[str]] = attrs.field(factory=list)
    refuses: str = ""
    absent: str = ""
    has_bus: bool = True
    _receivers: list[ChangeReceiver] = attrs.field(factory=list)
    _pids: int = 1000

    def add(self, name: str, word: str = "disabled", **more: Any) -> FakeUnit:
        """Add a unit that does not run and return it; `more` are fields of `FakeUnit`."""
        kind = more.pop("type", "simple")
        status = UnitStatus(name, name, (name,), f"The unit {name}", type=kind)
        unit = FakeUnit(status, word, **more)
        self.units[name] = unit
        return unit

    def status(self, names: Collection[str]) -> Deferred[Mapping[str, UnitStatus]]:
        self.questions.append(frozenset(names))
        if self.absent:
            return fail(NoSystemd(self.absent))
        return succeed({name: self._status(name) for name in names})

    def _status(self, name: str) -> UnitStatus:
        unit = self._find(name)
        if unit is None:
            words = f"Unit {name} not found."
            return UnitStatus(name, name, (name,), name, load_state="not-found", load_error=words)
        return attrs.evolve(
            unit.status,
            name=name,
            names=unit.names,
            load_state="masked" if unit.word == "masked" else unit.status.load_state,
            enablement=Enablement(unit.word),
        )

    def enablement(self, name: str) -> Deferred[Enablement]:
        if self.absent:
            return fail(NoSystemd(self.absent))
        unit = self._find(name)
        if unit is None:
            return succeed(Enablement("not-found"))
        return succeed(Enablement(unit.word if unit.status.id == name else "alias"))

    def carry_out(self, order: Order, name: str) -> Deferred[None]:
        if self.absent:
            return fail(NoSystemd(self.absent))
        self.orders.append((order, name))
        spoken = f"systemctl {order.value} {name}"
        if self.refuses:
            return fail(NotPermitted(f"{spoken}: {self.refuses}"))
        unit = self._find(name)
        if unit is None:
            words = "does not exist" if order.value.endswith("able") else "not found"
            return fail(OrderFailed(f"{spoken}: Unit {name} {words}."))
        if name != unit.status.id and order in (Order.ENABLE, Order.DISABLE, Order.MASK):
            return fail(OrderFailed(f"{spoken}: Refusing to operate on alias name {name}"))
        try:
            return self._DO[order](self, unit)
        except DomogikError as error:
            return fail(OrderFailed(f"{spoken}: {error}"))

    def daemon_reload(self) -> Deferred[None]:
        if self.absent:
            return fail(NoSystemd(self.absent))
        if self.refuses:
            return fail(NotPermitted(f"systemctl daemon-reload: {self.refuses}"))
        for unit in self.units.values():
            unit.status = attrs.evolve(unit.status, needs_daemon_reload=False)
        self._tell(None)
        return succeed(None)

    def logs(self, name: str, lines: int) -> Deferred[list[str]]:
        if self.absent:
            return fail(NoSystemd(self.absent))
        unit = self._find(name)
        return succeed([] if unit is None else unit.log[-lines:])

    def subscribe(self, receiver: ChangeReceiver) -> Callable[[], None]:
        self._receivers.append(receiver)
        return lambda: self._receivers.remove(receiver)

    def reports_changes(self) -> bool:
        return self.has_bus and not self.absent

    def change_state(self, name: str, active: str, sub: str, **more: Any) -> None:
        """Change a unit's state without an order, and report it."""
        self.units[name].set_state(active, sub, **more)
        self._tell(name)

    def finish_start(self, name: str) -> None:
        """End the start of a slow unit with success."""
        unit = self.units[name]
        self._run(unit)
        waiting, unit.waiting = unit.waiting, []
        for one in waiting:
            one.callback(None)

    def _find(self, name: str) -> FakeUnit | None:
        for unit in self.units.values():
            if name in unit.names:
                return unit
        return None

    def _tell(self, name: str | None) -> None:
        if self.has_bus:
            for receiver in tuple(self._receivers):
                receiver(name)

    def _start(self, unit: FakeUnit) -> Deferred[None]:
        name = unit.status.id
        if unit.word == "masked":
            raise DomogikError(f"Failed to start {name}: Unit {name} is masked.")
        if unit.start_fails:
            self._fails(unit, unit.start_fails)
            raise DomogikError(f"Job for {name} failed ({unit.start_fails}).")
        if unit.is_slow:
            unit.set_state("activating", "start", main_pid=self._pid())
            self._tell(name)
            unit.waiting.append(Deferred())
            return unit.waiting[-1]
        if not unit.status.is_active:
            self._run(unit)
        if unit.fails_after_start:
            self._fails(unit, unit.fails_after_start)
        return succeed(None)

    def _run(self, unit: FakeUnit) -> None:
        if unit.status.type == "oneshot":
            unit.set_state("inactive", "dead", result="success")
        else:
            group = f"/system.slice/{unit.status.id}"
            unit.set_state(
                "active",
                "running",
                result="success",
                main_pid=self._pid(),
                control_group=group,
            )
        self._tell(unit.status.id)

    def _fails(self, unit: FakeUnit, result: str) -> None:
        unit.set_state(
            "failed",
            "failed",
            result=result,
            main_pid=0,
            control_group="",
            exec_main_code=1,
            exec_main_status=1,
        )
        self._tell(unit.status.id)

    def _stop(self, unit: FakeUnit) -> Deferred[None]:
        self._end(unit)
        return succeed(None)

    def _end(self, unit: FakeUnit) -> None:
        if unit.status.active_state not in ("inactive", "failed"):
            unit.set_state("inactive", "dead", main_pid=0, control_group="")
            self._tell(unit.status.id)

    def _restart(self, unit: FakeUnit) -> Deferred[None]:
        self._end(unit)
        return self._start(unit)

    def _try_restart(self, unit: FakeUnit) -> Deferred[None]:
        return self._restart(unit) if unit.status.is_active else succeed(None)

    def _reload(self, unit: FakeUnit) -> Deferred[None]:
        if not unit.can_reload:
            name = unit.status.id
            raise DomogikError(f"Job type reload is not applicable for unit {name}.")
        return succeed(None)

    def _try_reload(self, unit: FakeUnit) -> Deferred[None]:
        return self._reload(unit) if unit.can_reload else self._try_restart(unit)

    def _reset(self, unit: FakeUnit) -> Deferred[None]:
        if unit.status.is_failed:
            unit.set_state(
                "inactive", "dead", result="success", exec_main_code=0, exec_main_status=0
            )
            self._tell(unit.status.id)
        return succeed(None)

    def _file(self, unit: FakeUnit, order: Order) -> Deferred[None]:
        before, after = {
            Order.ENABLE: ("disabled", "enabled"),
            Order.DISABLE: ("enabled", "disabled"),
            Order.MASK: ("disabled", "masked"),
            Order.UNMASK: ("masked", "disabled"),
        }[order]
        if unit.word == "masked" and order is Order.ENABLE:
            raise DomogikError(f"Unit file {unit.status.id} is masked.")
        if unit.word == before:
            unit.word = after
            self._tell(None)
        return succeed(None)

    _DO: ClassVar[Mapping[Order, Callable[[FakeSystemd, FakeUnit], Deferred[None]]]] = {
        Order.START: _start,
        Order.STOP: _stop,
        Order.RESTART: _restart,
        Order.TRY_RESTART: _try_restart,
        Order.RELOAD: _reload,
        Order.TRY_RELOAD_OR_RESTART: _try_reload,
        Order.RESET_FAILED: _reset,
        Order.ENABLE: lambda self, unit: self._file(unit, Order.ENABLE),
        Order.DISABLE: lambda self, unit: self._file(unit, Order.DISABLE),
        Order.MASK: lambda self, unit: self._file(unit, Order.MASK),
        Order.UNMASK: lambda self, unit: self._file(unit, Order.UNMASK),
    }

    def _pid(self) -> int:
        self._pids += 1
        return self._pids


def fake_units(
    backend: FakeSystemd, clock: IReactorTime, ports: Mapping[int, tuple[OpenPort, ...]]
) -> Units:
    """Return a registry of the units of `backend` and open `ports`, which may change later."""

    def look(wanted: frozenset[int]) -> dict[int, tuple[OpenPort, ...]]:
        return {port: ports.get(port, ()) for port in wanted}

    return Units(clock, backend, PortOwners(clock, at_once, look))
