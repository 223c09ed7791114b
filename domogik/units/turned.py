"""Apps and components for programs that wait, and what is turned until they have been answered."""

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
from domogik.units.here import Here

P = ParamSpec("P")
T = TypeVar("T")
C = TypeVar("C")
_PATIENCE_S = 600.0  # for one call; each order and question has a shorter limit of its own


@attrs.frozen(eq=False)
class Host:
    """What this process turns, and its systemd and ports."""

    turned: TurnedReactor = attrs.field(factory=TurnedReactor)
    here: Here = attrs.field()

    @here.default
    def _of_this_host(self) -> Here:
        return Here.of(self.turned.reactor, at_once)


#: process id -> its host: one that was forked must not share the reactor of its parent
_hosts: dict[int, Host] = {}


def this_host() -> Host:
    """Return what this process turns."""
    return _hosts.get(os.getpid()) or _hosts.setdefault(os.getpid(), Host())


def wait(ask: Callable[P, Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what `ask` comes to."""

    async def answer() -> T:
        return await ask(*args, **kwargs)

    ours = this_host()
    with ours.turned.lock:
        return ours.turned.wait(answer_of(answer()), _PATIENCE_S)


#: what an app asks of its components
_ASKED = (
    *("setup", "is_available", "is_enabled", "enable", "disable", "uninstall", "set_enabled"),
    *("diagnose", "repair"),
)


@deferred
async def _ask(face: Component, name: str, *args: Any) -> Any:
    return getattr(face, name)(*args)


class _Forwarding(apps.Component):
    """What an app asks of a component whose methods return what they come to."""

    def __init__(self, component_id: str, face: Component) -> None:
        super().__init__(component_id)
        self._face = face
        for name in _ASKED:
            setattr(self, name, partial(_ask, face, name))

    @property
    def is_leader(self) -> bool:  # type: ignore[override]
        return self._face.is_leader

    def has_diagnostics(self) -> bool:
        return self._face.has_diagnostics()


def overridden(face: Component, asked: C) -> C:
    """Have the app call what a subclass of somebody else overrides in `face`; return `asked`."""
    for name in _ASKED:
        if not getattr(type(face), name).__module__.startswith("domogik.units."):
            setattr(asked, name, partial(_ask, face, name))
    return asked


class Component:
    """A part of an app. Every method here does nothing; subclasses override what they need."""

    is_leader = False
    component_id: str = property(attrgetter("asked.component_id"))  # type: ignore[assignment]
    app_id: str | None = property(attrgetter("asked.app_id"))  # type: ignore[assignment]

    def __init__(self, component_id: str) -> None:
        """`component_id` is unique over all apps of a host; an empty one raises `ValueError`."""
        self.asked: apps.Component = _Forwarding(component_id, self)
        self._app: App | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.component_id}>"

    @property
    def app(self) -> App:
        """The app it is a part of; raises `NotAttached`, a `KeyError`."""
        if self._app is None:
            raise NotAttached(f"{self.component_id} belongs to no app")
        return self._app

    def setup(self, old_version: int = 0) -> None:
        """The app is being set up for the first time (0), or comes from `old_version`."""

    def is_available(self) -> bool:
        """Whether what it stands for is there at all."""
        return True

    def has_diagnostics(self) -> bool:
        """Whether it can be looked at."""
        return type(self).diagnose is not Component.diagnose

    def enable(self) -> None:
        """The app is being enabled."""

    def disable(self) -> None:
        """The app is being disabled."""

    def uninstall(self) -> None:
        """The app is being removed."""

    def set_enabled(self, enabled: bool) -> None:
        """The app was found to be enabled, or not."""

    def diagnose(self) -> list[DiagnosticCheck]:
        """Look at it."""
        return []

    def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> bool:
        """Do what can be done about these; return whether the app must be set up again."""
        return True


class FollowerComponent(Component):
    """One that the app's leaders decide about: it remembers what it was told."""

    def __init__(self, component_id: str, is_enabled: bool = False) -> None:
        super().__init__(component_id)
        self._is_enabled = is_enabled

    def is_enabled(self) -> bool:
        """What it was told last."""
        return self._is_enabled

    def enable(self) -> None:
        self._is_enabled = True

    def disable(self) -> None:
        self._is_enabled = False

    def set_enabled(self, enabled: bool) -> None:
        self._is_enabled = enabled


class LeaderComponent(Component):
    """One that decides whether the app is enabled."""

    is_leader = True

    def is_enabled(self) -> bool:
        """Whether it is; every leader has to say so itself."""
        raise NotImplementedError


class App:
    """Components in an order: enabled in it, disabled and removed in the opposite one."""

    app_id: str = property(attrgetter("asked.app_id"))  # type: ignore[assignment]

    def __init__(self, app_id: str, components: Iterable[Component] = ()) -> None:
        """An empty `app_id` raises `ValueError`."""
        self.asked = apps.App(app_id)
        self._components: dict[str, Component] = {}
        for one in components:
            self.add(one)

    def __repr__(self) -> str:
        return f"<App {self.app_id}>"

    @property
    def components(self) -> Mapping[str, Component]:
        """By id, in their order."""
        return MappingProxyType(self._components)

    def add(self, component: Component) -> App:
        """One more, behind the others; raises `DuplicateComponent`."""
        check_type(component, Component, "a component of domogik.units.blocking")
        self.asked.add(component.asked)
        component._app = self
        self._components[component.component_id] = component
        return self

    def remove(self, component_id: str) -> Component:
        """Return a component that is no part of it any more; raises `KeyError`."""
        self.asked.remove(component_id)
        removed = self._components.pop(component_id)
        removed._app = None
        return removed

    def get_component(self, component_id: str) -> Component:
        """Return the component of that id; raises `KeyError`."""
        return self._components[component_id]

    def get_components_of_type(self, component_type: type[C]) -> Iterator[C]:
        """Yield the components of a class, in their order."""
        return (one for one in self._components.values() if isinstance(one, component_type))

    def setup(self, old_version: int = 0) -> None:
        """Set up every component, in order."""
        wait(self.asked.setup, old_version)

    def is_available(self) -> bool:
        """Whether everything that it stands for is there."""
        return wait(self.asked.is_available)

    def is_enabled(self) -> bool:
        """Whether every leader is; so an app without leaders is."""
        return wait(self.asked.is_enabled)

    def set_enabled(self, enabled: bool) -> None:
        """Tell the followers what was found."""
        wait(self.asked.set_enabled, enabled)

    def enable(self) -> None:
        """Every component, in order; raises the first error, after all have been asked."""
        wait(self.asked.enable)

    def disable(self) -> None:
        """Every component, the last one first; raises as `enable`."""
        wait(self.asked.disable)

    def uninstall(self) -> None:
        """Every component, the last one first; raises as `enable`."""
        wait(self.asked.uninstall)

    def diagnose(self) -> list[DiagnosticCheck]:
        """Return the checks of every component, in their order."""
        return wait(self.asked.diagnose)

    def has_diagnostics(self) -> bool:
        """Whether anything in it can be looked at."""
        return type(self).diagnose is not App.diagnose or self.asked.has_diagnostics()

    def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> bool:
        """Each component does what it can; return whether set-up must run again."""
        return wait(self.asked.repair, failed_checks)

    def has_logs(self) -> bool:
        """Whether any component has logs."""
        return self.asked.has_logs()

    def get_logs(self) -> list[UnitLogs]:
        """Return the logs of every component that has any, in their order."""
        return wait(self.asked.get_logs)
