"""The plugins of this host: which there are, whether they are wanted, how they are."""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping
from functools import partial

import attrs
from twisted.logger import Logger

from domogik.components.model import STARTUP_KEY, Component, ComponentId, Detail, Kind, State
from domogik.config.edit import set_value
from domogik.config.load import Configuration
from domogik.errors import DomogikError, NotPossible, OperationFailed, UnknownComponent
from domogik.manager.components import ComponentList
from domogik.manager.messages import not_started
from domogik.manager.packages.missing import warnings
from domogik.manager.plugins.plugin_launch import PluginLaunch
from domogik.manager.plugins.stopped import StoppedByHand
from domogik.manager.settings import enabled_plugins
from domogik.manager.units.units import is_unit
from domogik.packages.store.installed import Installed, Inventory
from domogik.supervisor.interfaces import Program, Specification, Status
from domogik.supervisor.service import AlreadyRunning, NotRunning, StartFailed, Supervisor
from domogik.supervisor.settings import Supervision, check
from domogik.threads import Threads

#: states in which there is something to stop
_UP = (State.STARTING, State.RUNNING, State.ALIVE, State.NOT_RESPONDING, State.STOPPING)
#: states from which the supervisor may start it by itself
_TRIED_AGAIN = (State.BACKOFF, State.FAILED)
_OFF = Status(State.STOPPED)


@attrs.define(eq=False, kw_only=True)
class Plugins:
    """Turns descriptors and `[plugins]` into supervised components, and back into the one list.

    `in_thread(f, *args)` calls what blocks; `reload` reads the configuration again; `dismiss` asks
    a plugin that somebody started by hand to go, and is done when it went; `lend` starts the units
    among its needs and gives the variables that tell where the daemons are, once they are ready.
    """

    _plugin_launch: PluginLaunch
    _supervisor: Supervisor
    _components: ComponentList
    _in_thread: Threads
    _reload: Callable[[], Awaitable[None]]
    _dismiss: Callable[[str], Awaitable[None]]
    _lend: Callable[[Iterable[str]], Awaitable[Mapping[str, str]]]
    _log: Logger = Logger()
    _installed: dict[str, Installed] = attrs.field(factory=dict)
    _enabled: frozenset[str] = frozenset()
    _specifications: dict[str, Specification] = attrs.field(factory=dict)
    _by_hand: set[str] = attrs.field(factory=set)
    _at_rest: set[str] = attrs.field(factory=set)
    stopped: StoppedByHand = attrs.field(factory=StoppedByHand)
    _kept_back: dict[str, str] = attrs.field(factory=dict)
    _probation_s: dict[str, float] = attrs.field(factory=dict)
    #: plugin -> what is called when the supervisor tells that it changed
    followers: dict[str, Callable[[], None]] = attrs.field(factory=dict)
    #: asks whether a plugin that was just enabled is kept back
    on_enabled: Callable[[str], Awaitable[None]] | None = None

    # What there is

    def update(self, inventory: Inventory, configuration: Configuration) -> None:
        """Take over what is installed and configured now; what did not change is not touched.

        A plugin that is up keeps running, also when it is disabled or its descriptor is gone; it
        leaves the list when it has ended. One that waits for another try gets none any more.
        Raises `BrokenConfiguration` before it changes anything.
        """
        check(configuration)
        supervision = {
            name: Supervision.of(configuration, str(_id(name))) for name in inventory.plugins
        }
        touched = {*self._installed, *inventory.plugins}
        self._enabled = enabled_plugins(configuration)
        self._installed = dict(inventory.plugins)
        self._probation_s = {name: one.update_probation_s for name, one in supervision.items()}
        for name in sorted(self._installed):
            self._specify(name, supervision[name])
        for name in sorted(touched):
            self._settle(name)

    def _specify(self, name: str, supervision: Supervision) -> None:
        installed = self._installed[name]
        if installed.script is None:
            return
        try:
            program = self._plugin_launch.program(installed, supervision)
        except OSError as error:
            problem = f"{error.filename}: {error.strerror}"
            self._installed[name] = attrs.evolve(installed, script=None, problem=problem)
            return
        specification = Specification(
            id=str(_id(name)),
            program=program,
            policy=supervision.policy,
            needs=tuple(one for one in supervision.needs if not is_unit(one)),
            prepare=partial(self._prepare, supervision.needs) if supervision.needs else None,
        )
        if self._specifications.get(name) != specification:
            self._specifications[name] = specification
            self._supervisor.configure(specification)

    async def _prepare(self, needs: tuple[str, ...], program: Program) -> Program:
        lent = await self._lend(needs)
        return attrs.evolve(program, environment={**program.environment, **lent})

    def status(self, name: str) -> Status:
        """What the supervisor knows of it; stopped when it knows nothing."""
        id = str(_id(name))
        return self._supervisor.status(id) if id in self._supervisor.ids() else _OFF

    def status_changed(self, component_id: str) -> None:
        """The supervisor tells that a component of ours changed."""
        name = ComponentId.parse(component_id).name
        self._settle(name)
        if name in self.followers:
            self.followers[name]()

    def probation_s(self, name: str) -> float:
        """How long a new release of it is watched before it counts as good."""
        return self._probation_s.get(name, Supervision().update_probation_s)

    def _settle(self, name: str) -> None:
        """What failed and is not wanted any more is not tried again; the list says how it is."""
        wanted = name in self._enabled and name in self._installed
        if not wanted and self.status(name).state in _TRIED_AGAIN:
            _ = self._supervisor.stop(str(_id(name))).addErrback(
                lambda failure: self._log.failure("giving up {name}", failure, name=name)
            )
        self.refresh(name)

    def refresh(self, name: str) -> None:
        """Say in the one list what this plugin is like now."""
        component_id = _id(name)
        installed = self._installed.get(name)
        status = self.status(name)
        if installed is None and status.state not in _UP:
            self._forget(name)
            return
        enabled = name in self._enabled and installed is not None
        state, reason, pid = status.state, status.reason, status.pid
        if state in _UP:
            self._by_hand.discard(name)
        elif name in self._by_hand:
            state, reason, pid = State.ALIVE, "started by hand", None
        elif state is State.STOPPED and installed is not None and installed.problem:
            state, reason = (State.FAILED if enabled else State.DISABLED), installed.problem
        elif state is State.STOPPED and not enabled:
            state = State.DISABLED
        elif state is State.STOPPED and not reason and name in self._kept_back:
            stored = f"{STARTUP_KEY} is {self._kept_back[name]}"
            reason = f"it does not start with the manager: {stored}"
        package = installed.package if installed is not None else None
        before = self._components.get(component_id)
        self._components.put(
            Component(
                id=component_id,
                host=self._plugin_launch.host,
                state=state,
                enabled=enabled,
                reason=reason,
                pid=pid,
                since=status.since,
                restarts=status.restarts,
                technology=package.technology if package else before.technology if before else "",
                version=package.release if package else before.version if before else "",
                description=package.description if package else "",
                documentation=package.documentation if package else "",
            )
        )

    def _forget(self, name: str) -> None:
        self._by_hand.discard(name)
        if self._specifications.pop(name, None) is not None:
            _ = self._supervisor.forget(str(_id(name))).addErrback(
                lambda failure: self._log.failure("forgetting {name}", failure, name=name)
            )
        self._components.remove(_id(name))

    def names(self) -> tuple[str, ...]:
        """Every plugin that is installed here."""
        return tuple(sorted(self._installed))

    def installed(self, name: str) -> Installed | None:
        """What its package brought; None where it is not installed, though it may run."""
        return self._installed.get(name)

    async def warnings(self, name: str, *, managed: bool) -> tuple[str, ...]:
        """What it needs and this host does not have; see `missing.py`."""
        installed = self._installed.get(name)
        if installed is None or not installed.package.dependencies:
            return ()
        look = partial(warnings, installed, self.release_of, managed=managed)
        return await self._in_thread(look)

    def restarted_within(self, name: str, seconds: float) -> int:
        """How often it was started again by itself lately."""
        return self._supervisor.restarted_within(str(_id(name)), seconds)

    def release_of(self, name: str) -> str | None:
        """The release that is installed."""
        installed = self._installed.get(name)
        return installed.package.release if installed is not None else None

    def enabled_names(self) -> tuple[str, ...]:
        """The plugins that are installed and enabled, which is what Domogik's clients list."""
        return tuple(sorted(set(self._installed) & self._enabled))

    def wishes(self) -> dict[str, bool]:
        """Every plugin that is installed here, and whether it is enabled."""
        return {name: name in self._enabled for name in self._installed}

    def is_ours(self, name: str) -> bool:
        """Whether it is installed here, or runs though its package is gone."""
        return name in self._installed or name in self._specifications

    def detail(self, component: Component) -> Detail:
        """With the configuration keys of its descriptor."""
        installed = self._installed.get(component.name)
        keys = installed.package.configuration if installed is not None else ()
        return Detail(component, configuration=keys)

    def keep_back(self, name: str, stored: str) -> None:
        """Its stored `startup-plugin` keeps it from starting; empty: nothing does."""
        if stored:
            self._kept_back[name] = stored
        else:
            self._kept_back.pop(name, None)
        self.refresh(name)

    def is_kept_back(self, name: str) -> bool:
        """Whether it does not start with the manager though it is enabled."""
        return name in self._kept_back

    # Heartbeats

    def alive(self, name: str) -> None:
        """A heartbeat that says ready came from this host's plugin of that name."""
        if self.status(name).state in _UP:
            self._supervisor.alive(str(_id(name)))
        elif name in self._installed and name not in self._by_hand:
            self._by_hand.add(name)
            self._log.info("{name} was started by hand", name=name)
            self.refresh(name)

    def silent(self, name: str) -> None:
        """It did not answer a ping."""
        if name in self._by_hand:
            self._gone_by_hand(name)
        elif self.status(name).state in _UP:
            self._supervisor.silent(str(_id(name)))

    def left(self, name: str) -> None:
        """It said that it leaves."""
        if str(_id(name)) in self._supervisor.ids():
            self._supervisor.left(str(_id(name)))  # a stop that comes after it is a success
        if name in self._by_hand:
            self._gone_by_hand(name)

    def _gone_by_hand(self, name: str) -> None:
        self._by_hand.discard(name)
        self.refresh(name)

    def watched(self) -> tuple[str, ...]:
        """The plugins that should answer a ping now."""
        return tuple(
            name
            for name in sorted({*self._specifications, *self._by_hand})
            if name in self._by_hand
            or self.status(name).state in (State.STARTING, State.ALIVE, State.NOT_RESPONDING)
        )

    def is_unheard(self, name: str) -> bool:
        """Whether a manager before us started it and it has not answered this one yet."""
        status = self.status(name)
        return status.adopted and status.state is State.STARTING

    def pids(self, name: str) -> frozenset[int]:
        """The numbers of its living processes; of one that somebody started by hand none."""
        id = str(_id(name))
        return self._supervisor.pids(id) if id in self._supervisor.ids() else frozenset()

    def all_pids(self) -> Iterator[int]:
        """The numbers of the living processes of all plugins."""
        for name in self.watched():
            yield from self.pids(name)

    def is_by_hand(self, name: str) -> bool:
        """Whether it runs and is no child of ours."""
        return name in self._by_hand

    def is_up(self, name: str) -> bool:
        """Whether some process of it runs, ours or not."""
        return name in self._by_hand or self.status(name).state in _UP

    def is_ending(self, name: str) -> bool:
        """Whether what is left of it is being ended: a start would wait for that."""
        return name not in self._by_hand and self.status(name).state is State.STOPPING

    def is_there(self, name: str) -> bool:
        """Whether it needs no start; the remains of an earlier one do not count."""
        return self.is_up(name) and not self.is_ending(name)

    def is_tried_again(self, name: str) -> bool:
        """Whether it does not run and the supervisor may start it by itself."""
        return self.status(name).state in _TRIED_AGAIN

    @contextlib.contextmanager
    def at_rest(self, name: str) -> Iterator[None]:
        """Nobody can start it meanwhile: its package is being changed."""
        self._at_rest.add(name)
        try:
            yield
        finally:
            self._at_rest.discard(name)

    # What a person can ask

    async def start(self, name: str) -> None:
        """Until it is alive; `UnknownComponent`, `NotPossible`, `OperationFailed`."""
        self._check_startable(name)
        running = f"Component {name} is already running on {self._plugin_launch.host}"
        logs = f"dmg_ctl logs {name}"
        if name in self._by_hand:
            raise OperationFailed(running)
        installed = self._installed[name]
        if installed.script is None:
            raise not_started(name, installed.problem, logs=f"dmg_ctl diagnose {name}")
        self.stopped.note(name, stopped=False)
        try:
            await self._supervisor.start(str(_id(name)))
        except AlreadyRunning:
            raise OperationFailed(running) from None
        except StartFailed as error:
            raise not_started(name, error.reason or str(error), logs) from error

    async def stop(self, name: str, *, again: bool = False) -> None:
        """Until nothing of it is left; `UnknownComponent`, `OperationFailed`.

        `again`: it is to run again soon, also where the manager dies before it could start it.
        """
        if str(_id(name)) not in self._supervisor.ids():
            self._known(name)
        if not again:
            self.stopped.note(name, stopped=True)  # before the first signal: we may die during it
        await self._halt(name, again)

    async def _halt(self, name: str, again: bool) -> None:
        if name in self._by_hand:
            await self._dismiss(name)
            return
        off = f"Component {name} is not running on {self._plugin_launch.host}"
        if str(_id(name)) not in self._supervisor.ids():
            raise OperationFailed(off)
        try:
            await self._supervisor.stop(str(_id(name)), again=again)
        except NotRunning:
            raise OperationFailed(off) from None

    async def restart(self, name: str) -> None:
        """Stop it if it is up, then start it; what cannot be started is not stopped either."""
        self._check_startable(name)
        if self.is_up(name):
            await self._halt(name, again=True)
        await self.start(name)

    async def enable(self, name: str) -> None:
        """Mark it enabled in the configuration file; `UnknownComponent`, `OperationFailed`."""
        self._known(name)
        await self._mark(name, "enabled")
        if self.on_enabled is not None:
            await self.on_enabled(name)

    async def disable(self, name: str) -> None:
        """Mark it disabled; `OperationFailed` while it runs."""
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
        if (name in self._enabled) is not (word == "enabled"):
            raise OperationFailed(
                f"{file} says that {name} is {word}, and was refused: the log says why"
            )

    def _check_startable(self, name: str) -> None:
        self._known(name)
        if name not in self._enabled:
            raise NotPossible(
                f"Plugin '{name}' is disabled on {self._plugin_launch.host}. "
                "Enable it before starting it",
                plain=f"{name} is disabled; first: dmg_ctl enable {name}",
            )
        if name in self._at_rest:
            raise NotPossible(f"Plugin '{name}' cannot be started now: its package is changed")

    def _known(self, name: str) -> Installed:
        installed = self._installed.get(name)
        if installed is None:
            raise UnknownComponent.named(name, self._plugin_launch.host, self._installed)
        return installed


def _id(name: str) -> ComponentId:
    return ComponentId(Kind.PLUGIN, name)
