"""The plugins of this host: which there are, whether they are wanted, how they are."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import attrs
from twisted.logger import Logger

from domogik.components.model import Component, ComponentId, Detail, Kind, State
from domogik.config.edit import set_value
from domogik.config.load import Configuration
from domogik.errors import DomogikError, NotPossible, OperationFailed, UnknownComponent
from domogik.manager.components import ComponentList
from domogik.manager.settings import enabled_plugins
from domogik.packages.installed import Installed, Inventory
from domogik.supervisor.interfaces import Program, Specification, Status
from domogik.supervisor.service import AlreadyRunning, NotRunning, StartFailed, Supervisor
from domogik.supervisor.settings import Supervision

#: states in which there is something to stop
_UP = (State.STARTING, State.RUNNING, State.ALIVE, State.NOT_RESPONDING, State.STOPPING)
_OFF = Status(State.STOPPED)


@attrs.frozen
class Workplace:
    """What a plugin is told about where it lives; see CONTRACT "A plugin".

    `environment` is what every plugin gets: the manager's own, `DOMOGIK_HOME`, `XPL_PORT`, ...
    """

    host: str
    interpreter: str
    configuration_file: Path
    environment: Mapping[str, str]
    data: Callable[[str], Path]

    def program(self, installed: Installed, supervision: Supervision) -> Program:
        """How to run the plugin of a package; `DOMOGIK_RUN_ID` is the supervisor's to add."""
        assert installed.script is not None
        assert installed.directory is not None
        name = installed.package.id
        source = str(installed.source)
        inherited = self.environment.get("PYTHONPATH", "")
        return Program(
            argv=(self.interpreter, str(installed.script)),
            environment={
                **self.environment,
                "PYTHONPATH": f"{source}:{inherited}" if inherited else source,
                "PYTHONUNBUFFERED": "1",
                "DOMOGIK_NAME": name,
                "DOMOGIK_HOST": self.host,
                "DOMOGIK_SOURCE": f"domogik-{name}.{self.host}",
                "DOMOGIK_DATA": str(self.data(name)),
            },
            directory=installed.directory,
            memory_max=supervision.memory_max,
            open_files_max=supervision.open_files_max,
            nice=supervision.nice,
        )


@attrs.define(eq=False)
class Plugins:
    """Turns descriptors and `[plugins]` into supervised components, and back into the one list.

    `in_thread(f, *args)` calls what blocks; `reload` reads the configuration again; `dismiss` asks
    a plugin that somebody started by hand to go, and is done when it went.
    """

    _workplace: Workplace
    _supervisor: Supervisor
    _components: ComponentList
    _in_thread: Callable[..., Awaitable[object]]
    _reload: Callable[[], Awaitable[None]]
    _dismiss: Callable[[str], Awaitable[None]]
    _log: Logger = Logger()
    _installed: dict[str, Installed] = attrs.field(factory=dict)
    _enabled: frozenset[str] = frozenset()
    _specifications: dict[str, Specification] = attrs.field(factory=dict)
    _by_hand: set[str] = attrs.field(factory=set)

    # What there is

    def update(self, inventory: Inventory, configuration: Configuration) -> None:
        """Take over what is installed and configured now; what did not change is not touched.

        A plugin that is up keeps running, also when it is disabled or its descriptor is gone; it
        leaves the list when it has ended. Raises `BrokenConfiguration` before it changes anything.
        """
        specifications = {
            name: self._specification(name, installed, configuration)
            for name, installed in inventory.plugins.items()
            if installed.script is not None
        }
        gone = set(self._installed) - set(inventory.plugins)
        self._enabled = enabled_plugins(configuration)
        self._installed = dict(inventory.plugins)
        for name in sorted(specifications):
            if self._specifications.get(name) != specifications[name]:
                self._specifications[name] = specifications[name]
                self._supervisor.configure(specifications[name])
        for name in sorted({*inventory.plugins, *gone}):
            self.refresh(name)

    def _specification(
        self, name: str, installed: Installed, configuration: Configuration
    ) -> Specification:
        component_id = str(_id(name))
        supervision = Supervision.of(configuration, component_id)
        return Specification(
            id=component_id,
            program=self._workplace.program(installed, supervision),
            policy=supervision.policy,
            needs=supervision.needs,
        )

    def status(self, name: str) -> Status:
        """What the supervisor knows of it; stopped when it knows nothing."""
        if str(_id(name)) not in self._supervisor.ids():
            return _OFF
        return self._supervisor.status(str(_id(name)))

    def status_changed(self, component_id: str) -> None:
        """The supervisor tells that a component of ours changed."""
        self.refresh(ComponentId.parse(component_id).name)

    def refresh(self, name: str) -> None:
        """Say in the one list what this plugin is like now."""
        component_id = _id(name)
        installed = self._installed.get(name)
        status = self.status(name)
        if installed is None and status.state not in (*_UP, State.BACKOFF):
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
        package = installed.package if installed is not None else None
        before = self._components.get(component_id)
        self._components.put(
            Component(
                id=component_id,
                host=self._workplace.host,
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
        if self._specifications.pop(name, None) is not None:
            _ = self._supervisor.forget(str(_id(name))).addErrback(
                lambda failure: self._log.failure("forgetting {name}", failure, name=name)
            )
        self._by_hand.discard(name)
        self._components.remove(_id(name))

    def names(self) -> tuple[str, ...]:
        """Every plugin that is installed here."""
        return tuple(sorted(self._installed))

    def enabled_names(self) -> tuple[str, ...]:
        """The plugins that are installed and enabled, which is what Domogik's clients list."""
        return tuple(sorted(set(self._installed) & self._enabled))

    def installed(self, name: str) -> Installed | None:
        """Its package, None when there is none."""
        return self._installed.get(name)

    def detail(self, component: Component) -> Detail:
        """With the configuration keys of its descriptor."""
        installed = self._installed.get(component.name)
        keys = installed.package.configuration if installed is not None else ()
        return Detail(component, configuration=keys)

    # Heartbeats

    def alive(self, name: str) -> None:
        """A heartbeat that says ready came from this host's plugin of that name."""
        if name not in self._installed:
            return
        if self.status(name).state in _UP:
            self._supervisor.alive(str(_id(name)))
        elif name not in self._by_hand:
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
        if name in self._by_hand:
            self._gone_by_hand(name)
        elif str(_id(name)) in self._supervisor.ids():
            self._supervisor.left(str(_id(name)))

    def _gone_by_hand(self, name: str) -> None:
        self._by_hand.discard(name)
        self.refresh(name)

    def watched(self) -> tuple[str, ...]:
        """The plugins that should answer a ping now."""
        return tuple(
            name
            for name in sorted({*self._installed, *self._by_hand})
            if name in self._by_hand
            or self.status(name).state in (State.STARTING, State.ALIVE, State.NOT_RESPONDING)
        )

    def is_up(self, name: str) -> bool:
        """Whether some process of it runs, ours or not."""
        return name in self._by_hand or self.status(name).state in _UP

    # What a person can ask

    async def start(self, name: str) -> None:
        """Until it is alive; `UnknownComponent`, `NotPossible`, `OperationFailed`."""
        installed = self._known(name)
        host = self._workplace.host
        if name in self._by_hand:
            raise OperationFailed(f"Component {name} is already running on {host}")
        if name not in self._enabled:
            raise NotPossible(
                f"Plugin '{name}' is disabled on {host}. Enable it before starting it"
            )
        failed = f"Component {name} failed to start. Please look in this component log files"
        if installed.script is None:
            raise OperationFailed(failed, installed.problem)
        try:
            await self._supervisor.start(str(_id(name)))
        except AlreadyRunning:
            raise OperationFailed(f"Component {name} is already running on {host}") from None
        except StartFailed as error:
            raise OperationFailed(failed, str(error)) from error

    async def stop(self, name: str) -> None:
        """Until nothing of it is left; `UnknownComponent`, `OperationFailed`."""
        host = self._workplace.host
        if name in self._by_hand:
            await self._dismiss(name)
            return
        if str(_id(name)) not in self._supervisor.ids():
            self._known(name)
            raise OperationFailed(f"Component {name} is not running on {host}")
        try:
            await self._supervisor.stop(str(_id(name)))
        except NotRunning:
            raise OperationFailed(f"Component {name} is not running on {host}") from None

    async def restart(self, name: str) -> None:
        """Stop it if it is up, then start it."""
        self._known(name)
        if self.status(name).state in (*_UP, State.BACKOFF):
            await self.stop(name)
        await self.start(name)

    async def enable(self, name: str) -> None:
        """Mark it enabled in the configuration file; `UnknownComponent`, `OperationFailed`."""
        self._known(name)
        await self._mark(name, "enabled")

    async def disable(self, name: str) -> None:
        """Mark it disabled; `OperationFailed` while it runs."""
        self._known(name)
        if self.is_up(name):
            raise OperationFailed(
                f"Component '{name}' is running. Please stop it before trying to disable"
            )
        if self.status(name).state is State.BACKOFF:
            await self.stop(name)
        await self._mark(name, "disabled")

    async def _mark(self, name: str, word: str) -> None:
        try:
            await self._in_thread(
                set_value, self._workplace.configuration_file, "plugins", name, word
            )
        except (OSError, DomogikError) as error:
            raise OperationFailed(str(error)) from error
        await self._reload()

    def _known(self, name: str) -> Installed:
        installed = self._installed.get(name)
        if installed is None:
            host = self._workplace.host
            raise UnknownComponent(f"Component {name} doesn't exists on {host}")
        return installed


def _id(name: str) -> ComponentId:
    return ComponentId(Kind.PLUGIN, name)
