"""The registry of apps: their units, by any name, are the only ones that may be touched.

`Units` passes questions and orders of components on to the back end: questions of one turn of the
reactor as one, and orders for one unit one after the other.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType

import attrs
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from domogik.answers import deferred
from domogik.errors import NotAllowed
from domogik.units.apps.app import App, Component, DuplicateComponent, check_type
from domogik.units.checks.port_owners import PortOwners
from domogik.units.systemd.backend import IUnitBackend, Order
from domogik.units.systemd.batching import BatchedLookup
from domogik.units.systemd.names import unit_name, with_suffix
from domogik.units.systemd.status import Enablement, UnitStatus
from domogik.units.this_host import HostSystem, IUnitsReactor

_ANEW = (Order.RESTART, Order.TRY_RESTART, Order.TRY_RELOAD_OR_RESTART)


class UndeclaredUnit(NotAllowed):
    """No section and no component declares that unit."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the unit '{name}' is not declared: only units that a [unit:<name>] section or a "
            "component declares may be touched"
        )


@attrs.define(eq=False)
class TemporaryUse:
    """The number of users of `ensure_running`, and how the unit was before the first of them."""

    was_running: bool
    was_enabled: bool
    users: int = 0


@attrs.define(eq=False)
class Units:
    """The apps of this host and the units that their components may ask about and change.

    `uses` has the units that `ensure_running` keeps running, by id.
    """

    _clock: IReactorTime
    backend: IUnitBackend
    ports: PortOwners
    uses: dict[str, TemporaryUse] = attrs.field(init=False, factory=dict)
    #: is called with an app's id and whether it is enabled, before its components are switched
    on_switch: Callable[[str, bool], None] = attrs.field(
        init=False, default=lambda _app, _enabled: None
    )
    _apps: dict[str, App] = attrs.field(init=False, factory=dict)
    _locks: dict[str, DeferredLock] = attrs.field(init=False, factory=dict)
    _declared: frozenset[str] | None = attrs.field(init=False, default=None)
    _statuses: BatchedLookup[str, UnitStatus] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._statuses = BatchedLookup(self._clock, self.backend.status)

    @property
    def apps(self) -> Mapping[str, App]:
        """The apps by id."""
        return MappingProxyType(self._apps)

    def add(self, app: App) -> App:
        """Add an app and return it.

        Raises `DuplicateComponent` if its id or that of a component is taken, and `TypeError`.
        """
        check_type(app, App, "an app of domogik.units")
        if app.app_id in self._apps:
            raise DuplicateComponent(f"there is an app {app.app_id} already")
        for component in app.components.values():
            self.check_new(component)
        self._apps[app.app_id] = app
        self._declared = None
        app.units = self
        return app

    def remove(self, app_id: str) -> None:
        """Forget an app, so that its units may not be touched; the units stay as they are."""
        app = self._apps.pop(app_id, None)
        self._declared = None
        if app is not None:
            app.units = None

    @classmethod
    def on_this_host(cls, reactor: IUnitsReactor | None = None) -> Units:
        """Return a registry of this host without any app; `reactor` is by default Twisted's."""
        return cls.of(HostSystem.of(reactor))

    @classmethod
    def of(cls, system: HostSystem) -> Units:
        """Return a registry without any app that asks `system`."""
        return cls(system.clock, system.backend, system.ports)

    def forget_declared(self) -> None:
        """Read the names of units from the components again, as one has changed or is gone."""
        self._declared = None

    def check_new(self, component: Component) -> None:
        """Raise `DuplicateComponent` if a component of another app has that id."""
        self._declared = None
        for app in self._apps.values():
            if component.component_id in app.components:
                raise DuplicateComponent(f"{app.app_id} has a {component.component_id} already")

    def component(self, component_id: str) -> Component | None:
        """Return the component with that id, of any app; None if there is none."""
        for app in self._apps.values():
            if component_id in app.components:
                return app.components[component_id]
        return None

    @property
    def declared(self) -> frozenset[str]:
        """The full names of all units that may be touched, aliases included."""
        if self._declared is None:
            self._declared = frozenset(
                name
                for app in self._apps.values()
                for component in app.components.values()
                for name in component.unit_names
            )
        return self._declared

    def check(self, name: str) -> str:
        """Return the full name of a declared unit; raises `UndeclaredUnit`, `InvalidUnitName`."""
        return _among(self.declared, name)

    @deferred
    async def status(self, names: Collection[str]) -> dict[str, UnitStatus]:
        """Fire with the status of each unit; all questions of one turn are one to the back end.

        Fails with `UndeclaredUnit`, `InvalidUnitName`, `NoSystemd`, `BackendFailed`.
        """
        declared = self.declared
        full = {name: _among(declared, name) for name in names}
        found = await self._statuses.get(full.values())
        return {name: found[full[name]] for name in full}

    @deferred
    async def enablement(self, name: str) -> Enablement:
        """Fire with the enablement of exactly this name; fails as `status`."""
        return await self.backend.enablement(self.check(name))

    @deferred
    async def logs(self, name: str, lines: int = 200) -> list[str]:
        """Fire with the last lines of a unit's journal; fails as `carry_out`."""
        return await self.backend.logs(self.check(name), lines)

    @deferred
    async def carry_out(self, order: Order, name: str) -> None:
        """Carry out an order for a declared unit.

        To stop `x.socket` stops `x.service` too, to restart it stops `x.service` (the next
        connection starts it again) and to reload it reloads `x.service`.

        Fails with `UndeclaredUnit`, `InvalidUnitName`, `NoSystemd`, `OrderFailed`.
        """
        full = self.check(name)
        service = with_suffix(full, "service") if full.endswith(".socket") else None
        if service is not None and order in _ANEW:
            await self._stop_if_there(service)
        elif service is not None and order is Order.RELOAD:
            await self.backend.carry_out(Order.RELOAD, service)
        else:
            await self.backend.carry_out(order, full)
            if service is not None and order is Order.STOP:
                await self._stop_if_there(service)

    async def _stop_if_there(self, service: str) -> None:
        # a socket with `Accept=yes` has a service for each connection and none of its own name
        if (await self._statuses.get([service]))[service].exists:
            await self.backend.carry_out(Order.STOP, service)

    @asynccontextmanager
    async def locked(self, names: Collection[str]) -> AsyncIterator[None]:
        """Keep other callers from locking any of these units inside of the block."""
        taken: list[DeferredLock] = []
        try:
            for name in sorted(
                set(names)
            ):  # always in this order, so that two callers cannot block each other
                lock = self._locks.setdefault(name, DeferredLock())
                await lock.acquire()
                taken.append(lock)
            yield
        finally:
            for lock in reversed(taken):
                lock.release()


def _among(declared: Collection[str], name: str) -> str:
    full = unit_name(name)
    if full not in declared:
        raise UndeclaredUnit(full)
    return full
