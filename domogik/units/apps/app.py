"""Apps and their components: leaders decide whether an app is enabled, followers are told.

An app is what a person enables and disables: a plugin with the units it needs, or units alone.
Names are those of FreedomBox's reference, where the components come from.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Protocol, TypeVar, runtime_checkable

import attrs
from twisted.internet.defer import Deferred, DeferredLock, FirstError, gatherResults
from twisted.logger import Logger

from domogik.answers import answered, deferred
from domogik.components.health import DiagnosticCheck
from domogik.errors import DomogikError, NotPossible

T = TypeVar("T")
C = TypeVar("C")


class DuplicateComponent(DomogikError):
    """Two components or two apps have the same id."""


class NotAttached(NotPossible, KeyError):
    """The component belongs to no app."""

    __str__ = NotPossible.__str__  # KeyError would add quotes


@attrs.frozen
class UnitLogs:
    """The last lines of a unit's journal, the oldest first."""

    unit: str
    description: str
    lines: tuple[str, ...]


def check_type(value: object, expected: type, words: str) -> None:
    """Raise `TypeError`, with `words` for what was expected, if `value` is not of that class."""
    if not isinstance(value, expected):
        raise TypeError(f"{value!r} is not {words}")


@runtime_checkable
class LogEmitter(Protocol):
    """A component that has logs."""

    def get_logs(self) -> Awaitable[UnitLogs]: ...


@runtime_checkable
class Runnable(Protocol):
    """A component that can run."""

    def is_running(self) -> Awaitable[bool]: ...


@runtime_checkable
class Leader(Protocol):
    """A component that can say whether it is enabled."""

    unit_names: tuple[str, ...]

    def is_enabled(self) -> Awaitable[bool]: ...


class Registry(Protocol):
    """The calls that apps and components make to the registry of a host, which is `Units`."""

    #: is called with an app's id and whether it is enabled, before its components are switched
    on_switch: Callable[[str, bool], None]

    def check_new(self, component: Component) -> None: ...

    def forget_declared(self) -> None: ...


class Component:
    """A part of an app. Every method here does nothing; subclasses override what they need."""

    is_leader = False
    #: the full names of its systemd units
    unit_names: tuple[str, ...] = ()
    #: whether these units are enabled and disabled with the app
    switches_its_units = False

    def __init__(self, component_id: str) -> None:
        """Make the component; its id is unique on the host. An empty id raises `ValueError`."""
        if not component_id:
            raise ValueError("Invalid component ID")
        self.component_id = component_id
        self._app: App | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.component_id}>"

    @property
    def app(self) -> App:
        """The app of the component; raises `NotAttached` if it is in none."""
        if self._app is None:
            raise NotAttached(f"{self.component_id} belongs to no app")
        return self._app

    @property
    def registry(self) -> Registry | None:
        """The registry of its app; None without an app or if that is in no registry."""
        return None if self._app is None else self._app.units

    @property
    def app_id(self) -> str | None:
        """The id of the app; None before `App.add`."""
        return None if self._app is None else self._app.app_id

    def belongs_to(self, app: App | None) -> None:
        """Remember the app; `App.add` and `App.remove` call this."""
        self._app = app

    def setup(self, old_version: int = 0) -> Awaitable[None]:
        """Set the component up: for the first time if `old_version` is 0, else after an upgrade."""
        return answered(None)

    def is_available(self) -> Awaitable[bool]:
        """Fire with whether what the component manages exists."""
        return answered(True)

    def has_diagnostics(self) -> bool:
        """Return whether `diagnose` is implemented."""
        return type(self).diagnose is not Component.diagnose

    def enable(self) -> Awaitable[None]:
        """Enable the component with its app."""
        return answered(None)

    def disable(self) -> Awaitable[None]:
        """Disable the component with its app."""
        return answered(None)

    def uninstall(self) -> Awaitable[None]:
        """Remove the component with its app."""
        return answered(None)

    def set_enabled(self, enabled: bool) -> Awaitable[None]:
        """Take note that the app was found to be enabled or disabled."""
        return answered(None)

    def diagnose(self) -> Awaitable[Sequence[DiagnosticCheck]]:
        """Fire with the component's checks."""
        return answered([])

    def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> Awaitable[bool]:
        """Repair what the checks found; fire with whether the app must be set up again."""
        return answered(True)


class FollowerComponent(Component):
    """A component that does not decide whether its app is enabled, and remembers what it is."""

    def __init__(self, component_id: str, is_enabled: bool = False) -> None:
        super().__init__(component_id)
        self._is_enabled = is_enabled

    def is_enabled(self) -> Deferred[bool]:
        """Fire with what the app said last."""
        return answered(self._is_enabled)

    @deferred
    async def enable(self) -> None:
        self._is_enabled = True

    @deferred
    async def disable(self) -> None:
        self._is_enabled = False

    @deferred
    async def set_enabled(self, enabled: bool) -> None:
        self._is_enabled = enabled


class LeaderComponent(Component):
    """A component that decides, with the other leaders, whether its app is enabled."""

    is_leader = True

    def is_enabled(self) -> Awaitable[bool]:
        """Fire with whether the component is enabled; every subclass implements it."""
        raise NotImplementedError


class App:
    """Components that are enabled in their order and disabled in the opposite order.

    `is_installed` is false if the app is declared and its package is not installed; it needs no
    shared unit then. `is_switching_to` is whether the app is being enabled (True), disabled (False)
    or neither (None); `last_told` is what it was last switched to or found to be, None if unknown.
    `units` is the registry that the app was added to.
    """

    log = Logger()

    def __init__(self, app_id: str, components: Iterable[Component] = ()) -> None:
        if not app_id:
            raise ValueError("Invalid app ID")
        self.app_id = app_id
        self.is_installed = True
        self.is_switching_to: bool | None = None
        self.last_told: bool | None = None
        self.units: Registry | None = None
        self._one_at_a_time = DeferredLock()
        self._components: dict[str, Component] = {}
        for component in components:
            self.add(component)

    def __repr__(self) -> str:
        return f"<App {self.app_id}>"

    @property
    def components(self) -> Mapping[str, Component]:
        """The components by id, in their order."""
        return MappingProxyType(self._components)

    @property
    def leaders(self) -> tuple[Leader, ...]:
        """The components with `is_leader`, of any class."""
        return tuple(
            one for one in self._components.values() if one.is_leader and isinstance(one, Leader)
        )

    def add(self, component: Component) -> App:
        """Append a component and return the app; raises `DuplicateComponent` and `TypeError`."""
        check_type(component, Component, "a component of domogik.units")
        if component.component_id in self._components:
            raise DuplicateComponent(f"{self.app_id} has a {component.component_id} already")
        if self.units is not None:
            self.units.check_new(component)
        component.belongs_to(self)
        self._components[component.component_id] = component
        return self

    def remove(self, component_id: str) -> Component:
        """Remove a component and return it; raises `KeyError`."""
        component = self._components.pop(component_id)
        component.belongs_to(None)
        if self.units is not None:
            self.units.forget_declared()
        return component

    def get_component(self, component_id: str) -> Component:
        """Return the component with that id; raises `KeyError`."""
        return self._components[component_id]

    def get_components_of_type(self, component_type: type[C]) -> Iterator[C]:
        """Yield the components of a class in their order."""
        for component in self._components.values():
            if isinstance(component, component_type):
                yield component

    @deferred
    async def setup(self, old_version: int = 0) -> None:
        """Set up every component in order; fails as `enable`."""
        await self._each("setup", self._components.values(), old_version)

    @deferred
    async def is_available(self) -> bool:
        """Fire with whether all components are available."""
        return all(await _gather([one.is_available() for one in self._components.values()]))

    @deferred
    async def enable(self) -> None:
        """Enable every component in order; fails with the first error after all were tried.

        Enabling and disabling wait for each other.
        """
        await self._switch(True, self._components.values())

    @deferred
    async def disable(self) -> None:
        """Disable every component, the last one first; fails as `enable`."""
        await self._switch(False, reversed(self._components.values()))

    async def _switch(self, enabled: bool, components: Iterable[Component]) -> None:
        await self._one_at_a_time.acquire()
        self.is_switching_to = enabled
        self._note_told(enabled)
        try:
            await self._each("enable" if enabled else "disable", components)
        finally:
            self.is_switching_to = None
            self._one_at_a_time.release()

    def _note_told(self, enabled: bool) -> None:
        self.last_told = enabled
        if self.units is not None:
            self.units.on_switch(self.app_id, enabled)

    @deferred
    async def uninstall(self) -> None:
        """Remove every component, the last one first; fails as `enable`."""
        await self._each("uninstall", reversed(self._components.values()))

    async def _each(self, verb: str, components: Iterable[Component], *args: object) -> None:
        first: DomogikError | None = None
        for component in tuple(components):
            try:
                await getattr(component, verb)(*args)
            except DomogikError as error:
                self.log.warn(
                    "{component} of {app}: {verb}: {error}",
                    component=component.component_id,
                    app=self.app_id,
                    verb=verb,
                    error=str(error),
                )
                first = first or error
        if first is not None:
            raise first

    @deferred
    async def is_enabled(self) -> bool:
        """Fire with whether all leaders are enabled; an app without leaders is."""
        return all(await _gather([leader.is_enabled() for leader in self.leaders]))

    @deferred
    async def set_enabled(self, enabled: bool) -> None:
        """Tell the followers whether the app is enabled; leaders are not called."""
        self._note_told(enabled)
        for component in self._components.values():
            if not component.is_leader:
                await component.set_enabled(enabled)

    @deferred
    async def diagnose(self) -> list[DiagnosticCheck]:
        """Fire with the checks of all components in their order; all are made at once."""
        answers = await _gather([one.diagnose() for one in self._components.values()])
        return [check for checks in answers for check in checks]

    def has_diagnostics(self) -> bool:
        """Return whether the app or a component implements `diagnose`."""
        return type(self).diagnose is not App.diagnose or any(
            component.has_diagnostics() for component in self._components.values()
        )

    @deferred
    async def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> bool:
        """Have each component repair its own checks; fire with whether set-up must run again.

        It must if a component says so or if a check belongs to none.
        """
        again = False
        by_component: dict[str, list[DiagnosticCheck]] = {}
        for check in failed_checks:
            if check.component_id in self._components:
                by_component.setdefault(check.component_id, []).append(check)
            else:
                again = True
        for component_id, checks in by_component.items():
            again = await self._components[component_id].repair(checks) or again
        return again

    def has_logs(self) -> bool:
        """Return whether any component has logs."""
        return any(isinstance(one, LogEmitter) for one in self._components.values())

    @deferred
    async def get_logs(self) -> list[UnitLogs]:
        """Fire with the logs of every component that has any, in their order."""
        emitters = [one for one in self._components.values() if isinstance(one, LogEmitter)]
        return await _gather([one.get_logs() for one in emitters])


@deferred
async def app_is_running(app: App) -> bool:
    """Fire with whether all components that can run do so."""
    runnable = [one for one in app.components.values() if isinstance(one, Runnable)]
    return all(await _gather([one.is_running() for one in runnable]))


async def _gather(awaitables: Sequence[Awaitable[T]]) -> list[T]:
    """Return the results in their order; raises the first error."""
    try:
        return await gatherResults([_started(one) for one in awaitables], consumeErrors=True)
    except FirstError as first:
        first.subFailure.raiseException()


def _started(awaitable: Awaitable[T]) -> Deferred[T]:

    async def answer() -> T:
        return await awaitable

    return Deferred.fromCoroutine(answer())
