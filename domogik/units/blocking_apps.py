"""Apps and components of `domogik.units.blocking`, and the reactor that runs during their calls."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from operator import attrgetter
from types import MappingProxyType
from typing import Any, ParamSpec, TypeVar

import attrs

from domogik.answers import answer_of, deferred
from domogik.components.health import DiagnosticCheck
from domogik.supervisor.reactors import TurnedReactor
from domogik.threads import at_once
from domogik.units.apps import app as apps
from domogik.units.apps.app import NotAttached, UnitLogs, check_type
from domogik.units.this_host import HostSystem

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")
_PATIENCE_S = 600.0  # for one call; each order and question has a shorter limit of its own


@attrs.frozen(eq=False)
class BlockingHost:
    """The reactor that runs while a call of this process waits, and the host that it asks."""

    turned: TurnedReactor = attrs.field(factory=TurnedReactor)
    system: HostSystem = attrs.field()

    @system.default
    def _default_system(self) -> HostSystem:
        return HostSystem.of(self.turned.reactor, at_once)


#: by process id, as a forked process must not share the reactor of its parent
_hosts: dict[int, BlockingHost] = {}


def blocking_host() -> BlockingHost:
    """Return the one of this process."""
    return _hosts.get(os.getpid()) or _hosts.setdefault(os.getpid(), BlockingHost())


def wait(ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Run the reactor until the result of `ask` is there, and return it."""

    async def answer() -> T:
        return await ask(*args, **kwargs)

    ours = blocking_host()
    with ours.turned.lock:
        return ours.turned.wait(answer_of(answer()), _PATIENCE_S)


#: the methods that an app calls on its components
_FORWARDED = (
    *("setup", "is_available", "is_enabled", "enable", "disable", "uninstall", "set_enabled"),
    *("diagnose", "repair"),
)


@deferred
async def _call(component: Component, name: str, *args: Any) -> Any:
    return getattr(component, name)(*args)


class _ForwardingComponent(apps.Component):
    """Passes an app's calls on to a component whose methods return plain results."""

    def __init__(self, component_id: str, component: Component) -> None:
        super().__init__(component_id)
        self._component = component
        for name in _FORWARDED:
            setattr(self, name, partial(_call, component, name))

    @property
    def is_leader(self) -> bool:  # type: ignore[override]
        return self._component.is_leader

    def has_diagnostics(self) -> bool:
        return self._component.has_diagnostics()


def forward_overrides(component: Component, wrapped: C) -> C:
    """Have `wrapped` call what `component`'s class overrides outside of this package."""
    for name in _FORWARDED:
        if not getattr(type(component), name).__module__.startswith("domogik.units."):
            setattr(wrapped, name, partial(_call, component, name))
    return wrapped


class Component:
    """A part of an app. Every method system does nothing; subclasses override what they need."""

    is_leader = False
    component_id: str = property(attrgetter("wrapped.component_id"))  # type: ignore[assignment]
    app_id: str | None = property(attrgetter("wrapped.app_id"))  # type: ignore[assignment]

    def __init__(self, component_id: str) -> None:
        """Make the component; an empty id raises `ValueError`."""
        self.wrapped: apps.Component = _ForwardingComponent(component_id, self)
        self._app: App | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.component_id}>"

    @property
    def app(self) -> App:
        """The app of the component; raises `NotAttached`, a `KeyError`, if it is in none."""
        if self._app is None:
            raise NotAttached(f"{self.component_id} belongs to no app")
        return self._app

    def setup(self, old_version: int = 0) -> None:
        """Set the component up: for the first time if `old_version` is 0, else after an upgrade."""

    def is_available(self) -> bool:
        """Return whether what the component manages exists."""
        return True

    def has_diagnostics(self) -> bool:
        """Return whether `diagnose` is implemented."""
        return type(self).diagnose is not Component.diagnose

    def enable(self) -> None:
        """Enable the component with its app."""

    def disable(self) -> None:
        """Disable the component with its app."""

    def uninstall(self) -> None:
        """Remove the component with its app."""

    def set_enabled(self, enabled: bool) -> None:
        """Take note that the app was found to be enabled or disabled."""

    def diagnose(self) -> list[DiagnosticCheck]:
        """Return the component's checks."""
        return []

    def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> bool:
        """Repair what the checks found; return whether the app must be set up again."""
        return True


class FollowerComponent(Component):
    """A component that does not decide whether its app is enabled, and remembers what it is."""

    def __init__(self, component_id: str, is_enabled: bool = False) -> None:
        super().__init__(component_id)
        self._is_enabled = is_enabled

    def is_enabled(self) -> bool:
        """Return what the app said last."""
        return self._is_enabled

    def enable(self) -> None:
        self._is_enabled = True

    def disable(self) -> None:
        self._is_enabled = False

    def set_enabled(self, enabled: bool) -> None:
        self._is_enabled = enabled


class LeaderComponent(Component):
    """A component that decides, with the other leaders, whether its app is enabled."""

    is_leader = True

    def is_enabled(self) -> bool:
        """Return whether the component is enabled; every subclass implements it."""
        raise NotImplementedError


class App:
    """Components that are enabled in their order and disabled in the opposite order."""

    app_id: str = property(attrgetter("wrapped.app_id"))  # type: ignore[assignment]

    def __init__(self, app_id: str, components: Iterable[Component] = ()) -> None:
        """Make an app of the components; an empty id raises `ValueError`."""
        self.wrapped = apps.App(app_id)
        self._components: dict[str, Component] = {}
        for one in components:
            self.add(one)

    def __repr__(self) -> str:
        return f"<App {self.app_id}>"

    @property
    def components(self) -> Mapping[str, Component]:
        """The components by id, in their order."""
        return MappingProxyType(self._components)

    def add(self, component: Component) -> App:
        """Append a component and return the app; raises `DuplicateComponent` and `TypeError`."""
        check_type(component, Component, "a component of domogik.units.blocking")
        self.wrapped.add(component.wrapped)
        component._app = self
        self._components[component.component_id] = component
        return self

    def remove(self, component_id: str) -> Component:
        """Remove a component and return it; raises `KeyError`."""
        self.wrapped.remove(component_id)
        removed = self._components.pop(component_id)
        removed._app = None
        return removed

    def get_component(self, component_id: str) -> Component:
        """Return the component with that id; raises `KeyError`."""
        return self._components[component_id]

    def get_components_of_type(self, component_type: type[C]) -> Iterator[C]:
        """Yield the components of a class in their order."""
        return (one for one in self._components.values() if isinstance(one, component_type))

    def setup(self, old_version: int = 0) -> None:
        """Set up every component in order; raises as `enable`."""
        wait(self.wrapped.setup, old_version)

    def is_available(self) -> bool:
        """Return whether all components are available."""
        return wait(self.wrapped.is_available)

    def is_enabled(self) -> bool:
        """Return whether all leaders are enabled; an app without leaders is."""
        return wait(self.wrapped.is_enabled)

    def set_enabled(self, enabled: bool) -> None:
        """Tell the followers whether the app is enabled."""
        wait(self.wrapped.set_enabled, enabled)

    def enable(self) -> None:
        """Enable every component in order; raises the first error after all were tried."""
        wait(self.wrapped.enable)

    def disable(self) -> None:
        """Disable every component, the last one first; raises as `enable`."""
        wait(self.wrapped.disable)

    def uninstall(self) -> None:
        """Remove every component, the last one first; raises as `enable`."""
        wait(self.wrapped.uninstall)

    def diagnose(self) -> list[DiagnosticCheck]:
        """Return the checks of all components in their order."""
        return wait(self.wrapped.diagnose)

    def has_diagnostics(self) -> bool:
        """Return whether the app or a component implements `diagnose`."""
        return type(self).diagnose is not App.diagnose or self.wrapped.has_diagnostics()

    def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> bool:
        """Have each component repair its own checks; return whether set-up must run again."""
        return wait(self.wrapped.repair, failed_checks)

    def has_logs(self) -> bool:
        """Return whether any component has logs."""
        return self.wrapped.has_logs()

    def get_logs(self) -> list[UnitLogs]:
        """Return the logs of every component that has any, in their order."""
        return wait(self.wrapped.get_logs)
