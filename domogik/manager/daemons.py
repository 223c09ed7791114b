"""The managed daemons of this host: which there are, how they are, where they are reached."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from domogik.components.model import Component, ComponentId, Detail, Kind, State
from domogik.config.load import Configuration
from domogik.daemons.base import ManagedDaemon
from domogik.daemons.errors import ManagedDaemonError
from domogik.daemons.kinds import daemon_class
from domogik.daemons.probing import Watch
from domogik.daemons.settings import DaemonSettings, all_settings
from domogik.daemons.tools import DaemonTools
from domogik.errors import DomogikError, NotPossible, OperationFailed, UnknownComponent
from domogik.manager.components import ComponentList
from domogik.supervisor.adoption import Record
from domogik.supervisor.interfaces import Program, Specification, Status
from domogik.supervisor.service import AlreadyRunning, NotRunning, StartFailed, Supervisor
from domogik.supervisor.settings import Supervision

_UP = (State.STARTING, State.RUNNING, State.ALIVE, State.NOT_RESPONDING, State.STOPPING)


@attrs.define(eq=False)
class _Entry:
    """One section of the configuration, and what came of it."""

    settings: DaemonSettings
    daemon: ManagedDaemon
    watch: Watch
    specification: Specification
    in_work: str = ""

    @property
    def id(self) -> str:
        return self.specification.id


@attrs.define(eq=False)
class Daemons:
    """Turns `[daemon:<name>]` into supervised components, and back into the one list.

    `directory` holds their working directories; it and its `home` are opened for passage where a
    daemon runs as another user.
    """

    _log = Logger()

    _host: str
    _tools: DaemonTools
    _supervisor: Supervisor
    _components: ComponentList
    _home: Path
    _directory: Path
    _entries: dict[str, _Entry] = attrs.field(init=False, factory=dict)

    # What there is

    def update(self, configuration: Configuration) -> None:
        """Take over what is configured now; who runs is not touched until its next start.

        Who is configured no longer is stopped; its directory stays. Raises `BrokenConfiguration`
        before it changes anything.
        """
        settings = all_settings(configuration)
        supervision = {
            name: Supervision.of(configuration, f"daemon:{name}", daemon_class(one.kind).policy)
            for name, one in settings.items()
        }
        for name in sorted(self._entries.keys() - settings.keys()):
            self._forget(name)
        for name, one in settings.items():
            known = self._entries.get(name)
            if known is not None and known.settings.kind != one.kind:
                self._forget(name)
            self._specify(one, supervision[name])
            self.refresh(name)

    def check(self, configuration: Configuration) -> None:
        """Whether `update` would take it; raises `BrokenConfiguration`."""
        for name, one in all_settings(configuration).items():
            Supervision.of(configuration, f"daemon:{name}", daemon_class(one.kind).policy)

    def _specify(self, settings: DaemonSettings, supervision: Supervision) -> None:
        name = settings.name
        specification = Specification(
            id=f"daemon:{name}",
            program=Program(
                argv=(settings.kind,),
                environment=self._tools.environment,
                directory=self._directory / name,
                memory_max=supervision.memory_max,
                open_files_max=supervision.open_files_max,
                nice=supervision.nice,
            ),
            policy=supervision.policy,
            needs=supervision.needs,
            prepare=partial(self._prepare, name),
            keep=settings.keep_running,
        )
        entry = self._entries.get(name)
        if entry is not None:
            entry.settings, entry.specification = settings, specification
            self._supervisor.configure(specification)
            return
        daemon = daemon_class(settings.kind)(self._tools.reactor, self._tools)
        id = specification.id
        watch = Watch(
            self._tools.reactor,
            daemon.probe,
            alive=partial(self._supervisor.alive, id),
            silent=partial(self._supervisor.silent, id),
            hopeless=partial(self._hopeless, name),
        )
        self._entries[name] = _Entry(settings, daemon, watch, specification)
        self._supervisor.configure(specification, self._left(name, daemon))

    def _left(self, name: str, daemon: ManagedDaemon) -> Record | None:
        """What runs in its directory by that directory's own record.

        A directory that cannot be understood is said when it is to be started; the others have
        nothing to do with it.
        """
        if not (self._directory / name).is_dir():
            return None
        try:
            daemon.load_parameters(self._directory / name)
        except ManagedDaemonError as error:
            self._log.warn("{name}: {error}", name=name, error=error.sentence)
            return None
        return daemon.directory.record

    def _forget(self, name: str) -> None:
        entry = self._entries.pop(name)
        entry.watch.stop()
        _ = self._supervisor.forget(entry.id).addErrback(
            lambda failure: self._log.failure("forgetting {name}", failure, name=name)
        )
        self._components.remove(_id(name))

    def names(self) -> tuple[str, ...]:
        """Those that are configured."""
        return tuple(sorted(self._entries))

    def status_changed(self, component_id: str, status: Status) -> None:
        """The supervisor tells that a component of ours changed."""
        name = ComponentId.parse(component_id).name
        entry = self._entries.get(name)
        if entry is None:
            return
        if status.state is not State.STARTING or status.pid is not None:
            entry.watch.follow(status.state)
            entry.daemon.note(status.pid, status.run_id, status.since)
        self.refresh(name)

    def refresh(self, name: str) -> None:
        """Say in the one list what this daemon is like now."""
        entry = self._entries[name]
        status = self._supervisor.status(entry.id)
        self._components.put(
            Component(
                id=_id(name),
                host=self._host,
                state=status.state,
                reason=status.reason,
                pid=status.pid,
                since=status.since,
                restarts=status.restarts,
                technology=entry.settings.kind,
                description=self._description(entry),
            )
        )

    def _description(self, entry: _Entry) -> str:
        title = entry.daemon.title
        port = entry.daemon.port if entry.daemon.port is not None else entry.settings.port
        return f"{title} on {entry.settings.bind}" + (f" port {port}" if port else "")

    def detail(self, component: Component) -> Detail:
        """With what it was configured with, secrets excepted."""
        entry = self._entry(component.name)
        settings = entry.settings
        values = {
            "kind": settings.kind,
            "port": entry.daemon.port or settings.port or "",
            "bind": settings.bind,
            "password": "set" if entry.daemon.has_password else "none",
            "run_as": settings.run_as or "",
            "keep_running": "yes" if settings.keep_running else "no",
            "directory": self._directory / settings.name,
            **settings.options,
        }
        return Detail(component, values=tuple((key, str(value)) for key, value in values.items()))

    # Starting

    async def start_all(self) -> None:
        """Start those that do not run; done when each is ready or has failed."""
        await gatherResults(
            [Deferred.fromCoroutine(self._start_with_manager(name)) for name in self.names()]
        )

    async def _start_with_manager(self, name: str) -> None:
        if self._supervisor.status(f"daemon:{name}").state in _UP:
            return
        try:
            await self.start(name)
        except DomogikError as error:
            reason = getattr(error, "reason", "") or str(error)
            self._log.error("{name} did not start: {reason}", name=name, reason=reason)
        except Exception:  # noqa: BLE001 - one daemon must not keep the others from starting
            self._log.failure("{name} did not start", name=name)

    async def _prepare(self, name: str, program: Program) -> Program:
        """Configure it as the configuration says now, and make it ready to be executed."""
        entry = self._entries[name]
        if entry.in_work:
            raise NotPossible(f"it is being {entry.in_work}")
        try:
            await self._tools.in_thread(self._open_the_way, entry.settings)
            await self._configure(entry)
            return await entry.daemon.prepare(program)
        except ManagedDaemonError as error:
            self._log.error("{name}: {error}", name=name, error=str(error))
            raise OperationFailed(one_line(error)) from error

    async def _configure(self, entry: _Entry) -> None:
        settings, daemon = entry.settings, entry.daemon
        if daemon.is_configured_as(
            settings.port, settings.bind, settings.password, settings.run_as, settings.options
        ):
            return
        await daemon.configure(
            self._directory / settings.name,
            settings.port,
            settings.bind,
            settings.password,
            run_as=settings.run_as,
            **settings.options,
        )

    def _open_the_way(self, settings: DaemonSettings) -> None:
        """Another user may pass through the home, and still read nothing in it."""
        if settings.run_as is None or os.geteuid() != 0:
            return
        for directory in (self._home, self._directory):
            mode = stat.S_IMODE(directory.stat().st_mode)
            if not mode & stat.S_IXOTH:
                self._log.info("{directory} may be passed through now", directory=str(directory))
                directory.chmod(mode | stat.S_IXOTH)

    def _hopeless(self, name: str, error: ManagedDaemonError) -> None:
        """To wait does not help: what it says is shown until its time to start is out."""
        self._log.error("{name}: {error}", name=name, error=str(error))
        self._supervisor.silent(f"daemon:{name}", one_line(error))

    # Those who need them

    async def environment(self, needs: Iterable[str]) -> Mapping[str, str]:
        """`DOMOGIK_DAEMON_<NAME>` of each daemon among `needs`, once it is ready.

        Raises `OperationFailed`.
        """
        found = {}
        for need in needs:
            if need.startswith("daemon:"):
                name = need.removeprefix("daemon:")
                found[f"DOMOGIK_DAEMON_{name.upper().replace('-', '_')}"] = await self.url(name)
        return found

    async def url(self, name: str) -> str:
        """Where it is reached, with its credentials, once it is ready; raises `OperationFailed`."""
        entry = self._entries.get(name)
        if entry is None:
            raise OperationFailed(f"there is no section [daemon:{name}] in the configuration")
        if not self._supervisor.status(entry.id).state.is_on:
            try:
                await self._supervisor.start(entry.id)
            except AlreadyRunning:
                pass
            except StartFailed as error:
                raise OperationFailed(f"daemon:{name}: {error.reason or error}") from error
        return entry.daemon.url

    # What a person can ask

    async def start(self, name: str) -> None:
        """Until it answers; `UnknownComponent`, `OperationFailed`."""
        entry = self._entry(name)
        try:
            await self._supervisor.start(entry.id)
        except AlreadyRunning:
            raise OperationFailed(f"Component {name} is already running on {self._host}") from None
        except StartFailed as error:
            raise self._not_started(name, error) from error

    async def stop(self, name: str) -> None:
        """Until nothing of it, or of who needs it, is left; `UnknownComponent`, ..."""
        entry = self._entry(name)
        try:
            await self._supervisor.stop(entry.id)
        except NotRunning:
            raise OperationFailed(f"Component {name} is not running on {self._host}") from None

    async def restart(self, name: str) -> None:
        """Stop it if it is up, then start it, with who needs it."""
        entry = self._entry(name)
        try:
            await self._supervisor.restart(entry.id)
        except StartFailed as error:
            raise self._not_started(name, error) from error

    def _not_started(self, name: str, error: StartFailed) -> OperationFailed:
        return OperationFailed(
            f"Component {name} failed to start. Please look in this component log files",
            error.reason or str(error),
        )

    async def reload(self, name: str) -> None:
        """Have it read its configuration again as the section says now; `OperationFailed`."""
        entry = self._entry(name)
        try:
            await self._configure(entry)
            await entry.daemon.reload()
        except ManagedDaemonError as error:
            raise OperationFailed(one_line(error), str(error)) from error

    async def credentials(self, name: str) -> str:
        """Its URL, which holds its password; raises `NotPossible` before its first start."""
        entry = self._entry(name)
        if entry.daemon.port is None:
            raise NotPossible(f"daemon:{name} was never started: it has no address yet")
        return entry.daemon.url

    async def backup(self, name: str, target: Path) -> str:
        """Write all its data into a new file; `OperationFailed`."""
        entry = self._entry(name)
        try:
            return await entry.daemon.backup(target)
        except ManagedDaemonError as error:
            raise OperationFailed(one_line(error), str(error)) from error

    async def restore(self, name: str, source: Path) -> str:
        """Put a backup in place of its data; who needs it is stopped meanwhile."""
        entry = self._entry(name)
        stopped = await self._supervisor.stop_with_users(entry.id)
        entry.in_work = "restored"
        try:
            sentence = await entry.daemon.restore(source)
        except ManagedDaemonError as error:
            raise OperationFailed(one_line(error), str(error)) from error
        finally:
            entry.in_work = ""
            for id in stopped:
                await self._supervisor.start(id)
        return sentence

    def _entry(self, name: str) -> _Entry:
        try:
            return self._entries[name]
        except KeyError:
            raise UnknownComponent(f"Component {name} doesn't exists on {self._host}") from None


def one_line(error: ManagedDaemonError) -> str:
    """What went wrong, with the last thing that the daemon said."""
    lines = [line.strip() for line in error.output.splitlines() if line.strip()]
    return f"{error.sentence}: {lines[-1]}" if lines else error.sentence


def _id(name: str) -> ComponentId:
    return ComponentId(Kind.DAEMON, name)
