"""The components that manage systemd units: `Daemon`, `RelatedDaemon` and `SharedDaemon`.

Names, arguments and the order of calls are those of FreedomBox's components.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred

from domogik.answers import answered, deferred
from domogik.components.health import DiagnosticCheck
from domogik.units.apps.app import Component, FollowerComponent, LeaderComponent, UnitLogs
from domogik.units.apps.ensuring import EnsureRunning
from domogik.units.apps.registry import Units
from domogik.units.apps.sharing import app_manages, app_needs
from domogik.units.apps.starting import check_started, failure, start
from domogik.units.apps.unattached import names_changed, registry_of
from domogik.units.apps.unit_check import UnitAction, check_unit
from domogik.units.checks.ports import check_listen_ports, diagnose_port_listening
from domogik.units.systemd.backend import Order, OrderFailed
from domogik.units.systemd.names import InvalidUnitName, unit_name
from domogik.units.this_host import HostSystem

_LOG_LINES = 200


class _UnitComponent(Component):
    """A component with a unit and its logs."""

    unit: str

    @property
    def system(self) -> HostSystem | None:
        """The host that is asked while it is in no app; None for that of the usual reactor."""
        return None

    @property
    def units(self) -> Units:
        """The registry of its app, or one of its own if it is in no app of a registry."""
        return registry_of(self, self.system)

    @deferred
    async def is_available(self) -> bool:
        """Fire with whether systemd knows the unit by any name; fails with `NoSystemd`."""
        statuses = await self.units.status(self.unit_names)
        return any(status.exists for status in statuses.values())

    @deferred
    async def get_logs(self) -> UnitLogs:
        """Fire with the last 200 lines of its journal; fails with `OrderFailed`, `NoSystemd`."""
        status = (await self.units.status([self.unit]))[self.unit]
        lines = await self.units.logs(self.unit, _LOG_LINES)
        return UnitLogs(self.unit, status.description, tuple(lines))


class RelatedDaemon(_UnitComponent, FollowerComponent):
    """A unit that may be touched and whose logs are shown, which its app does not enable."""

    def __init__(self, component_id: str, unit: str) -> None:
        """Make the component; its id begins with `related-daemon-` by convention.

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
        """Make the component of a systemd unit; its id begins with `daemon-` by convention.

        `listen_ports` are pairs of port and tcp4, tcp6, tcp, udp4, udp6 or udp, for diagnosis.
        `alias` is another name of the same unit, given by `Alias=` in its file. systemd understands
        it except for enabling and for asking whether the unit is enabled, so that both names are
        used there. With `strict_check` only the word `enabled` counts as enabled.

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
        """The other name of the unit; it can be changed."""
        return self._alias

    @alias.setter
    def alias(self, alias: str | None) -> None:
        before, self._alias = self._alias, alias
        try:
            self.unit_names = self._names()
        except InvalidUnitName:
            self._alias = before
            raise
        names_changed(self)

    @deferred
    async def is_enabled(self) -> bool:
        """Fire with whether the alias or the unit is enabled; fails with `NoSystemd`."""
        for name in reversed(self.unit_names):
            if (await self.units.enablement(name)).counts(strictly=self.strict_check):
                return True
        return False

    @deferred
    async def is_running(self) -> bool:
        """Fire with whether it runs, starts or has done its work; fails with `NoSystemd`."""
        return (await self.units.status([self.unit]))[self.unit].is_running

    def enable(self) -> Deferred[None]:
        """Enable and start the unit, by its name and then by its alias.

        All calls are made even if one fails. Then fails with `UnitFailed` (with systemd's words,
        how the unit ended and its last log lines) if a call for a name that exists failed, or if
        no name exists; and with `NoSystemd`.
        """
        return self._switch(Order.ENABLE, Order.START)

    def disable(self) -> Deferred[None]:
        """Disable and stop the unit, by its name and then by its alias; fails as `enable`."""
        return self._switch(Order.DISABLE, Order.STOP)

    @deferred
    async def _switch(self, *orders: Order) -> None:
        async with self.units.locked(self.unit_names):
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
            # one of the two names is often that of another release of the distribution, and a name
            # that is an alias at the moment can be neither enabled nor disabled
            status = statuses[name]
            is_alias = status.id != name and status.id in self.unit_names
            if not existing or (status.exists and not is_alias):
                raise await failure(self.units, str(refusal), status) from refusal
        if Order.START in orders:
            for status in existing:
                await check_started(self.units, status)

    def ensure_running(self) -> EnsureRunning:
        """Return a context manager: `async with daemon.ensure_running() as ran_before:`.

        The unit runs inside of the block. It is started and not enabled. After the last block it is
        stopped, unless it ran before or was enabled meanwhile. If there is no such unit,
        `ran_before` is False and nothing happens. Entering raises `UnitFailed` if the unit cannot
        be started; leaving, if it ended meanwhile and the block raised nothing; both `NoSystemd`.
        """
        return EnsureRunning(self.units, self.unit, self.unit_names)

    @deferred
    async def diagnose(self) -> list[DiagnosticCheck]:
        """Fire with a check of the unit and one of each port; never fails.

        Without systemd the check of the unit is skipped, and ports are checked.
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
        """Carry out what the checks suggest; fire with False, as set-up need not run again.

        Fails with `UnitFailed`, `OrderFailed` and `NoSystemd`.
        """
        suggested = {one.action for check in failed_checks for one in check.suggestions}
        for action in UnitAction:
            if action.value in suggested:
                await self.act(action)
        return False

    @deferred
    async def act(self, action: UnitAction) -> None:
        """Carry out one suggestion of a check; fails as `repair`."""
        async with self.units.locked(self.unit_names):
            if action is UnitAction.DAEMON_RELOAD:
                await self.units.backend.daemon_reload()
                return
            if action is UnitAction.UNMASK:
                await self.units.carry_out(Order.UNMASK, self.unit)
            if action is UnitAction.RESTART:
                await self.units.carry_out(Order.RESET_FAILED, self.unit)
            await start(self.units, self.unit)


class SharedDaemon(Daemon):
    """A unit that several apps need, such as a database; it is disabled with the last of them.

    It does not decide whether its app is enabled, as it may be enabled for another app.
    """

    is_leader = False

    def set_enabled(self, enabled: bool) -> Deferred[None]:
        """Do nothing: systemd is asked whether the unit is enabled."""
        return answered(None)

    @deferred
    async def disable(self) -> None:
        """Disable and stop the unit if no other app needs it; fails as `enable`.

        Other apps have it as `SharedDaemon` or `Daemon`, by any name that systemd knows for it.
        """
        async with self.units.locked(self.unit_names):
            if not await self.needed_by():
                await self._carry_out(Order.DISABLE, Order.STOP)

    @deferred
    async def needed_by(self) -> list[str]:
        """Fire with the ids of the other apps that need it; fails as `is_running`."""
        known = (await self.units.status([self.unit]))[self.unit].names
        names = {*self.unit_names, *known}
        return [
            app.app_id
            for app in tuple(self.units.apps.values())
            if app is not self._app and app_manages(app, names) and await app_needs(app, names)
        ]
