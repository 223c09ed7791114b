"""The components that stand for systemd units: a daemon, a related one, a shared one.

Names, arguments and the order of the calls are those of FreedomBox's Daemon components.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.defer import Deferred

from domogik.answers import answered, deferred
from domogik.components.health import DiagnosticCheck
from domogik.units.apps.app import Component, FollowerComponent, LeaderComponent, UnitLogs
from domogik.units.apps.ensuring import EnsureRunning
from domogik.units.apps.registry import Units
from domogik.units.apps.sharing import needs, uses
from domogik.units.checks.ports import check_listen_ports, diagnose_port_listening
from domogik.units.checks.unit import UnitAction, check_unit
from domogik.units.systemd.backend import Order, OrderFailed
from domogik.units.systemd.names import InvalidUnitName, unit_name
from domogik.units.systemd.starting import came_up, failure, start

if TYPE_CHECKING:
    from domogik.units.here import Here

_LOG_LINES = 200


class _UnitComponent(Component):
    """What all of them have: a unit, and its logs."""

    unit: str

    @property
    def here(self) -> Here | None:
        """Systemd and ports for while it is in no app; None: those of the usual reactor."""
        return None

    @property
    def units(self) -> Units:
        """The registry of the app; one of its own where it is in no app of a registry."""
        from domogik.units.here import alone

        return self.host_units or alone(self, self.here)

    @deferred
    async def is_available(self) -> bool:
        """Whether systemd knows the unit, by any of its names; fails with `NoSystemd`."""
        statuses = await self.units.status(self.unit_names)
        return any(status.exists for status in statuses.values())

    @deferred
    async def get_logs(self) -> UnitLogs:
        """The last 200 lines of its journal; fails with `OrderFailed` and `NoSystemd`."""
        status = (await self.units.status([self.unit]))[self.unit]
        lines = await self.units.logs(self.unit, _LOG_LINES)
        return UnitLogs(self.unit, status.description, tuple(lines))


class RelatedDaemon(_UnitComponent, FollowerComponent):
    """A unit that an app has an interest in, and neither enables nor disables.

    It may be touched because of it, and its logs are shown.
    """

    def __init__(self, component_id: str, unit: str) -> None:
        """`component_id` begins with `related-daemon-` by convention.

        Raises `ValueError` for an empty id, and `InvalidUnitName`.
        """
        super().__init__(component_id)
        self.unit = unit
        self.unit_names = (unit_name(unit),)


class Daemon(_UnitComponent, LeaderComponent):
    """A unit that is enabled and started with its app, and decides whether the app is enabled."""

    switches_its_units = True

    def __init__(
        self,
        component_id: str,
        unit: str,
        strict_check: bool = False,
        listen_ports: list[tuple[int, str]] | None = None,
        alias: str | None = None,
    ) -> None:
        """`component_id` begins with `daemon-` by convention. `unit` is a systemd unit of any kind.

        `listen_ports` are pairs of port and tcp4, tcp6, tcp, udp4, udp6 or udp, for diagnosis.
        `alias` is another name of the same unit, which `Alias=` of its file gives when it is
        enabled: it works for everything but enabling and asking whether it is enabled, where both
        names count. With `strict_check` only the word `enabled` counts as enabled.

        Raises `ValueError` for an empty id, `InvalidUnitName` and `InvalidPort`.
        """
        super().__init__(component_id)
        self.unit = unit
        self.strict_check = strict_check
        self.listen_ports = check_listen_ports(listen_ports or [])
        self._alias = alias
        self.unit_names = self._names()

    def _names(self) -> tuple[str, ...]:
        names = (self.unit,) if self._alias is None else (self.unit, self._alias)
        return tuple(dict.fromkeys(map(unit_name, names)))

    @property
    def alias(self) -> str | None:
        """The other name of the unit; set to another it counts from then on."""
        return self._alias

    @alias.setter
    def alias(self, alias: str | None) -> None:
        before, self._alias = self._alias, alias
        try:
            self.unit_names = self._names()
        except InvalidUnitName:
            self._alias = before
            raise
        from domogik.units.here import redeclare

        redeclare(self)

    @deferred
    async def is_enabled(self) -> bool:
        """Whether systemd starts it: by its alias, else by its name. Fails with `NoSystemd`."""
        for name in reversed(self.unit_names):
            if (await self.units.enablement(name)).counts(strictly=self.strict_check):
                return True
        return False

    @deferred
    async def is_running(self) -> bool:
        """Whether it runs, is starting, or has done its work; fails with `NoSystemd`."""
        return (await self.units.status([self.unit]))[self.unit].is_running

    def enable(self) -> Deferred[None]:
        """Enable and start it, by its name and by its alias.

        All of that is asked for, whatever fails on the way. Then fails with `UnitFailed` (which has
        systemd's words, how the unit ended and its last log lines) for what went wrong with a name
        that exists, or with the only one; and with `NoSystemd`.
        """
        return self._switch(Order.ENABLE, Order.START)

    def disable(self) -> Deferred[None]:
        """Disable and stop it, by its name and by its alias; fails as `enable`."""
        return self._switch(Order.DISABLE, Order.STOP)

    @deferred
    async def _switch(self, *orders: Order) -> None:
        async with self.units.alone_with(self.unit_names):
            await self._carry_out(*orders)

    async def _carry_out(self, *orders: Order) -> None:
        failures: list[tuple[str, OrderFailed]] = []
        for name in self.unit_names:
            for order in orders:
                try:
                    await self.units.carry_out(order, name)
                except OrderFailed as error:
                    failures.append((name, error))
        statuses = await self.units.status(self.unit_names)
        existing = [status for status in statuses.values() if status.exists]
        for name, refusal in failures:
            # one of two names is often that of another release of the same server, and what is an
            # alias now can be neither enabled nor disabled
            status = statuses[name]
            is_alias = status.id != name and status.id in self.unit_names
            if not existing or (status.exists and not is_alias):
                raise await failure(self.units, str(refusal), status) from refusal
        if Order.START in orders:
            for status in existing:
                await came_up(self.units, status)

    def ensure_running(self) -> EnsureRunning:
        """The unit runs inside of `async with daemon.ensure_running() as ran_before:`.

        `ran_before` is False, and nothing happens, where there is no such unit. It is started and
        not enabled, and stopped when the last who needs it has left, unless it ran before or
        somebody enabled it meanwhile. Entering raises `UnitFailed` when it cannot be started;
        leaving, when it died in the meantime and the block raised nothing itself; both `NoSystemd`.
        """
        return EnsureRunning(self.units, self.unit, self.unit_names)

    @deferred
    async def diagnose(self) -> list[DiagnosticCheck]:
        """Whether it runs, then whether it listens on each of its ports; fails with nothing.

        Where there is no systemd only the first of them is skipped: who listens needs none.
        """
        check, status = await check_unit(self.units, self.unit, self.component_id)
        asked = [
            diagnose_port_listening(
                self.units.ports, port, kind, component_id=self.component_id, unit=status
            )
            for port, kind in self.listen_ports
        ]
        return [check, *[await one for one in asked]]

    @deferred
    async def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> bool:
        """Do what the checks suggest and can be done; fires with False: no set-up needs to run.

        Fails with `UnitFailed`, `OrderFailed` and `NoSystemd`.
        """
        suggested = {one.action for check in failed_checks for one in check.suggestions}
        for action in UnitAction:
            if action.value in suggested:
                await self.act(action)
        return False

    @deferred
    async def act(self, action: UnitAction) -> None:
        """Do one of the things a check suggests; fails as `repair`."""
        async with self.units.alone_with(self.unit_names):
            if action is UnitAction.DAEMON_RELOAD:
                await self.units.backend.daemon_reload()
                return
            if action is UnitAction.UNMASK:
                await self.units.carry_out(Order.UNMASK, self.unit)
            if action is UnitAction.RESTART:
                await self.units.carry_out(Order.RESET_FAILED, self.unit)
            await start(self.units, self.unit)


class SharedDaemon(Daemon):
    """A unit that several apps need, such as a database: the last one that lets go disables it.

    Whether it is enabled says nothing about its app, for it may be because of another one.
    """

    is_leader = False

    def set_enabled(self, enabled: bool) -> Deferred[None]:
        """Nothing: whether it is enabled is asked of the unit."""
        return answered(None)

    @deferred
    async def disable(self) -> None:
        """Disable and stop it if no other app that has the unit needs it; fails as `enable`.

        Others have it by any of the names systemd knows for it, as a shared daemon or their own.
        """
        async with self.units.alone_with(self.unit_names):
            if not await self.needed_by():
                await self._carry_out(Order.DISABLE, Order.STOP)

    @deferred
    async def needed_by(self) -> list[str]:
        """The ids of the other apps that need it; fails as `is_running`."""
        known = (await self.units.status([self.unit]))[self.unit].names
        names = {*self.unit_names, *known}
        return [
            app.app_id
            for app in tuple(self.units.apps.values())
            if app is not self._app and uses(app, names) and await needs(app, names)
        ]
