"""Which units may be touched? Those that an app declares, by any of their names; no others.

`Units` is what every component of this room asks: it has the back end, lets nobody disturb an
order near a unit, and merges what is asked in one turn of the reactor into one question.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Mapping
from contextlib import asynccontextmanager
from types import MappingProxyType
from typing import TYPE_CHECKING

import attrs
from twisted.internet.defer import DeferredLock
from twisted.internet.interfaces import IReactorTime

from domogik.answers import deferred
from domogik.errors import NotAllowed
from domogik.units.apps.app import App, Component, DuplicateComponent, check_type
from domogik.units.checks.port_owners import PortOwners
from domogik.units.systemd.backend import IUnitBackend, Order
from domogik.units.systemd.merging import Merged
from domogik.units.systemd.names import unit_name, with_suffix
from domogik.units.systemd.status import Enablement, UnitStatus

if TYPE_CHECKING:
    from domogik.units.here import IUnitsReactor

_ANEW = (Order.RESTART, Order.TRY_RESTART, Order.TRY_RELOAD_OR_RESTART)


class UndeclaredUnit(NotAllowed):
    """Nobody declared that unit, so it is left alone."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"the unit '{name}' is not declared: only units that a [unit:<name>] section or a "
            "component declares may be touched"
        )


@attrs.define(eq=False)
class Use:
    """Who needs a unit for a while: how many, and how it was before the first of them."""

    was_running: bool
    was_enabled: bool
    users: int = 0


@attrs.define(eq=False)
class Units:
    """The apps of this host, and what their components may ask.

    `uses` says, by the id of the unit, who keeps it running for a while.
    """

    _clock: IReactorTime
    backend: IUnitBackend
    ports: PortOwners
    uses: dict[str, Use] = attrs.field(init=False, factory=dict)
    #: told of an app's id and whether it is enabled, before its components are switched
    note: Callable[[str, bool], None] = attrs.field(init=False, default=lambda _app, _enabled: None)
    _apps: dict[str, App] = attrs.field(init=False, factory=dict)
    _locks: dict[str, DeferredLock] = attrs.field(init=False, factory=dict)
    _declared: frozenset[str] | None = attrs.field(init=False, default=None)
    _statuses: Merged[str, UnitStatus] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._statuses = Merged(self._clock, self.backend.status)

    @property
    def apps(self) -> Mapping[str, App]:
        """By id."""
        return MappingProxyType(self._apps)

    def add(self, app: App) -> App:
        """One more app; raises `DuplicateComponent` if its id or one of a component is taken."""
        check_type(app, App, "an app of domogik.units")
        if app.app_id in self._apps:
            raise DuplicateComponent(f"there is an app {app.app_id} already")
        for component in app.components.values():
            self.expect(component)
        self._apps[app.app_id] = app
        self._declared = None
        app.units = self
        return app

    def remove(self, app_id: str) -> None:
        """Forget an app, and that its units may be touched; the units stay as they are."""
        app = self._apps.pop(app_id, None)
        self._declared = None
        if app is not None:
            app.units = None

    @classmethod
    def on_this_host(cls, reactor: IUnitsReactor | None = None) -> Units:
        """Return a registry of this host, without any app yet.

        systemd is asked by its commands and tells of changes on its bus, and who listens where is
        asked in threads. `reactor` is Twisted's unless another is given.
        """
        from domogik.units.here import Here

        return Here.of(reactor).units()

    def declares_anew(self) -> None:
        """A component has other names now, or is gone."""
        self._declared = None

    def expect(self, component: Component) -> None:
        """It is about to be one of an app's here.

        Raises `DuplicateComponent` if a component of another app has that id.
        """
        self._declared = None
        for app in self._apps.values():
            if component.component_id in app.components:
                raise DuplicateComponent(f"{app.app_id} has a {component.component_id} already")

    def component(self, component_id: str) -> Component | None:
        """The component of that id, of whatever app."""
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
        """The full name of a declared unit; raises `UndeclaredUnit` and `InvalidUnitName`."""
        return _among(self.declared, name)

    @deferred
    async def status(self, names: Collection[str]) -> dict[str, UnitStatus]:
        """How each of these is; all that are asked for in one turn are one call to the back end.

        Fails with `UndeclaredUnit`, `InvalidUnitName`, `NoSystemd`, `BackendFailed`.
        """
        declared = self.declared
        full = {name: _among(declared, name) for name in names}
        found = await self._statuses.get(full.values())
        return {name: found[full[name]] for name in full}

    @deferred
    async def enablement(self, name: str) -> Enablement:
        """What systemd says of exactly this name; fails as `status` does."""
        return await self.backend.enablement(self.check(name))

    @deferred
    async def logs(self, name: str, lines: int = 200) -> list[str]:
        """The last lines of a unit's journal; fails as `carry_out` does."""
        return await self.backend.logs(self.check(name), lines)

    @deferred
    async def carry_out(self, order: Order, name: str) -> None:
        """One order for a declared unit; of a socket, what is meant is often its service.

        To stop `x.socket` stops `x.service` too, to restart it stops `x.service` (the next
        connection starts it anew) and to reload it reloads `x.service`.

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
        """A socket with a service for each connection (`Accept=yes`) has none of its name."""
        if (await self._statuses.get([service]))[service].exists:
            await self.backend.carry_out(Order.STOP, service)

    @asynccontextmanager
    async def alone_with(self, names: Collection[str]) -> AsyncIterator[None]:
        """Nobody else gives these units orders, or decides about them, in the meantime."""
        taken: list[DeferredLock] = []
        try:
            for name in sorted(set(names)):  # in one order for all, or two wait for each other
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
