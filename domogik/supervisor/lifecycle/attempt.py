"""One start of a component, from its record to the end of its last process.

A program that daemonizes ends its first process with status 0 and continues in another one. That
one is then watched, and recorded, in place of the first.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import ClassVar, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.protocol import ProcessProtocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.supervisor.interfaces import (
    Exit,
    Policy,
    Program,
    Readiness,
    Specification,
    Status,
)
from domogik.supervisor.lifecycle.pacing import Pacing
from domogik.supervisor.logs.output import CannotCapture
from domogik.supervisor.processes.adoption import ProcessRecord, Records
from domogik.supervisor.processes.host import Processes, Started, Watched
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.processes.spawn import CannotSpawn, exit_of

#: seconds after it became ready within which its first process may end and have a successor
_SUCCESSOR_S = 1.0


class Output(Protocol):
    """The interface of a component's output log."""

    def open(self) -> None:
        """Start reading; raises `CannotCapture`."""

    def writer(self) -> int:
        """Return a descriptor for a new process; the caller closes it."""
        ...

    def last_line(self) -> str:
        """Return the last line of the process that `writer` was for, or an empty text."""
        ...

    def close(self) -> Deferred[None]:
        """Read what is there, and stop."""
        ...


@attrs.frozen
class Tools:
    """What all components of a supervisor share.

    `changed(id, before, after)` is called after every change of a status and must not raise; `now`
    returns Unix time in seconds; `random` numbers from [0, 1).
    """

    clock: IReactorTime
    processes: Processes
    records: Records
    pacing: Pacing
    notify_address: str
    changed: Callable[[str, Status, Status], None]
    now: Callable[[], float]
    random: Callable[[], float]


@attrs.define(eq=False)
class Attempt:
    """One start. `exit` is the end of its first process, or of its successor; None before."""

    _log: ClassVar[Logger] = Logger()

    record: ProcessRecord
    exit: Exit | None = None
    _watched: Watched | None = None
    _exit_reported: Deferred[None] | None = None
    #: the number of its first process; 0 where another manager started that
    _first_pid: int = 0
    _is_searching: bool = False
    _is_ending: bool = False
    _is_released: bool = False

    @classmethod
    def begin(
        cls,
        tools: Tools,
        specification: Specification,
        program: Program,
        output: Output,
        exited: Callable[[Attempt], None],
        restarts: int = 0,
    ) -> Attempt:
        """Execute `program`; `exited` is called when its first process has ended.

        The record is written before the process exists, so that after a crash the next manager
        finds it by its mark. Raises `CannotSpawn`.
        """
        run = cls(ProcessRecord.new(specification.id, tools.now(), restarts))
        tools.records.begin(run.record)
        marked = _marked(program, specification, run.record.run_id, tools.notify_address)
        try:
            output.open()
            writer = output.writer()
        except (CannotCapture, OSError) as error:
            raise CannotSpawn(str(error)) from error
        try:
            run._watched = tools.processes.spawn(_Leader(run, exited), marked, writer)
        finally:
            os.close(writer)
        run._first_pid = run._watched.identity.pid
        run._set_leader(tools, run._watched.identity)
        return run

    @classmethod
    def adopt(
        cls,
        tools: Tools,
        record: ProcessRecord,
        leader: ProcessIdentity,
        exited: Callable[[Attempt], None],
    ) -> Attempt:
        """Adopt a process that another manager started; raises `NoSuchProcess`."""
        run = cls(record)
        run._watched = tools.processes.adopt(_Leader(run, exited), leader)
        run._set_leader(tools, leader)
        return run

    @classmethod
    def remains(cls, record: ProcessRecord, member: ProcessIdentity) -> Attempt:
        """Return a start of another manager whose first process is gone, but not `member`."""
        return cls(attrs.evolve(record, process=member), exit=Exit())

    def _set_leader(self, tools: Tools, leader: ProcessIdentity) -> None:
        self.record = attrs.evolve(self.record, process=leader)
        tools.records.add(self.record)

    @property
    def id(self) -> str:
        """The mark, `DOMOGIK_RUN_ID`."""
        return self.record.run_id

    @property
    def started(self) -> Started:
        """The values by which its processes are recognised."""
        assert self.record.process is not None
        return Started(self.record.process, self.record.run_id)

    def follow(
        self, tools: Tools, exited: Callable[[Attempt], None], up_since: float | None
    ) -> bool:
        """Return whether a successor of the ended process has to be searched.

        `exited` is called with the result, with `exit` None if there is one. `up_since` is None
        while it starts. The successor may report before the end of the first process is known.
        """
        if self._is_searching or not self._may_go_on(tools, up_since):
            self._is_searching = False
            return False
        self._is_searching = True

        def on_known(_: object) -> None:
            if not self._is_released:
                exited(self)

        searching = Deferred.fromCoroutine(
            self._find_successor(tools, exited, apart=up_since is not None)
        )
        _ = searching.addErrback(
            lambda failure: self._log.failure("{id}", failure, id=self.record.id)
        )
        _ = searching.addCallback(on_known)
        return True

    def _may_go_on(self, tools: Tools, up_since: float | None) -> bool:
        assert self.exit is not None
        is_followed = self.started.leader.pid != self._first_pid
        return (
            self._first_pid != 0
            and not self._is_ending
            and (self.exit.code == 0 or (self.exit.unknown and is_followed))
            and (up_since is None or tools.clock.seconds() - up_since <= _SUCCESSOR_S)
        )

    async def _find_successor(
        self, tools: Tools, exited: Callable[[Attempt], None], apart: bool
    ) -> None:
        processes = tools.processes
        while found := await processes.successor(self.started, self._first_pid, apart=apart):
            if self._is_ending or self._is_released:
                return
            try:
                self._watched = processes.adopt(_Leader(self, exited), found)
            except NoSuchProcess:
                continue
            self.exit, self._is_searching = None, False
            self._set_leader(tools, found)
            return

    async def end(self, processes: Processes, policy: Policy) -> None:
        """End all its processes and wait for the exit of the first; raises `StillRunning`."""
        self._is_ending = True
        await processes.end(
            self.started,
            exited=self.exit is not None,
            signal=policy.stop_signal,
            timeout=policy.stop_timeout,
            leader_first=policy.leader_first,
            last_signal=policy.last_signal,
        )
        if self.exit is None:
            self._exit_reported = Deferred()
            await self._exit_reported

    def has_exited(self, exit: Exit) -> None:
        """Store the exit of its first process."""
        self.exit = exit
        if self._exit_reported is not None:
            self._exit_reported.callback(None)

    def note(self, tools: Tools, *, wanted: bool, ending: bool) -> None:
        """Record what is wanted of it, as in `ProcessRecord`."""
        record = attrs.evolve(self.record, wanted=wanted, ending=ending)
        if record != self.record:
            self.record = record
            tools.records.add(record)

    def release_processes(self) -> None:
        """Stop watching; the next manager finds the record."""
        self._is_released = True
        if self._watched is not None:
            self._watched.detach()


class _Leader(ProcessProtocol):
    """Receives the exit of the first process of one run."""

    def __init__(self, run: Attempt, exited: Callable[[Attempt], None]) -> None:
        self._run = run
        self._exited = exited

    def processExited(self, reason: Failure) -> None:
        self._run.has_exited(exit_of(reason))
        self._exited(self._run)


def _marked(
    program: Program, specification: Specification, run_id: str, notify_address: str
) -> Program:
    environment = {**program.environment, "DOMOGIK_RUN_ID": run_id}
    watchdog = specification.policy.watchdog
    if notify_address and (watchdog or specification.readiness is not Readiness.SURVIVAL):
        environment["NOTIFY_SOCKET"] = notify_address
    if watchdog:
        environment["WATCHDOG_USEC"] = str(int(watchdog * 1e6))
    return attrs.evolve(program, environment=environment)
