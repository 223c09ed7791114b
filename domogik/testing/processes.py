"""Processes that exist only here: for whoever tests a supervisor without the machine's own.

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
    """One process. `is_deaf` hears no signal but KILL, `is_immortal` not even that.

    `is_child` is false for one whose status its end will not tell; `is_apart` is true for one in
    another session than the first process of its start.
    """

    identity: ProcessIdentity
    run_id: str
    program: Program | None = None
    is_deaf: bool = False
    is_immortal: bool = False
    is_child: bool = True
    is_apart: bool = False
    lives: bool = True
    _protocol: IProcessProtocol | None = None

    def watch(self, protocol: IProcessProtocol) -> None:
        """Tell `protocol` of the end."""
        self._protocol = protocol
        protocol.makeConnection(self)  # type: ignore[arg-type]  # no runner uses more of it

    def detach(self) -> None:
        """Tell nobody."""
        self._protocol = None

    def ends(self, exit: Exit) -> None:
        """It ends, by itself or by a signal, and who watches it hears so."""
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
    """A process table of its own.

    `born` is called with every process that is started, before anybody watches it, and may give it
    its character; a program whose name is in `missing` cannot be started. A process that hears a
    signal ends a moment (no time) later.
    """

    _clock: IReactorTime
    born: Callable[[FakeProcess], None] = attrs.field(default=lambda process: None)
    missing: set[str] = attrs.field(factory=set)
    processes: list[FakeProcess] = attrs.field(init=False, factory=list)
    _numbers: itertools.count[int] = attrs.field(init=False, factory=lambda: itertools.count(1000))

    @property
    def living(self) -> list[FakeProcess]:
        """Those that live, the oldest first."""
        return [process for process in self.processes if process.lives]

    def fork(self, run_id: str) -> FakeProcess:
        """One more process of the start with that mark, which nobody watches."""
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
        self.born(process)
        process.watch(protocol)
        return process

    def adopt(self, protocol: IProcessProtocol, identity: ProcessIdentity) -> FakeProcess:
        for process in self.living:
            if process.identity == identity:
                process.watch(protocol)
                return process
        raise NoSuchProcess(f"there is no process {identity.pid}")

    def announce(self, ends: Iterable[tuple[Started, str]]) -> None:
        """Nobody here is in a hurry."""

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
            if not process.is_deaf and not process.is_immortal:
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
            if not process.is_immortal:
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
        outside = [one for one in members if one.is_apart]
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
    """Output that goes nowhere; `trouble` is raised where it would be opened, `said` is
    its last line."""

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
