"""The plugins of this host: installed or running, enabled or not, and the operations on them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial

import attrs

from domogik.components.model import Component, ComponentId, Detail, State
from domogik.config.edit import set_value
from domogik.config.load import Configuration
from domogik.errors import (
    DomogikError,
    NotPossible,
    OperationFailed,
    UnknownComponent,
    already_running,
    not_running,
)
from domogik.manager.components import ComponentList
from domogik.manager.messages import not_started
from domogik.manager.plugins.missing import warnings
from domogik.manager.plugins.one_plugin import Plugin
from domogik.manager.plugins.plugin_launch import PluginLaunch
from domogik.manager.plugins.stopped import StoppedByHand
from domogik.manager.settings import enabled_plugins
from domogik.manager.units.units import is_unit
from domogik.packages.store.installed import Installed, Inventory
from domogik.supervisor.interfaces import Program, Specification
from domogik.supervisor.service import AlreadyRunning, NotRunning, StartFailed, Supervisor
from domogik.supervisor.settings import Supervision, check
from domogik.threads import Threads


@attrs.define(eq=False, kw_only=True)
class Plugins:
    """Turns descriptors and `[plugins]` into supervised components, and back into the one list.

    `in_thread(f, *args)` runs blocking calls; `reload` reads the configuration again.
    `stop_by_message(name)` stops a plugin that was started by hand. `provide_needs(needs)` starts
    the units among the needs, waits for the daemons, and returns the variables with their URLs.
    """

    _plugin_launch: PluginLaunch
    _supervisor: Supervisor
    _components: ComponentList
    _in_thread: Threads
    _reload: Callable[[], Awaitable[None]]
    _stop_by_message: Callable[[str], Awaitable[None]]
    _provide_needs: Callable[[Iterable[str]], Awaitable[Mapping[str, str]]]
    stopped: StoppedByHand = attrs.field(factory=StoppedByHand)
    _plugins: dict[str, Plugin] = attrs.field(init=False, factory=dict)
    #: asks whether a plugin that was just enabled is kept back
    on_enabled: Callable[[str], Awaitable[None]] | None = None

    # What there is

    def update(self, inventory: Inventory, configuration: Configuration) -> None:
        """Apply the inventory and the configuration; unchanged plugins are not touched.

        A plugin that is up keeps running, even if it is disabled or its descriptor is gone; it is
        removed from the list when it has ended. A restart that was scheduled for it is dropped.
        Raises `BrokenConfiguration` before anything is changed.
        """
        check(configuration)
        supervision = {
            name: Supervision.of(configuration, self.plugin(name).id) for name in inventory.plugins
        }
        enabled = enabled_plugins(configuration)
        plugins = [one for one in self._sorted() if one.is_known or one.name in supervision]
        for one in plugins:
            one.is_marked = one.name in enabled
            one.installed = inventory.plugins.get(one.name)
            if one.installed is not None:
                self._specify(one, one.installed, supervision[one.name])
        for one in plugins:
            one.refresh()

    def _specify(self, plugin: Plugin, installed: Installed, supervision: Supervision) -> None:
        plugin.probation_s = supervision.update_probation_s
        if installed.script is None:
            return
        try:
            program = self._plugin_launch.program(installed, supervision)
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}"
            plugin.installed = attrs.evolve(installed, script=None, problem=problem)
            return
        plugin.is_configured = True
        self._supervisor.configure(
            Specification(
                id=plugin.id,
                program=program,
                policy=supervision.policy,
                needs=tuple(one for one in supervision.needs if not is_unit(one)),
                prepare=partial(self._prepare, supervision.needs) if supervision.needs else None,
            )
        )

    async def _prepare(self, needs: tuple[str, ...], program: Program) -> Program:
        lent = await self._provide_needs(needs)
        return attrs.evolve(program, environment={**program.environment, **lent})

    def plugin(self, name: str) -> Plugin:
        """Return the plugin with that name; one that was never installed is empty."""
        new = Plugin(name, self._plugin_launch.host, self._supervisor, self._components)
        return self._plugins.setdefault(name, new)

    def get(self, name: str) -> Plugin | None:
        """Return the plugin with that name if it is installed or runs, else None."""
        plugin = self._plugins.get(name)
        return plugin if plugin is not None and plugin.is_known else None

    def _sorted(self) -> list[Plugin]:
        return sorted(self._plugins.values(), key=lambda one: one.name)

    def status_changed(self, component_id: str) -> None:
        """Handle a change of status that the supervisor reports."""
        plugin = self.plugin(ComponentId.parse(component_id).name)
        plugin.refresh()
        if plugin.follower is not None:
            plugin.follower()

    def names(self) -> tuple[str, ...]:
        """Return the names of the installed plugins."""
        return tuple(self.wishes())

    def enabled_names(self) -> tuple[str, ...]:
        """Return the installed and enabled plugins, which Domogik's clients list."""
        return tuple(name for name, is_enabled in self.wishes().items() if is_enabled)

    def wishes(self) -> dict[str, bool]:
        """Return the installed plugins, and whether each is enabled."""
        return {one.name: one.is_enabled for one in self._sorted() if one.installed is not None}

    def watched(self) -> tuple[Plugin, ...]:
        """Return the plugins that should answer a ping now."""
        answering = (State.STARTING, State.ALIVE, State.NOT_RESPONDING)
        return tuple(
            one for one in self._sorted() if one.is_by_hand or one.status.state in answering
        )

    def all_pids(self) -> Iterator[int]:
        """Return the ids of the processes of all plugins."""
        for one in self.watched():
            yield from one.pids

    # One of them

    def installed(self, name: str) -> Installed | None:
        """Return the installed package; None if it is gone, though the plugin may run."""
        return self.plugin(name).installed

    def release_of(self, name: str) -> str | None:
        """Return the installed release."""
        installed = self.installed(name)
        return installed.package.release if installed is not None else None

    async def warnings(self, name: str, *, managed: bool) -> tuple[str, ...]:
        """Return a sentence for each unmet need; see `missing.py`."""
        installed = self.installed(name)
        if installed is None or not installed.package.dependencies:
            return ()
        look = partial(warnings, installed, self.release_of, managed=managed)
        return await self._in_thread(look)

    def detail(self, component: Component) -> Detail:
        """Return the component with the configuration keys of its descriptor."""
        installed = self.installed(component.name)
        keys = installed.package.configuration if installed is not None else ()
        return Detail(component, configuration=keys)

    def restarted_within(self, name: str, seconds: float) -> int:
        """Return the number of automatic restarts in the last `seconds`."""
        return self._supervisor.restarted_within(self.plugin(name).id, seconds)

    def is_up(self, name: str) -> bool:
        """Return whether a process of it runs, started by the manager or by hand."""
        return self.plugin(name).is_up

    # What a person can ask

    async def start(self, name: str) -> None:
        """Start it; returns when it is alive.

        `UnknownComponent`, `NotPossible`, `OperationFailed`.
        """
        plugin, installed = self._startable(name)
        running = already_running(name, self._plugin_launch.host)
        logs = f"dmg_ctl logs {name}"
        if plugin.is_by_hand:
            raise OperationFailed(running)
        if installed.script is None:
            raise not_started(name, installed.problem, logs=f"dmg_ctl diagnose {name}")
        self.stopped.note(name, stopped=False)
        try:
            await self._supervisor.start(plugin.id)
        except AlreadyRunning:
            raise OperationFailed(running) from None
        except StartFailed as error:
            raise not_started(name, error.reason or str(error), logs) from error

    async def stop(self, name: str, *, again: bool = False) -> None:
        """Stop it; returns when no process is left. `UnknownComponent`, `OperationFailed`.

        `again`: it is to be started again soon, also by the next manager if this one crashes.
        """
        plugin = self.plugin(name)
        if not plugin.is_supervised:
            self._known(name)
        if not again:
            self.stopped.note(name, stopped=True)  # before the first signal: we may die during it
        await self._halt(plugin, again)

    async def _halt(self, plugin: Plugin, again: bool) -> None:
        if plugin.is_by_hand:
            await self._stop_by_message(plugin.name)
            return
        try:
            await self._supervisor.stop(plugin.id, again=again)
        except (NotRunning, UnknownComponent):
            off = not_running(plugin.name, self._plugin_launch.host)
            raise OperationFailed(off) from None

    async def restart(self, name: str) -> None:
        """Stop it if it is up, then start it; if it cannot be started, it is not stopped."""
        plugin, _ = self._startable(name)
        if plugin.is_up:
            await self._halt(plugin, again=True)
        await self.start(name)

    async def enable(self, name: str) -> None:
        """Mark it enabled in the configuration; raises `UnknownComponent`, `OperationFailed`."""
        self._known(name)
        await self._mark(name, "enabled")
        if self.on_enabled is not None:
            await self.on_enabled(name)

    async def disable(self, name: str) -> None:
        """Mark it disabled; raises `OperationFailed` while it runs."""
        self._known(name)
        if self.is_up(name):
            raise OperationFailed(
                f"Component '{name}' is running. Please stop it before trying to disable",
                plain=f"{name} is running; first: dmg_ctl stop {name}",
            )
        await self._mark(name, "disabled")

    async def _mark(self, name: str, word: str) -> None:
        file = self._plugin_launch.configuration_file
        try:
            await self._in_thread(set_value, file, "plugins", name, word)
        except OSError as error:
            raise OperationFailed(f"{file} cannot be changed: {error.strerror}") from error
        except DomogikError as error:
            raise OperationFailed(str(error)) from error
        await self._reload()
        if self.plugin(name).is_marked is not (word == "enabled"):
            raise OperationFailed(
                f"{file} says that {name} is {word}, and was refused: the log says why"
            )

    def _startable(self, name: str) -> tuple[Plugin, Installed]:
        plugin, installed = self.plugin(name), self._known(name)
        if not plugin.is_enabled:
            raise NotPossible(
                f"Plugin '{name}' is disabled on {self._plugin_launch.host}. "
                "Enable it before starting it",
                plain=f"{name} is disabled; first: dmg_ctl enable {name}",
            )
        if plugin.is_at_rest:
            raise NotPossible(f"Plugin '{name}' cannot be started now: its package is changed")
        return plugin, installed

    def _known(self, name: str) -> Installed:
        installed = self.installed(name)
        if installed is None:
            raise UnknownComponent.named(name, self._plugin_launch.host, self.names())
        return installed
