"""The declared systemd units of this host: their states, and the operations on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial

import attrs
from twisted.application.service import IService
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.components.health import DiagnosticCheck
from domogik.components.model import Component, ComponentId, Detail, Kind, State
from domogik.config.load import Configuration
from domogik.errors import (
    AmbiguousComponent,
    DomogikError,
    NotPossible,
    OperationFailed,
    UnknownComponent,
    does_not_exist,
)
from domogik.manager.components import ComponentList
from domogik.manager.jobs import Jobs
from domogik.manager.units.enabled_apps import EnabledApps
from domogik.units.apps import starting
from domogik.units.apps.app import App
from domogik.units.apps.component import Daemon, RelatedDaemon, SharedDaemon
from domogik.units.apps.registry import Units
from domogik.units.apps.unit_check import UnitAction
from domogik.units.apps.watch import UnitWatch
from domogik.units.settings import UnitSettings, make_apps, read_units
from domogik.units.systemd.backend import NoSystemd, Order
from domogik.units.systemd.names import InvalidUnitName, unit_name
from domogik.units.systemd.polkit import InvalidUser, own_user, polkit_rule
from domogik.units.systemd.status import UnitStatus

_SYSTEMD = "systemd"
_NOT_YET = "nobody has looked at it yet"
#: what a person is told who asks for any other unit
_ONLY_DECLARED = "only units that a [unit:<name>] section declares may be touched"
_IDLE = (State.STOPPED, State.DISABLED)


def is_unit(component_id: str) -> bool:
    """Whether a declared unit is meant, and nothing that we run ourselves."""
    return component_id.startswith(f"{Kind.UNIT.value}:")


@attrs.define(eq=False, kw_only=True)
class SystemUnits:
    """Turns `[unit:<name>]` into apps and components, and back into the one list.

    A plugin whose id an app has is switched with it: what its leaders and shared units need is
    done when the plugin is seen to be enabled or disabled, by whom it may be. `changes` brings word
    from systemd; it is begun with the first unit, so that who declares none asks nobody.
    """

    _log = Logger()

    _host: str
    _units: Units
    _components: ComponentList
    _jobs: Jobs
    _clock: IReactorTime
    _changes: IService | None = None
    _user: Callable[[], str] = own_user
    _enabled_apps: EnabledApps | None = None
    _settings: dict[str, UnitSettings] = attrs.field(init=False, factory=dict)
    _plugins: dict[str, bool] | None = attrs.field(init=False, default=None)
    _gone: set[str] = attrs.field(init=False, factory=set)
    _watch: UnitWatch = attrs.field(init=False)
    _is_begun: bool = attrs.field(init=False, default=False)
    _is_watching: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        self._watch = UnitWatch(self._clock, self._units, self._unit_changed, self._all_changed)
        if self._enabled_apps is not None:
            self._units.on_switch = self._enabled_apps.put

    # What there is

    def update(self, configuration: Configuration, plugins: Mapping[str, bool]) -> None:
        """Take over what is declared now; units that are declared no longer stay as they are.

        `plugins` are those that are installed, and whether they are enabled: who is enabled or
        disabled since the last time has his app switched in the background. Raises
        `BrokenConfiguration` before it changes anything.
        """
        settings = {one.name: one for one in read_units(configuration)}
        before, self._settings = self._settings, settings
        self._gone = (self._gone | set(self._plugins or ())) - plugins.keys()
        self._make_apps(before.values(), settings.values())
        for name in before.keys() - settings.keys():
            self._components.remove(_id(name))
        for name in settings:
            self.refresh(name)
        self._follow(plugins)
        self._attend()

    def _make_apps(self, before: Iterable[UnitSettings], now: Iterable[UnitSettings]) -> None:
        """Those whose sections say something else are made anew; they know what they were told."""
        old, new = _by_app(before), _by_app(now)
        changed = {app_id for app_id in {*old, *new} if old.get(app_id) != new.get(app_id)}
        told: dict[str, bool | None] = {}
        for app_id in changed & self._units.apps.keys():
            told[app_id] = self._units.apps[app_id].last_told
            self._units.remove(app_id)
        for app in make_apps(one for id, those in new.items() if id in changed for one in those):
            noted = self._enabled_apps.get(app.app_id) if self._enabled_apps is not None else None
            app.last_told = told.get(app.app_id, noted)
            self._units.add(app)
        for app in self._units.apps.values():
            app.is_installed = app.app_id not in self._gone

    def _follow(self, plugins: Mapping[str, bool]) -> None:
        """Apps of plugins that were enabled or disabled since the last time are switched."""
        known, self._plugins = self._plugins, dict(plugins)
        for app in tuple(self._units.apps.values()):
            enabled = plugins.get(app.app_id)
            if known is not None and enabled is not None and known.get(app.app_id) != enabled:
                self._in_background(app.app_id, self.switch_app(app.app_id, enabled=enabled))
            elif enabled is not None and app.is_switching_to is None:
                self._in_background(app.app_id, app.set_enabled(enabled))

    def _in_background(self, app_id: str, work: Deferred[None]) -> None:
        def failed(failure: Failure) -> None:
            if failure.check(DomogikError):
                self._log.error("{app}: {error}", app=app_id, error=failure.getErrorMessage())
            else:
                self._log.failure("switching the units of {app}", failure, app=app_id)

        _ = work.addErrback(failed)

    def names(self) -> tuple[str, ...]:
        """Return the names of the declared units."""
        return tuple(sorted(self._settings))

    def knows(self, name: str) -> bool:
        """Whether `find` is to be asked: a unit is meant, be it declared or not."""
        return is_unit(name) or bool(self._meant(name))

    def find(self, name: str) -> Component:
        """The unit that is meant by its name, its component id or a systemd name of only one.

        Raises `UnknownComponent`, or `AmbiguousComponent` where several sections declare it.
        """
        bare = name.removeprefix(f"{Kind.UNIT.value}:")
        found = self._meant(bare)
        if len(found) > 1:
            raise AmbiguousComponent(bare, tuple(str(_id(one)) for one in found))
        component = self._components.get(_id(found[0])) if found else None
        if component is None:
            unknown = UnknownComponent.named(bare, self._host, self._settings)
            plain = f"{unknown.words} {_ONLY_DECLARED.capitalize()}."
            why = f"{does_not_exist(name, self._host)}: {_ONLY_DECLARED}"
            raise UnknownComponent(why, plain=plain)
        return component

    def _meant(self, name: str) -> list[str]:
        if name in self._settings:
            return [name]
        by_id = [one.name for one in self._settings.values() if one.component_id == name]
        if by_id:
            return by_id
        try:
            full = unit_name(name)
        except InvalidUnitName:
            return []
        return sorted(one.name for one in self._settings.values() if full in one.unit_names)

    # How they are

    def watch(self) -> None:
        """Start watching the declared units."""
        self._is_begun = True
        self._attend()

    def close(self) -> Deferred[object]:
        """Stop watching; fires when all connections are closed."""
        self._is_begun = False
        if not self._is_watching:
            return succeed(None)
        self._is_watching = False
        self._watch.stop()
        return Deferred.fromCoroutine(self._silence())

    async def _silence(self) -> object:
        return await self._changes.stopService() if self._changes is not None else None

    def _attend(self) -> None:
        if not self._is_begun:
            return
        if self._is_watching:
            _ = self._watch.look()
        elif self._settings:
            self._is_watching = True
            if self._changes is not None:
                self._changes.startService()
            _ = self._watch.start()

    def _unit_changed(self, unit: str, before: UnitStatus | None, after: UnitStatus | None) -> None:
        for name, settings in self._settings.items():
            if unit in settings.unit_names:
                self.refresh(name)

    def _all_changed(self) -> None:
        for name in self._settings:
            self.refresh(name)

    def refresh(self, name: str) -> None:
        """Update the unit's entry in the component list."""
        before = self._components.get(_id(name))
        after = self._described(self._settings[name])
        self._components.put(after)
        if before is not None and (before.state, before.reason) != (after.state, after.reason):
            self._log.info(
                "{id}: {state}{why}",
                id=str(after.id),
                state=after.state.value,
                why=f" ({after.reason})" if after.reason else "",
            )

    def _described(self, settings: UnitSettings) -> Component:
        status = self._status(settings)
        given = Component(settings.id, self._host, technology=_SYSTEMD)
        if status is None:
            return attrs.evolve(given, reason=self._watch.reason or _NOT_YET)
        enabled = self._is_enabled(settings)
        state = status.state
        if state in _IDLE:
            state = State.STOPPED if enabled else State.DISABLED
        return attrs.evolve(
            given,
            state=state,
            enabled=enabled,
            reason=status.reason,
            pid=status.main_pid or None,
            since=status.since,
            restarts=status.restarts,
            description=status.description,
        )

    def _status(self, settings: UnitSettings) -> UnitStatus | None:
        if self._watch.reason:
            return None
        return self._watch.statuses.get(settings.unit_names[0])

    def _is_enabled(self, settings: UnitSettings) -> bool:
        """By any of its names, as strictly as its section has it."""
        known = (self._watch.statuses.get(name) for name in settings.unit_names)
        return any(
            one is not None and one.enablement.counts(strictly=settings.strict_check)
            for one in known
        )

    def detail(self, component: Component) -> Detail:
        """Return the component with its section and what systemd reports."""
        settings = self._entry(component.name)
        values = {
            "unit": settings.unit,
            "alias": settings.alias or "",
            "role": settings.role,
            "app": settings.app,
            "component_id": settings.component_id,
            "listen_ports": ", ".join(f"{port}/{kind}" for port, kind in settings.listen_ports),
            "strict_check": "yes" if settings.strict_check else "no",
        }
        status = self._status(settings)
        if status is not None:
            values |= {
                "enabled": f"{status.enablement.word}: {status.enablement.sentence}".lstrip(": "),
                "active": f"{status.active_state} ({status.sub_state})",
                "result": status.outcome,
                "file": status.fragment_path,
                "status": status.status_text,
            }
        return Detail(component, values=tuple((key, word) for key, word in values.items() if word))

    # Dependent components

    def switch_app(self, app_id: str, *, enabled: bool) -> Deferred[None]:
        """Enable or disable the units of the plugin of that id; fires when that is done.

        Nothing happens where it has none. Where no systemd runs there is nothing to switch, and no
        failure. Fails with `OperationFailed`.
        """
        if app_id not in self._units.apps:
            return succeed(None)
        verb = "enable" if enabled else "disable"
        return self._jobs.run(
            verb, f"app:{app_id}", lambda _: self._switch(app_id, enabled=enabled)
        )

    async def _switch(self, app_id: str, *, enabled: bool) -> None:
        app = self._units.apps.get(app_id)
        if app is None:
            return
        try:
            await (app.enable() if enabled else app.disable())
        except NoSystemd as error:
            self._log.info("the units of {app} are left alone: {why}", app=app_id, why=str(error))
        except OperationFailed as error:
            word = "enabled" if enabled else "disabled"
            raise OperationFailed(
                f"not every unit of {app_id} could be {word}: {error}", error.reason
            ) from error
        finally:
            await self._watch.look()

    async def bring_up(self, needs: Iterable[str]) -> None:
        """Start the units among `needs` that do not run; raises `OperationFailed`.

        Without systemd nothing is done, since their state is unknown.
        """
        for need in filter(is_unit, needs):
            try:
                unit = self.component(self.find(need).name).unit
                if not (await self._units.status([unit]))[unit].is_running:
                    await self.start(self.find(need).name)
            except NoSystemd as error:
                self._log.warn("{need} is left alone: {why}", need=need, why=str(error))
            except DomogikError as error:
                raise OperationFailed(f"{need}: {error}") from error

    # What a person can ask

    async def start(self, name: str) -> None:
        """Until systemd says that it runs; what runs already is fine.

        Fails, as all that is asked of units, with `UnknownComponent`, with `OperationFailed` in the
        words of systemd, and with `NoSystemd`.
        """
        await self._order(name, partial(starting.start, self._units))

    async def stop(self, name: str) -> None:
        """Until systemd says that it has stopped."""
        await self._order(name, partial(self._units.carry_out, Order.STOP))

    async def restart(self, name: str) -> None:
        """Stop it if it runs, then start it."""
        await self._order(name, partial(starting.start, self._units, order=Order.RESTART))

    async def reload(self, name: str) -> None:
        """Make it read its configuration, if it can."""
        await self._order(name, partial(self._units.carry_out, Order.RELOAD))

    async def _order(self, name: str, order: Callable[[str], Awaitable[object]]) -> None:
        settings = self._entry(name)
        try:
            async with self._units.locked(settings.unit_names):
                await order(unit_name(settings.unit))
        finally:
            await self._watch.look()

    async def enable(self, name: str) -> None:
        """Enable it at boot, and start it."""
        component = self._switched(name, "enabled")
        try:
            await self._alone(component).enable()
        finally:
            await self._watch.look()

    async def disable(self, name: str) -> None:
        """Do not have it started with the host, and stop it; `NotPossible` while others need it."""
        component = self._switched(name, "disabled")
        try:
            await self._alone(component).disable()
            if isinstance(component, SharedDaemon) and (others := await component.needed_by()):
                needing = ", ".join(others)
                raise NotPossible(f"unit:{name} is left as it is: it is needed by {needing}")
        finally:
            await self._watch.look()

    def _alone(self, component: Daemon) -> App | Daemon:
        """The app where it is all of it: who shares a unit with it asks what the app was told."""
        app = component.app
        is_all = len(app.components) == 1 and app.app_id not in (self._plugins or ())
        return app if is_all else component

    def _switched(self, name: str, verb: str) -> Daemon:
        component = self.component(name)
        if not isinstance(component, Daemon):
            raise NotPossible(f"unit:{name} cannot be {verb}: its role is related")
        return component

    def component(self, name: str) -> Daemon | RelatedDaemon:
        """What the section of that name declares; `UnknownComponent`."""
        component = self._units.component(self._entry(name).component_id)
        assert isinstance(component, Daemon | RelatedDaemon)
        return component

    def is_at_rest(self, name: str) -> bool:
        """Return whether it is disabled, does not run, and is not needed."""
        listed = self._components.get(_id(name))
        wanted = (self._plugins or {}).get(self._entry(name).app, False)
        is_off = listed is not None and listed.state is State.DISABLED and not listed.reason
        return is_off and not wanted

    async def checks(self, name: str) -> list[DiagnosticCheck]:
        """Return the checks of the unit; they are skipped without systemd."""
        return list(await self.component(name).diagnose())

    async def repair(self, name: str, action: UnitAction) -> None:
        """Carry out what a check suggests."""
        component = self._switched(name, "repaired")
        try:
            await component.act(action)
        finally:
            await self._watch.look()

    async def logs(self, name: str, lines: int) -> list[str]:
        """Return the last lines of its journal, oldest first."""
        return await self._units.logs(self._entry(name).unit, lines)

    def rule(self, user: str | None = None) -> str:
        """Return the polkit rule that lets `user` (default: the current user) manage the units.

        Raises `NotPossible` for an invalid user name.
        """
        try:
            return polkit_rule(self._units.declared, user or self._user())
        except InvalidUser as error:
            raise NotPossible(str(error)) from error

    def _entry(self, name: str) -> UnitSettings:
        settings = self._settings.get(name)
        if settings is None:
            listed = self._components.get(_id(name))
            if listed is not None and listed.reason:
                raise NotPossible(f"{listed.id}: {listed.reason}")  # its section is refused
            raise UnknownComponent.named(name, self._host, self._settings)
        return settings


def _by_app(settings: Iterable[UnitSettings]) -> dict[str, list[UnitSettings]]:
    apps: dict[str, list[UnitSettings]] = {}
    for one in settings:
        apps.setdefault(one.app, []).append(one)
    return apps


def _id(name: str) -> ComponentId:
    return ComponentId(Kind.UNIT, name)
