"""The names of `domogik.units` for programs that block, with FreedomBox's signatures.

A call runs a reactor of its own until it has its result; calls of several threads wait for each
other. Errors are those of the classes of the same names in `domogik.units`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType

from domogik.components.health import DiagnosticCheck
from domogik.units.apps import component, registry
from domogik.units.apps.app import DuplicateComponent, NotAttached, UnitLogs, check_type
from domogik.units.apps.unit_check import UnitAction
from domogik.units.blocking_apps import (
    App,
    Component,
    FollowerComponent,
    LeaderComponent,
    blocking_host,
    forward_overrides,
    wait,
)
from domogik.units.checks import netcat
from domogik.units.checks import ports as diagnosis
from domogik.units.this_host import HostSystem

__all__ = [
    "App",
    "Component",
    "Daemon",
    "DuplicateComponent",
    "FollowerComponent",
    "LeaderComponent",
    "NotAttached",
    "RelatedDaemon",
    "SharedDaemon",
    "Units",
    "app_is_running",
    "diagnose_netcat",
    "diagnose_port_listening",
]


class _OfThisProcess:
    @property
    def system(self) -> HostSystem:
        return blocking_host().system


class _DaemonOfThisProcess(_OfThisProcess, component.Daemon):
    pass


class _SharedOfThisProcess(_OfThisProcess, component.SharedDaemon):
    pass


class _RelatedOfThisProcess(_OfThisProcess, component.RelatedDaemon):
    pass


class RelatedDaemon(FollowerComponent):
    """A unit that may be touched and whose logs are shown, which its app does not enable."""

    _wrapped_class = _RelatedOfThisProcess
    wrapped: component.RelatedDaemon
    unit: str = property(attrgetter("wrapped.unit"))  # type: ignore[assignment]

    def __init__(self, component_id: str, unit: str) -> None:
        """See `domogik.units.RelatedDaemon`."""
        super().__init__(component_id)
        self.wrapped = forward_overrides(self, self._wrapped_class(component_id, unit))

    def is_enabled(self) -> bool:
        return wait(self._wrapped_class.is_enabled, self.wrapped)

    def enable(self) -> None:
        wait(self._wrapped_class.enable, self.wrapped)

    def disable(self) -> None:
        wait(self._wrapped_class.disable, self.wrapped)

    def set_enabled(self, enabled: bool) -> None:
        wait(self._wrapped_class.set_enabled, self.wrapped, enabled)

    def is_available(self) -> bool:
        """Return whether systemd knows the unit."""
        return wait(self._wrapped_class.is_available, self.wrapped)

    def get_logs(self) -> UnitLogs:
        """Return the last 200 lines of its journal."""
        return wait(self._wrapped_class.get_logs, self.wrapped)


class Daemon(LeaderComponent):
    """A unit that is enabled and started with its app, and decides whether the app is enabled."""

    _wrapped_class: type[component.Daemon] = _DaemonOfThisProcess
    wrapped: component.Daemon
    unit: str = property(attrgetter("wrapped.unit"))  # type: ignore[assignment]
    strict_check: bool = property(attrgetter("wrapped.strict_check"))  # type: ignore[assignment]
    listen_ports: list[tuple[int, str]] = property(  # type: ignore[assignment]
        attrgetter("wrapped.listen_ports")
    )

    def __init__(
        self,
        component_id: str,
        unit: str,
        strict_check: bool = False,
        listen_ports: list[tuple[int, str]] | None = None,
        alias: str | None = None,
    ) -> None:
        """See `domogik.units.Daemon`."""
        super().__init__(component_id)
        made = self._wrapped_class(component_id, unit, strict_check, listen_ports, alias)
        self.wrapped = forward_overrides(self, made)

    @property
    def alias(self) -> str | None:
        """The other name of the unit; it can be changed."""
        alias: str | None = self.wrapped.alias
        return alias

    @alias.setter
    def alias(self, alias: str | None) -> None:
        self.wrapped.alias = alias

    def is_available(self) -> bool:
        """Return whether systemd knows the unit by any name."""
        return wait(self._wrapped_class.is_available, self.wrapped)

    def is_enabled(self) -> bool:
        """Return whether the alias or the unit is enabled."""
        return wait(self._wrapped_class.is_enabled, self.wrapped)

    def is_running(self) -> bool:
        """Return whether the unit runs, starts or has done its work."""
        return wait(self._wrapped_class.is_running, self.wrapped)

    def enable(self) -> None:
        """Enable and start the unit, by its name and then by its alias."""
        wait(self._wrapped_class.enable, self.wrapped)

    def disable(self) -> None:
        """Disable and stop the unit, by its name and then by its alias."""
        wait(self._wrapped_class.disable, self.wrapped)

    def set_enabled(self, enabled: bool) -> None:
        """Do nothing: systemd is asked whether the unit is enabled."""

    @contextlib.contextmanager
    def ensure_running(self) -> Iterator[bool]:
        """Return a block in which the unit runs: `with daemon.ensure_running() as ran_before:`.

        The unit is stopped afterwards unless it ran before. If there is no such unit, `ran_before`
        is False and nothing happens.
        """
        block = self.wrapped.ensure_running()
        ran_before: bool = wait(block.__aenter__)
        try:
            yield ran_before
        except BaseException as error:
            wait(block.__aexit__, type(error), error, error.__traceback__)
            raise
        wait(block.__aexit__, None, None, None)

    def diagnose(self) -> list[DiagnosticCheck]:
        """Return a check of the unit and one of each port."""
        return wait(self._wrapped_class.diagnose, self.wrapped)

    def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> bool:
        """Carry out what the checks suggest; return False, as set-up need not run again."""
        return wait(self._wrapped_class.repair, self.wrapped, failed_checks)

    def act(self, action: UnitAction) -> None:
        """Carry out one suggestion of a check."""
        wait(self._wrapped_class.act, self.wrapped, action)

    def get_logs(self) -> UnitLogs:
        """Return the last 200 lines of its journal."""
        return wait(self._wrapped_class.get_logs, self.wrapped)


class SharedDaemon(Daemon):
    """A unit that several apps need, such as a database; it is disabled with the last of them."""

    is_leader = False
    _wrapped_class: type[component.SharedDaemon] = _SharedOfThisProcess
    wrapped: component.SharedDaemon

    def needed_by(self) -> list[str]:
        """Return the ids of the other apps that need it."""
        return wait(self._wrapped_class.needed_by, self.wrapped)


class Units:
    """The apps of this host and the units that their components may ask about and change."""

    def __init__(self) -> None:
        self.wrapped: registry.Units = registry.Units.of(blocking_host().system)
        self._apps: dict[str, App] = {}

    @classmethod
    def on_this_host(cls) -> Units:
        """Return a registry without any app."""
        return cls()

    @property
    def apps(self) -> Mapping[str, App]:
        """The apps by id."""
        return MappingProxyType(self._apps)

    def add(self, app: App) -> App:
        """Add an app and return it.

        Raises `DuplicateComponent` if its id or that of a component is taken, and `TypeError`.
        """
        check_type(app, App, "an app of domogik.units.blocking")
        self.wrapped.add(app.wrapped)
        self._apps[app.app_id] = app
        return app

    def remove(self, app_id: str) -> None:
        """Forget an app; its units stay as they are."""
        self.wrapped.remove(app_id)
        self._apps.pop(app_id, None)


def app_is_running(app: App) -> bool:
    """Return whether all components that can run do so."""
    running = [getattr(one, "is_running", None) for one in app.components.values()]
    return all(says() for says in running if says is not None)


def diagnose_port_listening(
    port: int,
    kind: str = "tcp",
    listen_address: str | None = None,
    component_id: str | None = None,
) -> DiagnosticCheck:
    """Return a check of whether a socket of this host serves `port`; see `domogik.units`."""
    ports = blocking_host().system.ports
    return wait(
        diagnosis.diagnose_port_listening,
        ports,
        port,
        kind,
        listen_address,
        component_id=component_id,
    )


def diagnose_netcat(
    host: str,
    port: int,
    remote_input: str = "",
    negate: bool = False,
    component_id: str | None = None,
) -> DiagnosticCheck:
    """Return a check of whether `host` accepts a connection, or with `negate` refuses it."""
    reactor = blocking_host().turned.reactor
    asking = (reactor, host, port, remote_input, negate, component_id)
    return wait(netcat.diagnose_netcat, *asking)
