"""The managed daemons of this host: their sections, states, addresses and operations."""

from __future__ import annotations

from collections.abc import Coroutine, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.components.health import DiagnosticCheck
from domogik.components.model import Component, ComponentId, Detail, Kind, State
from domogik.config.load import Configuration
from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.core.probing import Watch
from domogik.daemons.core.tools import DaemonTools
from domogik.daemons.kinds import daemon_class
from domogik.daemons.settings import DaemonSettings, daemon_policies
from domogik.errors import (
    DomogikError,
    NotPossible,
    OperationFailed,
    UnknownComponent,
    already_running,
    not_running,
)
from domogik.manager.components import ComponentList
from domogik.manager.daemons.daemon_checks import DaemonChecks
from domogik.manager.daemons.one_daemon import DeclaredDaemon
from domogik.manager.daemons.permissions import grant_access
from domogik.manager.health.questions import LATELY
from domogik.manager.messages import not_started
from domogik.supervisor.interfaces import Program, Specification, Status
from domogik.supervisor.processes.adoption import ProcessRecord
from domogik.supervisor.service import AlreadyRunning, NotRunning, StartFailed, Supervisor
from domogik.supervisor.settings import Supervision

_UP = (State.STARTING, State.RUNNING, State.ALIVE, State.NOT_RESPONDING, State.STOPPING)
#: states in which it has an address that may be used, or will have it soon
_USABLE = (State.STARTING, State.RUNNING, State.ALIVE, State.NOT_RESPONDING)


@attrs.define(eq=False, kw_only=True)
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
    _wanted: dict[str, tuple[DaemonSettings, Supervision]] = attrs.field(init=False, factory=dict)
    _entries: dict[str, DeclaredDaemon] = attrs.field(init=False, factory=dict)
    _is_begun: bool = attrs.field(init=False, default=False)

    # What there is

    def update(self, configuration: Configuration) -> None:
        """Apply the configuration; a running daemon keeps its settings until its next start.

        New daemons are started if `start_all` was called. Daemons that are not configured any more,
        or as another kind, are stopped; their directories stay. Raises `BrokenConfiguration` before
        anything is changed.
        """
        self._wanted = daemon_policies(configuration)
        for name, entry in sorted(self._entries.items()):
            wanted = self._wanted.get(name)
            is_kept = wanted is not None and wanted[0].kind == entry.settings.kind
            if not (is_kept or entry.is_leaving):
                entry.is_leaving = True
                self._in_background(name, self._leave(entry))
        for name in self._wanted:
            if name not in self._entries or not self._entries[name].is_leaving:
                self._specify(name)

    def _specify(self, name: str) -> None:
        settings, supervision = self._wanted[name]
        specification = self._specification(settings, supervision)
        entry = self._entries.get(name)
        if entry is None:
            self._add(settings, specification)
        else:
            is_other = entry.settings != settings
            entry.settings, entry.specification = settings, specification
            self._supervisor.configure(specification)
            if is_other:
                self._changed(entry)
        self.refresh(name)

    def _specification(self, settings: DaemonSettings, supervision: Supervision) -> Specification:
        name = settings.name
        return Specification(
            id=f"daemon:{name}",
            program=Program(
                argv=(settings.kind,),
                environment=self._tools.environment,
                directory=self._directory / name,
                memory_max=supervision.memory_max,
                open_files_max=supervision.open_files_max,
                nice=supervision.nice,
                memory_max_words=supervision.memory_max_words,
            ),
            policy=supervision.policy,
            needs=supervision.needs,
            prepare=partial(self._prepare, name),
            before_stop=partial(self._before_stop, name),
            keep=settings.keep_running,
        )

    async def _before_stop(self, name: str) -> None:
        """What would lose data is refused: it runs on, and the words of the server say why."""
        entry = self._entries.get(name)
        if entry is not None:
            try:
                await entry.daemon.before_stop()
            except ManagedDaemonError as error:
                raise entry.failed(error) from error

    def _add(self, settings: DaemonSettings, specification: Specification) -> None:
        name, id = settings.name, specification.id
        daemon = daemon_class(settings.kind)(self._tools.reactor, self._tools)
        watch = Watch(
            self._tools.reactor,
            daemon.probe,
            alive=partial(self._supervisor.alive, id),
            silent=partial(self._supervisor.silent, id),
            cannot_become_ready=partial(self._hopeless, name),
        )
        self._entries[name] = DeclaredDaemon(
            settings, daemon, watch, specification, self._directory / name
        )
        self._supervisor.configure(specification, self._left(name, daemon))
        if self._is_begun:
            self._in_background(name, self._start_with_manager(name))

    def _changed(self, entry: DeclaredDaemon) -> None:
        """Its section says something else than before."""
        name, state = entry.settings.name, self._supervisor.status(entry.id).state
        if state in _UP:
            self._log.warn("{name}: what changed counts from its next start or reload", name=name)
        elif state in (State.BACKOFF, State.FAILED):
            self._in_background(name, self._start_with_manager(name))

    def _left(self, name: str, daemon: ManagedDaemon) -> ProcessRecord | None:
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

    async def _leave(self, entry: DeclaredDaemon) -> None:
        """Stop it and what needs it; then it is removed, or configured again if its section is
        back.
        """
        name = entry.settings.name
        while True:
            try:
                await self._supervisor.stop_with_users(entry.id)
                await self._supervisor.forget(entry.id)
                break
            except OperationFailed as error:  # to end it is tried again and again; so wait for that
                self._log.error("{name}: {error}", name=name, error=str(error))
        entry.watch.stop()
        del self._entries[name]
        self._components.remove(_id(name))
        if name in self._wanted:
            self._specify(name)

    def _in_background(self, name: str, work: Coroutine[Any, Any, None]) -> None:
        def lost(failure: Failure) -> None:
            if not failure.check(NotPossible):  # the manager stops
                self._log.failure("{name}", failure, name=name)

        _ = Deferred.fromCoroutine(work).addErrback(lost)

    def names(self) -> tuple[str, ...]:
        """Return the names of the configured daemons."""
        return tuple(sorted(name for name, one in self._entries.items() if not one.is_leaving))

    def close(self) -> None:
        """Stop checking the daemons."""
        for entry in self._entries.values():
            entry.watch.stop()

    def status_changed(self, component_id: str, before: Status, status: Status) -> None:
        """Handle a change of status that the supervisor reports."""
        name = ComponentId.parse(component_id).name
        entry = self._entries.get(name)
        if entry is None:
            return
        if status.state is not State.STARTING or status.pid is not None:
            entry.watch.follow(status.state)
        entry.note(status)
        self.refresh(name)
        if status.state.is_on and not before.state.is_on:
            self._supervisor.resume_users(component_id)

    def refresh(self, name: str) -> None:
        """Update the daemon's entry in the component list."""
        entry = self._entries[name]
        status = self._supervisor.status(entry.id)
        reason = status.reason
        if not reason and status.state.is_on and not entry.is_current:
            reason = "its section in the configuration has changed since its start"
        self._components.put(
            Component(
                id=_id(name),
                host=self._host,
                state=status.state,
                reason=reason,
                pid=status.pid,
                since=status.since,
                restarts=status.restarts,
                technology=entry.settings.kind,
                description=entry.description,
            )
        )

    def detail(self, component: Component) -> Detail:
        """Return the component with its configuration, without secrets."""
        return Detail(component, values=self._entry(component.name).values())

    # Starting

    async def start_all(self) -> None:
        """Start the daemons that do not run; returns when each is ready or has failed."""
        self._is_begun = True
        await gatherResults(
            [Deferred.fromCoroutine(self._start_with_manager(name)) for name in self.names()]
        )

    async def _start_with_manager(self, name: str) -> None:
        if self._supervisor.status(f"daemon:{name}").state in _USABLE:
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
            if entry.settings.run_as is not None:
                await self._tools.in_thread(grant_access, self._home, self._directory)
            await entry.configure()
            return await entry.daemon.prepare(program)
        except OSError as error:
            raise OperationFailed(f"{error.filename}: {error.strerror}") from error
        except ManagedDaemonError as error:
            raise entry.failed(error) from error

    def _hopeless(self, name: str, error: ManagedDaemonError) -> None:
        """To wait does not help."""
        entry = self._entries[name]
        self._supervisor.cannot_become_ready(entry.id, str(entry.failed(error)))

    # Dependent components

    async def environment(self, needs: Iterable[str]) -> Mapping[str, str]:
        """`DOMOGIK_DAEMON_<NAME>` of each daemon among `needs`, once it is ready.

        One that is stopped, or waits for another try, is not started for that. Raises
        `OperationFailed`.
        """
        found = {}
        for need in needs:
            if need.startswith("daemon:"):
                name = need.removeprefix("daemon:")
                entry = self._needed(name)
                status = self._supervisor.status(entry.id)
                if status.state not in _USABLE:
                    why = f" ({status.reason})" if status.reason else ""
                    raise OperationFailed(f"{need} is {status.state.value}{why}")
                found[entry.settings.variable] = await self.url(name)
        return found

    async def url(self, name: str) -> str:
        """Where it is reached, with its credentials, once it is ready; raises `OperationFailed`.

        It is started where it does not run.
        """
        entry = self._needed(name)
        if not self._supervisor.status(entry.id).state.is_on:
            try:
                await self._supervisor.start(entry.id)
            except AlreadyRunning:
                pass
            except StartFailed as error:
                raise OperationFailed(f"daemon:{name}: {error.reason or error}") from error
        return entry.daemon.url

    def _needed(self, name: str) -> DeclaredDaemon:
        entry = self._entries.get(name)
        if entry is None or entry.is_leaving:
            raise OperationFailed(f"there is no section [daemon:{name}] in the configuration")
        return entry

    # What a person can ask

    async def start(self, name: str) -> None:
        """Start it; returns when it answers. Raises `UnknownComponent`, `OperationFailed`."""
        entry = self._entry(name)
        try:
            await self._supervisor.start(entry.id)
        except AlreadyRunning:
            raise OperationFailed(already_running(name, self._host)) from None
        except StartFailed as error:
            raise _not_started(name, error) from error

    async def stop(self, name: str) -> None:
        """Stop it and what needs it; returns when no process is left. `UnknownComponent`, ..."""
        entry = self._entry(name)
        try:
            await self._supervisor.stop(entry.id)
        except NotRunning:
            raise OperationFailed(not_running(name, self._host)) from None

    async def restart(self, name: str) -> None:
        """Stop it if it is up, then start it, with what needs it."""
        entry = self._entry(name)
        try:
            await self._supervisor.restart(entry.id)
        except StartFailed as error:
            raise _not_started(name, error) from error

    async def reload(self, name: str) -> None:
        """Make it read its configuration from the section; raises `OperationFailed`."""
        entry = self._entry(name)
        if not self._supervisor.status(entry.id).state.is_on:
            raise OperationFailed(not_running(name, self._host))
        entry.refuse_to_move()
        try:
            await entry.configure()
            await entry.daemon.reload()
        except ManagedDaemonError as error:
            raise entry.failed(error) from error
        finally:
            self.refresh(name)

    async def checks(self, name: str) -> list[DiagnosticCheck]:
        """Return the checks of the daemon; raises `UnknownComponent`."""
        entry = self._entry(name)
        pids = self._supervisor.pids(entry.id)
        lately = self._supervisor.restarted_within(entry.id, LATELY)
        return await DaemonChecks(entry, self._supervisor.status(entry.id), pids, lately).all()

    def credentials(self, name: str) -> str:
        """Return its URL with the password; raises `NotPossible` before its first start."""
        entry = self._entry(name)
        if entry.daemon.port is None:
            raise NotPossible(f"{entry.id} was never started: it has no address yet")
        return entry.daemon.url

    async def backup(self, name: str, target: Path) -> str:
        """Write all its data into a new file; raises `OperationFailed`."""
        entry = self._entry(name)
        self._know(entry)
        try:
            return await entry.daemon.backup(target)
        except ManagedDaemonError as error:
            raise entry.failed(error) from error

    async def restore(self, name: str, source: Path) -> str:
        """Replace its data by a backup; components that need it are stopped meanwhile."""
        entry = self._entry(name)
        self._know(entry)
        stopped = await self._supervisor.stop_with_users(entry.id)
        entry.in_work = "restored"
        try:
            return await entry.daemon.restore(source)
        except ManagedDaemonError as error:
            raise entry.failed(error) from error
        finally:
            entry.in_work = ""
            entry.daemon.release_processes()
            await self._start_again(stopped)

    async def _start_again(self, ids: Iterable[str]) -> None:
        for id in ids:
            try:
                await self._supervisor.start(id)
            except AlreadyRunning:
                continue
            except DomogikError as error:
                self._log.error("{id} did not start again: {error}", id=id, error=str(error))

    def _know(self, entry: DeclaredDaemon) -> None:
        if entry.in_work:
            raise NotPossible(f"{entry.id} is being {entry.in_work}")
        if entry.daemon.port is None:
            raise NotPossible(f"{entry.id} was never started: it has no data yet")

    def _entry(self, name: str) -> DeclaredDaemon:
        entry = self._entries.get(name)
        if entry is None or entry.is_leaving:
            listed = self._components.get(_id(name))
            if listed is not None and listed.reason:
                raise NotPossible(f"{listed.id}: {listed.reason}")  # its section is refused
            raise UnknownComponent.named(name, self._host, self._entries)
        return entry


def _not_started(name: str, error: StartFailed) -> OperationFailed:
    return not_started(name, error.reason or str(error), logs=f"dmg_ctl daemon logs {name}")


def _id(name: str) -> ComponentId:
    return ComponentId(Kind.DAEMON, name)
