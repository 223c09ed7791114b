"""The service that keeps components running.

At its start it reads the records of the previous manager. Processes that still run are adopted when
their component is configured; `wanted_after_crash` names the components that are to be started
again; running processes without a configured component are orphans.
"""

from __future__ import annotations

import contextlib
import os
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable, Mapping
from functools import partial
from pathlib import Path

import attrs
from twisted.application.service import Service
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.components.model import State, Usage
from domogik.errors import NotPossible, OperationFailed, UnknownComponent
from domogik.supervisor.interfaces import Restart, Specification, Status
from domogik.supervisor.lifecycle.attempt import Tools
from domogik.supervisor.lifecycle.pacing import Pacing
from domogik.supervisor.lifecycle.runner import Runner
from domogik.supervisor.lifecycle.stop_order import in_order_of_stop, users_of
from domogik.supervisor.logs.output import IOutputReactor, OutputLog
from domogik.supervisor.outcomes import AlreadyRunning, NotRunning, StartFailed
from domogik.supervisor.processes.adoption import ProcessRecord, Records, file_name
from domogik.supervisor.processes.confinement import Confinement
from domogik.supervisor.processes.host import HostProcesses, Processes
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.processes.leftovers import LeftoverRun, Leftovers
from domogik.supervisor.processes.membership import ProcessTable
from domogik.supervisor.processes.pidfd import IProcessReactor
from domogik.supervisor.processes.usage import UsageSampler
from domogik.supervisor.readiness import Notice, NotifySocket
from domogik.threads import threads_of

__all__ = ["AlreadyRunning", "NotRunning", "StartFailed", "Supervisor"]


class ISupervisorReactor(IProcessReactor, IOutputReactor):
    """The interfaces of the reactor that a supervisor needs."""


@attrs.define(eq=False)
class Supervisor(Service):
    """Keeps processes running.

    `run` and `log` are the directories of state and output. `on_change(id, before, after)` is
    called after every change of a status. `wall_clock` returns Unix time in seconds, `random`
    numbers from [0, 1). With `keep_children` a stop leaves the processes and their records to the
    next supervisor.
    """

    _log = Logger()

    _reactor: ISupervisorReactor
    _run_directory: Path
    _log_directory: Path
    _on_change: Callable[[str, Status, Status], None] = attrs.field(kw_only=True)
    _wall_clock: Callable[[], float] = attrs.field(kw_only=True)
    _random: Callable[[], float] = attrs.field(kw_only=True)
    keep_children: bool = attrs.field(default=False, kw_only=True)
    confinement: Confinement = attrs.field(kw_only=True, factory=Confinement)
    _processes: Processes = attrs.field(init=False)
    _records: Records = attrs.field(init=False)
    _notify: NotifySocket = attrs.field(init=False)
    _sampler: UsageSampler = attrs.field(init=False)
    _tools: Tools = attrs.field(init=False)
    _runners: dict[str, Runner] = attrs.field(init=False, factory=dict)
    _leftovers: Leftovers = attrs.field(init=False)
    _holds: dict[str, list[Callable[[], Awaitable[None]]]] = attrs.field(
        init=False, factory=lambda: defaultdict(list)
    )
    _interrupted: dict[str, set[str]] = attrs.field(init=False, factory=lambda: defaultdict(set))
    _is_closing: bool = attrs.field(init=False, default=False)

    def __attrs_post_init__(self) -> None:
        table = ProcessTable(self._reactor)
        self._processes = HostProcesses(self._reactor, table, self.confinement)
        self._sampler = UsageSampler(
            self._reactor, threads_of(self._reactor), lambda: self._members(self._runners)
        )
        self._records = Records(self._run_directory / "processes")
        self._leftovers = Leftovers(self._records, self._processes)
        self._notify = NotifySocket(
            self._reactor, self._run_directory / "notify.sock", self._on_notice
        )
        self._tools = Tools(
            clock=self._reactor,
            processes=self._processes,
            records=self._records,
            pacing=Pacing(self._reactor),
            notify_address=self._notify.address,
            changed=self._changed,
            now=self._wall_clock,
            random=self._random,
        )

    def startService(self) -> None:
        """Listen for sd_notify, and look for processes of the previous manager; raises
        `OSError`."""
        super().startService()
        run = self._run_directory
        for directory in (run, run / "output", run / "processes", self._log_directory):
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._notify.open()
        self.confinement.start()
        self._sampler.start()
        self._leftovers.look(self._fifo, self._wall_clock())

    def stopService(self) -> Deferred[None]:
        """Stop everything; the Deferred fires when no process is left, or at once with
        `keep_children`."""
        super().stopService()
        self._is_closing = True
        self.confinement.stop()
        self._sampler.stop()
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self.keep_children:
            self.prepare_exec()
        else:
            await self._stop_all()
            for runner in self._runners.values():
                if runner.specification.keep:
                    runner.release_processes()
        self._notify.close()
        await gatherResults([runner.output.close() for runner in self._runners.values()])

    def prepare_exec(self) -> None:
        """Release all processes and their records for the next manager."""
        self._is_closing = True
        for runner in self._runners.values():
            runner.release_processes()
        self._notify.close()

    # Information

    def ids(self) -> tuple[str, ...]:
        """Return the configured components."""
        return tuple(self._runners)

    def status(self, id: str) -> Status:
        """Return the current status; raises `UnknownComponent`."""
        return self._runner(id).status

    def output(self, id: str) -> OutputLog:
        """Return the output log; raises `UnknownComponent`."""
        output = self._runner(id).output
        assert isinstance(output, OutputLog)
        return output

    async def usage(self, ids: Iterable[str]) -> Mapping[str, Usage]:
        """Return the current usage of the running components among `ids`."""
        return await self._sampler.usage(self._members(ids))

    @property
    def sampled(self) -> Mapping[str, Usage]:
        """The usage of each running component when all were sampled last."""
        return self._sampler.sampled

    def _members(self, ids: Iterable[str]) -> dict[str, frozenset[ProcessIdentity]]:
        return {
            id: self._processes.members(runner.started)
            for id in ids
            if (runner := self._runners.get(id)) is not None and runner.started is not None
        }

    def restarted_within(self, id: str, seconds: float) -> int:
        """Return the number of automatic restarts in the last `seconds`; 0 if unknown."""
        runner = self._runners.get(id)
        return 0 if runner is None else runner.restarted_within(seconds)

    def pids(self, id: str) -> frozenset[int]:
        """Return the pids of its running processes; raises `UnknownComponent`."""
        started = self._runner(id).started
        members = () if started is None else self._processes.members(started)
        return frozenset(one.pid for one in members)

    def _runner(self, id: str) -> Runner:
        try:
            return self._runners[id]
        except KeyError:
            raise UnknownComponent(f"{id} is not known here") from None

    # Configuration

    def configure(self, specification: Specification, left: ProcessRecord | None = None) -> None:
        """Add a component, or change it from its next start on.

        If the previous manager left it running, it is adopted now; `left` is a record kept
        elsewhere, used if ours has none.
        """
        id, policy = specification.id, specification.policy
        runner = self._runners.get(id)
        if runner is not None:
            runner.specification = specification
            self.output(id).limit(policy.log_max_size, policy.log_files)
            return
        runner = Runner(specification, self._output(specification), self._tools)
        self._runners[id] = runner
        self._take_over(runner, self._leftovers.take(id, left))

    def _output(self, specification: Specification) -> OutputLog:
        name, policy = file_name(specification.id), specification.policy
        return OutputLog(
            self._reactor,
            self._fifo(specification.id),
            self._log_directory / f"{name}.log",
            max_size=policy.log_max_size,
            files=policy.log_files,
            on_error=partial(self._output_trouble, specification.id),
        )

    def _fifo(self, id: str) -> Path:
        return self._run_directory / "output" / f"{file_name(id)}.fifo"

    def _output_trouble(self, id: str, reason: str) -> None:
        self._runner(id).output_trouble(reason)

    def forget(self, id: str) -> Deferred[None]:
        """Stop a component and remove it; fails with `OperationFailed`."""
        return Deferred.fromCoroutine(self._forget(self._runner(id)))

    async def _forget(self, runner: Runner) -> None:
        await self._stop_and_remove(runner, again=False)
        if self._runners.get(runner.id) is runner:
            del self._runners[runner.id]
        await runner.output.close()

    # Operations

    def start(self, id: str) -> Deferred[Status]:
        """Start what it needs, then the component; see `Runner.start`.

        Fails with `UnknownComponent`, `AlreadyRunning`, `StartFailed`, and with `NotPossible` when
        the manager stops.
        """
        return Deferred.fromCoroutine(self._start(id, ()))

    def stop(self, id: str, *, again: bool = False) -> Deferred[Status]:
        """Stop the components that need it, then itself; fails with `UnknownComponent` too."""
        return Deferred.fromCoroutine(self._stop(self._runner(id), again))

    def restart(self, id: str) -> Deferred[Status]:
        """Restart it; fails as `start` does. Running components that need it are restarted too."""
        return Deferred.fromCoroutine(self._restart(self._runner(id)))

    async def stop_with_users(self, id: str) -> list[str]:
        """Stop it and the components that need it; return those stopped, in start order.

        Raises `UnknownComponent`, `OperationFailed`.
        """
        runner = self._runner(id)
        stopped = await self._stop_users(runner, again=True)
        if runner.is_up:
            stopped.insert(0, runner)
            with contextlib.suppress(NotRunning):
                await runner.stop(again=True)
        return [one.id for one in stopped]

    async def _stop(self, runner: Runner, again: bool) -> Status:
        for waiting in self._interrupted.values():
            waiting.discard(runner.id)
        await self._stop_users(runner, again=again)
        return await runner.stop(again=again)

    async def _restart(self, runner: Runner) -> Status:
        stopped = await self._stop_users(runner, again=True)
        self._interrupted[runner.id] |= {one.id for one in stopped}
        status = await runner.restart()
        for one in stopped:
            with contextlib.suppress(AlreadyRunning):
                await self._start(one.id, ())
        return status

    def resume_users(self, id: str) -> None:
        """Start the components that wait for a retry or for this one, which is ready now."""
        interrupted = self._interrupted.pop(id, set())
        for runner in tuple(self._runners.values()):
            waits = runner.status.state in (State.BACKOFF, State.FAILED)
            is_tried = waits and runner.specification.policy.restart is not Restart.NO
            if runner.id in interrupted or (is_tried and id in runner.specification.needs):
                _ = self.start(runner.id).addErrback(self._not_resumed)

    def _not_resumed(self, failure: Failure) -> None:
        if not failure.check(NotPossible, OperationFailed, UnknownComponent):
            self._log.failure("a start after that of what it needs", failure)

    async def _stop_users(self, runner: Runner, *, again: bool) -> list[Runner]:
        """Stop the components that need it; return them in start order."""
        users = users_of(runner, self._runners.values())
        for user in reversed(users):
            with contextlib.suppress(NotRunning):
                await user.stop(again=again)
        await self._released(runner)
        return users

    def hold(self, id: str, release: Callable[[], Awaitable[None]]) -> None:
        """Await `release` before every stop of `id`, for a user that is not a component."""
        self._holds[id].append(release)

    async def _released(self, runner: Runner) -> None:
        for release in self._holds.get(runner.id, ()):
            with self._log.failuresHandled("while {id} was released", id=runner.id):
                await release()

    async def _start(self, id: str, needed_by: tuple[str, ...]) -> Status:
        if self._is_closing:
            raise NotPossible("the manager is stopping")
        runner = self._runner(id)
        for need in runner.specification.needs:
            await self._start_need(need, (*needed_by, id))
        return await runner.start()

    async def _start_need(self, need: str, needed_by: tuple[str, ...]) -> None:
        id = needed_by[-1]
        if need in needed_by:
            circle = " needs ".join((*needed_by[needed_by.index(need) :], need))
            raise StartFailed(f"{id} cannot start: {circle}", circle)
        if need not in self._runners:
            self._log.warn("{id} needs {need}, which is not supervised", id=id, need=need)
            return
        try:
            await self._start(need, needed_by)
        except AlreadyRunning:
            return
        except StartFailed as error:
            self._interrupted[need].add(id)
            self._runners[id].explain(str(error))
            raise StartFailed(f"{id} needs {need}: {error}", str(error)) from error

    async def _stop_all(self) -> None:
        """Stop all components in parallel, but those needed after those that need them."""
        ending = [one for one in self._runners.values() if not one.specification.keep]
        for together in in_order_of_stop(ending):
            self._announce_ends(together)
            await gatherResults(
                [Deferred.fromCoroutine(self._ended(one.id, self._end(one))) for one in together]
            )
        await gatherResults(
            [
                Deferred.fromCoroutine(self._ended(id, self._leftovers.stop(id)))
                for id in self.orphans()
            ]
        )
        self._leftovers.forget()

    def _announce_ends(self, runners: Iterable[Runner]) -> None:
        """Signal all processes before waiting for any, since they end in parallel."""
        ready = [one for one in runners if one.stops_at_once]
        for runner in ready:
            runner.note_stop(again=True)
        self._processes.announce(
            (runner.started, runner.specification.policy.stop_signal)
            for runner in ready
            if runner.started is not None
        )

    async def _ended(self, id: str, ending: Awaitable[None]) -> None:
        with self._log.failuresHandled("while {id} was ended", id=id):
            try:
                await ending
            except OperationFailed as error:
                self._log.error("{error}", error=error)

    async def _end(self, runner: Runner) -> None:
        await self._released(runner)
        await self._stop_and_remove(runner, again=True)

    async def _stop_and_remove(self, runner: Runner, *, again: bool) -> None:
        with contextlib.suppress(NotRunning):
            await runner.stop(again=again)
        self._records.remove(runner.id)

    # Reports

    def alive(self, id: str) -> None:
        """Report that its check passed; raises `UnknownComponent`."""
        self._runner(id).alive()

    def silent(self, id: str, reason: str = "did not answer") -> None:
        """Report that its check failed; raises `UnknownComponent`."""
        self._runner(id).silent(reason)

    def cannot_become_ready(self, id: str, reason: str) -> None:
        """Report during its start that it will not become ready; raises `UnknownComponent`."""
        self._runner(id).cannot_become_ready(reason)

    def left(self, id: str) -> None:
        """Report that it announced its end; raises `UnknownComponent`."""
        self._runner(id).left()

    def _on_notice(self, pid: int, notice: Notice) -> None:
        try:
            session = os.getsid(pid)
        except ProcessLookupError:  # ended meanwhile: the leader itself may still be known
            session = pid
        for runner in self._runners.values():
            if runner.started is not None and runner.started.leader.pid in (pid, session):
                runner.notified(notice)
                return

    def _changed(self, id: str, before: Status, after: Status) -> None:
        with self._log.failuresHandled("while a change of {id} was reported", id=id):
            self._on_change(id, before, after)

    # Processes of the previous manager

    def wanted_after_crash(self) -> frozenset[str]:
        """Return the components to start again after a crash of the previous manager."""
        return self._leftovers.wanted

    def orphans(self) -> tuple[str, ...]:
        """Return the components that still run and are not configured."""
        return self._leftovers.orphans()

    def stop_orphan(self, id: str) -> Deferred[None]:
        """End all its processes; fails with `UnknownComponent`, `OperationFailed`."""
        return Deferred.fromCoroutine(self._leftovers.stop(id))

    def _take_over(self, runner: Runner, found: LeftoverRun) -> None:
        record = found.record
        if record is None:
            return
        if found.goes_on and found.leader is not None:
            try:
                runner.adopt(record, found.leader)
                return
            except NoSuchProcess:
                self._leftovers.wanted |= {runner.id}
        process = found.leader or found.member
        if process is not None:
            runner.clear_away(record, process)
