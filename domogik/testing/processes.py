"""A process table in memory, for tests of a supervisor.

They pass the same contract tests as the real ones (tests/contract/test_processes.py).
"""

from __future__ import annotations

import itertools
import os
import signal as signals
from collections.abc import Callable, Iterable

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessDone, ProcessTerminated
from twisted.internet.interfaces import IProcessProtocol, IReactorTime
from twisted.python.failure import Failure

from domogik.supervisor.interfaces import Exit, Program
from domogik.supervisor.processes.host import Started
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.processes.spawn import CannotSpawn, signal_number
from domogik.supervisor.processes.tree import StillRunning

_BOOT = "00000000-0000-0000-0000-000000000000"


@attrs.define(eq=False)
class FakeProcess:
    """One process. With `ignores_signals` only KILL ends it, with `survives_kill` no signal does.

    Without `is_child` its exit status is unknown; with `has_own_session` it is in another session
    than the first process of its start.
    """

    identity: ProcessIdentity
    run_id: str
    program: Program | None = None
    ignores_signals: bool = False
    survives_kill: bool = False
    is_child: bool = True
    has_own_session: bool = False
    lives: bool = True
    _protocol: IProcessProtocol | None = None

    def watch(self, protocol: IProcessProtocol) -> None:
        """Report the end to `protocol`."""
        self._protocol = protocol
        protocol.makeConnection(self)  # type: ignore[arg-type]  # no runner uses more of it

    def detach(self) -> None:
        """Report the end to no protocol."""
        self._protocol = None

    def ends(self, exit: Exit) -> None:
        """End the process and report it."""
        if not self.lives:
            return
        self.lives = False
        if self._protocol is None:
            return
        if not self.is_child:
            exit = Exit()
        error = (
            ProcessDone(0) if exit.code == 0 else ProcessTerminated(exit.code, exit.signal, None)
        )
        self._protocol.processExited(Failure(error))
        self._protocol.processEnded(Failure(error))


@attrs.define(eq=False)
class FakeProcesses:
    """Starts and ends processes in memory.

    `on_spawn` is called with every new process before it is watched, and may change its attributes.
    Programs named in `missing` cannot be started. A signal ends a process in the next turn of the
    clock.
    """

    _clock: IReactorTime
    on_spawn: Callable[[FakeProcess], None] = attrs.field(default=lambda process: None)
    missing: set[str] = attrs.field(factory=set)
    processes: list[FakeProcess] = attrs.field(init=False, factory=list)
    _numbers: itertools.count[int] = attrs.field(init=False, factory=lambda: itertools.count(1000))

    @property
    def living(self) -> list[FakeProcess]:
        """The processes that run, the oldest first."""
        return [process for process in self.processes if process.lives]

    def fork(self, run_id: str) -> FakeProcess:
        """Add a process with that run id, whose end is not reported, and return it."""
        pid = next(self._numbers)
        process = FakeProcess(ProcessIdentity(pid, pid, _BOOT), run_id)
        self.processes = [*self.living, process]
        return process

    def spawn(self, protocol: IProcessProtocol, program: Program, output: int) -> FakeProcess:
        os.fstat(output)  # a real one would write there
        if program.argv[0] in self.missing:
            raise CannotSpawn(f"{program.argv[0]} is missing")
        process = self.fork(program.environment.get("DOMOGIK_RUN_ID", ""))
        process.program = program
        self.on_spawn(process)
        process.watch(protocol)
        return process

    def adopt(self, protocol: IProcessProtocol, identity: ProcessIdentity) -> FakeProcess:
        for process in self.living:
            if process.identity == identity:
                process.watch(protocol)
                return process
        raise NoSuchProcess(f"there is no process {identity.pid}")

    def announce(self, ends: Iterable[tuple[Started, str]]) -> None:
        """Do nothing: processes in memory end without preparation."""

    def end(
        self,
        started: Started,
        *,
        exited: bool,
        signal: str,
        timeout: float,
        leader_first: bool = False,
        last_signal: str = "",
    ) -> Deferred[None]:
        number = signal_number(signal)
        if not self._members(started):
            return succeed(None)
        for process in self._members(started):
            if not process.ignores_signals and not process.survives_kill:
                self._clock.callLater(0, process.ends, Exit(signal=number))
        ended: Deferred[None] = Deferred()
        self._clock.callLater(0, self._look_again, started, timeout, ended)
        return ended

    def _look_again(self, started: Started, patience: float, ended: Deferred[None]) -> None:
        if not self._members(started):
            ended.callback(None)
        else:
            self._clock.callLater(patience, self._kill, started, ended)

    def _kill(self, started: Started, ended: Deferred[None]) -> None:
        for process in self._members(started):
            if not process.survives_kill:
                process.ends(Exit(signal=signals.SIGKILL))
        left = [process.identity.pid for process in self._members(started)]
        if left:
            ended.errback(StillRunning(left))
        else:
            ended.callback(None)

    def marked(self, run_id: str) -> frozenset[ProcessIdentity]:
        return frozenset(one.identity for one in self.living if one.run_id == run_id)

    def members(self, started: Started) -> frozenset[ProcessIdentity]:
        return frozenset(process.identity for process in self._members(started))

    def successor(
        self, started: Started, session: int, *, apart: bool
    ) -> Deferred[ProcessIdentity | None]:
        members = [one for one in self._members(started) if one.identity != started.leader]
        outside = [one for one in members if one.has_own_session]
        left = outside or ([] if apart else members)
        return succeed(left[0].identity if left else None)

    def _members(self, started: Started) -> list[FakeProcess]:
        return [
            process
            for process in self.living
            if process.run_id == started.run_id or process.identity == started.leader
        ]


@attrs.define(eq=False)
class FakeOutput:
    """A log without a file; `open` raises `trouble`, and `said` is the last line."""

    is_open: bool = False
    trouble: Exception | None = None
    said: str = ""

    def open(self) -> None:
        if self.trouble is not None:
            raise self.trouble
        self.is_open = True

    def writer(self) -> int:
        assert self.is_open, "not open"
        return os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)

    def last_line(self) -> str:
        return self.said

    def close(self) -> Deferred[None]:
        self.is_open = False
        return succeed(None)
