"""What an app consists of: components, of which leaders decide and followers are told.

An app is what a person enables and disables: a plugin with the units it needs, or some units
alone. The words are those of FreedomBox's reference, from where the components come.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol, TypeVar, runtime_checkable

import attrs
from twisted.internet.defer import Deferred, DeferredLock, FirstError, gatherResults
from twisted.logger import Logger

from domogik.answers import answered, deferred
from domogik.components.health import DiagnosticCheck
from domogik.errors import DomogikError, NotPossible

if TYPE_CHECKING:
    from domogik.units.apps.registry import Units

T = TypeVar("T")
C = TypeVar("C")


class DuplicateComponent(DomogikError):
    """Two components, or two apps, of the same id."""


class NotAttached(NotPossible, KeyError):
    """The component belongs to no app, or the app to no host: it has no systemd to ask."""

    __str__ = NotPossible.__str__  # a KeyError would put it in quotes


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


class Component:
    """A part of an app. Every method here does nothing; subclasses override what they need."""

    is_leader = False
    #: the full names of the systemd units it is about
    unit_names: tuple[str, ...] = ()
    #: whether it enables and disables them with the app
    switches_its_units = False

    def __init__(self, component_id: str) -> None:
        """`component_id` is unique over all apps of a host; an empty one raises `ValueError`."""
        if not component_id:
            raise ValueError("Invalid component ID")
        self.component_id = component_id
        self._app: App | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.component_id}>"

    @property
    def app(self) -> App:
        """The app it is a part of; raises `NotAttached`."""
        if self._app is None:
            raise NotAttached(f"{self.component_id} belongs to no app")
        return self._app

    @property
    def host_units(self) -> Units | None:
        """The registry of its app; None where it is in no app of any."""
        return None if self._app is None else self._app.units

    @property
    def app_id(self) -> str | None:
        """The id of that app, None before `App.add`."""
        return None if self._app is None else self._app.app_id

    def belongs_to(self, app: App | None) -> None:
        """What `App.add` and `App.remove` tell it."""
        self._app = app

    def setup(self, old_version: int = 0) -> Awaitable[None]:
        """The app is being set up for the first time (0), or comes from `old_version`."""
        return answered(None)

    def is_available(self) -> Awaitable[bool]:
        """Whether what it stands for is there at all."""
        return answered(True)

    def has_diagnostics(self) -> bool:
        """Whether it can be looked at."""
        return type(self).diagnose is not Component.diagnose

    def enable(self) -> Awaitable[None]:
        """The app is being enabled."""
        return answered(None)

    def disable(self) -> Awaitable[None]:
        """The app is being disabled."""
        return answered(None)

    def uninstall(self) -> Awaitable[None]:
        """The app is being removed."""
        return answered(None)

    def set_enabled(self, enabled: bool) -> Awaitable[None]:
        """The app was found to be enabled, or not."""
        return answered(None)

    def diagnose(self) -> Awaitable[Sequence[DiagnosticCheck]]:
        """Look at it."""
        return answered([])

    def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> Awaitable[bool]:
        """Do what can be done about these; fires with whether the app must be set up again."""
        return answered(True)


class FollowerComponent(Component):
    """One that the app's leaders decide about: it remembers what it was told."""

    def __init__(self, component_id: str, is_enabled: bool = False) -> None:
        super().__init__(component_id)
        self._is_enabled = is_enabled

    def is_enabled(self) -> Deferred[bool]:
        """What it was told last."""
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
    """One that decides whether the app is enabled."""

    is_leader = True

    def is_enabled(self) -> Awaitable[bool]:
        """Whether it is; every leader has to say so itself."""
        raise NotImplementedError


class App:
    """Components in an order: enabled in it, disabled and removed in the opposite one.

    `is_installed` is false while what the app is made of is only known and not there; such an app
    needs no server. `is_switching_to` says where it is going while it is enabled or disabled,
    `was_told` what was asked or found last. `units` is the registry that it was added to.
    """

    log = Logger()

    def __init__(self, app_id: str, components: Iterable[Component] = ()) -> None:
        if not app_id:
            raise ValueError("Invalid app ID")
        self.app_id = app_id
        self.is_installed = True
        self.is_switching_to: bool | None = None
        self.was_told: bool | None = None
        self.units: Units | None = None
        self._one_at_a_time = DeferredLock()
        self._components: dict[str, Component] = {}
        for component in components:
            self.add(component)

    def __repr__(self) -> str:
        return f"<App {self.app_id}>"

    @property
    def components(self) -> Mapping[str, Component]:
        """By id, in their order."""
        return MappingProxyType(self._components)

    @property
    def registry(self) -> Units:
        """What knows the back end; raises `NotAttached` while it was not added to one."""
        if self.units is None:
            raise NotAttached(f"the app {self.app_id} belongs to no host")
        return self.units

    @property
    def leaders(self) -> tuple[Leader, ...]:
        """Those that decide: whose `is_leader` is true, of whatever class."""
        return tuple(
            one for one in self._components.values() if one.is_leader and isinstance(one, Leader)
        )

    def add(self, component: Component) -> App:
        """One more, behind the others; raises `DuplicateComponent`."""
        check_type(component, Component, "a component of domogik.units")
        if component.component_id in self._components:
            raise DuplicateComponent(f"{self.app_id} has a {component.component_id} already")
        if self.units is not None:
            self.units.expect(component)
        component.belongs_to(self)
        self._components[component.component_id] = component
        return self

    def remove(self, component_id: str) -> Component:
        """Return a component that is no part of it any more; raises `KeyError`."""
        component = self._components.pop(component_id)
        component.belongs_to(None)
        if self.units is not None:
            self.units.declares_anew()
        return component

    def get_component(self, component_id: str) -> Component:
        """Return the component of that id; raises `KeyError`."""
        return self._components[component_id]

    def get_components_of_type(self, component_type: type[C]) -> Iterator[C]:
        """Yield the components of a class, in their order."""
        for component in self._components.values():
            if isinstance(component, component_type):
                yield component

    @deferred
    async def setup(self, old_version: int = 0) -> None:
        """Set up every component, in order; errors as `enable`."""
        await self._each("setup", self._components.values(), old_version)

    @deferred
    async def is_available(self) -> bool:
        """Whether everything that it stands for is there."""
        return all(await _answers([one.is_available() for one in self._components.values()]))

    @deferred
    async def enable(self) -> None:
        """Every component, in order. Fails with the first error, after all have been asked.

        One app is switched once at a time; who comes later waits.
        """
        await self._switch(True, self._components.values())

    @deferred
    async def disable(self) -> None:
        """Every component, the last one first; errors as `enable`."""
        await self._switch(False, reversed(self._components.values()))

    async def _switch(self, enabled: bool, components: Iterable[Component]) -> None:
        await self._one_at_a_time.acquire()
        self.is_switching_to = enabled
        self._told(enabled)
        try:
            await self._each("enable" if enabled else "disable", components)
        finally:
            self.is_switching_to = None
            self._one_at_a_time.release()

    def _told(self, enabled: bool) -> None:
        self.was_told = enabled
        if self.units is not None:
            self.units.note(self.app_id, enabled)

    @deferred
    async def uninstall(self) -> None:
        """Every component, the last one first; errors as `enable`."""
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
        """Whether every leader is; so an app without leaders is."""
        return all(await _answers([leader.is_enabled() for leader in self.leaders]))

    @deferred
    async def set_enabled(self, enabled: bool) -> None:
        """Tell the followers what was found; leaders know, and are not asked."""
        self._told(enabled)
        for component in self._components.values():
            if not component.is_leader:
                await component.set_enabled(enabled)

    @deferred
    async def diagnose(self) -> list[DiagnosticCheck]:
        """The checks of every component, in their order; all are asked at once."""
        answers = await _answers([one.diagnose() for one in self._components.values()])
        return [check for checks in answers for check in checks]

    def has_diagnostics(self) -> bool:
        """Whether anything in it can be looked at."""
        return type(self).diagnose is not App.diagnose or any(
            component.has_diagnostics() for component in self._components.values()
        )

    @deferred
    async def repair(self, failed_checks: Sequence[DiagnosticCheck]) -> bool:
        """Each component does what it can about its own; fires with whether set-up must run again.

        It must where a component says so, or a check is about none.
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
        """Whether any component has logs."""
        return any(isinstance(one, LogEmitter) for one in self._components.values())

    @deferred
    async def get_logs(self) -> list[UnitLogs]:
        """The logs of every component that has any, in their order."""
        emitters = [one for one in self._components.values() if isinstance(one, LogEmitter)]
        return await _answers([one.get_logs() for one in emitters])


@deferred
async def app_is_running(app: App) -> bool:
    """Whether no component says that it does not run; those that cannot run say nothing."""
    runnable = [one for one in app.components.values() if isinstance(one, Runnable)]
    return all(await _answers([one.is_running() for one in runnable]))


async def _answers(asked: Sequence[Awaitable[T]]) -> list[T]:
    """Return what all come to, in their order; raise what one of them fails with."""
    try:
        return await gatherResults([_begun(one) for one in asked], consumeErrors=True)
    except FirstError as first:
        first.subFailure.raiseException()


def _begun(awaitable: Awaitable[T]) -> Deferred[T]:
    """What a subclass answers, be it a Deferred or a coroutine."""

    async def answer() -> T:
        return await awaitable

    return Deferred.fromCoroutine(answer())
