"""Units for programs that wait: the documented signatures to the letter.

No reactor runs and no thread; a call turns a reactor of its own until it is done. Threads take
turns. Errors are those of the classes of the same names in `domogik.units`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from types import MappingProxyType

from domogik.components.health import DiagnosticCheck
from domogik.units.apps import component, registry
from domogik.units.apps.app import DuplicateComponent, NotAttached, UnitLogs, check_type
from domogik.units.checks import netcat
from domogik.units.checks import ports as diagnosis
from domogik.units.checks.unit import UnitAction
from domogik.units.here import Here
from domogik.units.turned import (
    App,
    Component,
    FollowerComponent,
    LeaderComponent,
    overridden,
    this_host,
    wait,
)

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
    def here(self) -> Here:
        return this_host().here


class _AskedDaemon(_OfThisProcess, component.Daemon):
    pass


class _AskedShared(_OfThisProcess, component.SharedDaemon):
    pass


class _AskedRelated(_OfThisProcess, component.RelatedDaemon):
    pass


class RelatedDaemon(FollowerComponent):
    """A unit that an app has an interest in, and neither enables nor disables."""

    _made = _AskedRelated
    asked: component.RelatedDaemon
    unit: str = property(attrgetter("asked.unit"))  # type: ignore[assignment]

    def __init__(self, component_id: str, unit: str) -> None:
        """See `domogik.units.RelatedDaemon`."""
        super().__init__(component_id)
        self.asked = overridden(self, self._made(component_id, unit))

    def is_enabled(self) -> bool:
        return wait(self._made.is_enabled, self.asked)

    def enable(self) -> None:
        wait(self._made.enable, self.asked)

    def disable(self) -> None:
        wait(self._made.disable, self.asked)

    def set_enabled(self, enabled: bool) -> None:
        wait(self._made.set_enabled, self.asked, enabled)

    def is_available(self) -> bool:
        """Whether systemd knows the unit."""
        return wait(self._made.is_available, self.asked)

    def get_logs(self) -> UnitLogs:
        """Return the last 200 lines of its journal."""
        return wait(self._made.get_logs, self.asked)


class Daemon(LeaderComponent):
    """A unit that is enabled and started with its app, and decides whether the app is enabled."""

    _made: type[component.Daemon] = _AskedDaemon
    asked: component.Daemon
    unit: str = property(attrgetter("asked.unit"))  # type: ignore[assignment]
    strict_check: bool = property(attrgetter("asked.strict_check"))  # type: ignore[assignment]
    listen_ports: list[tuple[int, str]] = property(  # type: ignore[assignment]
        attrgetter("asked.listen_ports")
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
        made = self._made(component_id, unit, strict_check, listen_ports, alias)
        self.asked = overridden(self, made)

    @property
    def alias(self) -> str | None:
        """The other name of the unit; set to another it counts from then on."""
        alias: str | None = self.asked.alias
        return alias

    @alias.setter
    def alias(self, alias: str | None) -> None:
        self.asked.alias = alias

    def is_available(self) -> bool:
        """Whether systemd knows the unit, by any of its names."""
        return wait(self._made.is_available, self.asked)

    def is_enabled(self) -> bool:
        """Whether systemd starts it: by its alias, else by its name."""
        return wait(self._made.is_enabled, self.asked)

    def is_running(self) -> bool:
        """Whether it runs, is starting, or has done its work."""
        return wait(self._made.is_running, self.asked)

    def enable(self) -> None:
        """Enable and start it, by its name and by its alias."""
        wait(self._made.enable, self.asked)

    def disable(self) -> None:
        """Disable and stop it, by its name and by its alias."""
        wait(self._made.disable, self.asked)

    def set_enabled(self, enabled: bool) -> None:
        """Nothing: whether it is enabled is asked of the unit."""

    @contextlib.contextmanager
    def ensure_running(self) -> Iterator[bool]:
        """The unit runs inside of `with daemon.ensure_running() as ran_before:`.

        It is stopped afterwards unless it ran before; False, and nothing else, without the unit.
        """
        block = self.asked.ensure_running()
        ran_before: bool = wait(block.__aenter__)
        try:
            yield ran_before
        except BaseException as error:
            wait(block.__aexit__, type(error), error, error.__traceback__)
            raise
        wait(block.__aexit__, None, None, None)

    def diagnose(self) -> list[DiagnosticCheck]:
        """Return whether it runs, then whether it listens on each of its ports."""
        return wait(self._made.diagnose, self.asked)

    def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> bool:
        """Do what the checks suggest and can be done; return False: no set-up needs to run."""
        return wait(self._made.repair, self.asked, failed_checks)

    def act(self, action: UnitAction) -> None:
        """Do one of the things a check suggests."""
        wait(self._made.act, self.asked, action)

    def get_logs(self) -> UnitLogs:
        """Return the last 200 lines of its journal."""
        return wait(self._made.get_logs, self.asked)


class SharedDaemon(Daemon):
    """A unit that several apps need: the last one that lets go disables it."""

    is_leader = False
    _made: type[component.SharedDaemon] = _AskedShared
    asked: component.SharedDaemon

    def needed_by(self) -> list[str]:
        """Return the ids of the other apps that need it."""
        return wait(self._made.needed_by, self.asked)


class Units:
    """The apps of this host, which share what they know of its units."""

    def __init__(self) -> None:
        self.asked: registry.Units = this_host().here.units()
        self._apps: dict[str, App] = {}

    @classmethod
    def on_this_host(cls) -> Units:
        """Return a registry without any app yet."""
        return cls()

    @property
    def apps(self) -> Mapping[str, App]:
        """By id."""
        return MappingProxyType(self._apps)

    def add(self, app: App) -> App:
        """One more app; raises `DuplicateComponent` if its id or one of a component is taken."""
        check_type(app, App, "an app of domogik.units.blocking")
        self.asked.add(app.asked)
        self._apps[app.app_id] = app
        return app

    def remove(self, app_id: str) -> None:
        """Forget an app; its units stay as they are."""
        self.asked.remove(app_id)
        self._apps.pop(app_id, None)


def app_is_running(app: App) -> bool:
    """Whether no component says that it does not run; those that cannot run say nothing."""
    running = [getattr(one, "is_running", None) for one in app.components.values()]
    return all(says() for says in running if says is not None)


def diagnose_port_listening(
    port: int,
    kind: str = "tcp",
    listen_address: str | None = None,
    component_id: str | None = None,
) -> DiagnosticCheck:
    """Return whether a socket of this host serves `port`; see `domogik.units`."""
    ports = this_host().here.ports
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
    """Return whether a connection to `host` can be made, or with `negate` cannot."""
    reactor = this_host().turned.reactor
    asking = (reactor, host, port, remote_input, negate, component_id)
    return wait(netcat.diagnose_netcat, *asking)
