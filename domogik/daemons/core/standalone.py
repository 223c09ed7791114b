"""One daemon on its own, without a manager: the same runner that keeps components, for a start.

Its words go straight into a file in its working directory, so that it may outlive this program.
"""

from __future__ import annotations

import contextlib
import os
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar, Protocol

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from domogik.components.model import State
from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.core.probing import Watch
from domogik.daemons.core.tools import DaemonTools, IDaemonReactor
from domogik.supervisor.interfaces import Policy, Program, Restart, Specification, Status
from domogik.supervisor.lifecycle.attempt import Tools
from domogik.supervisor.lifecycle.pacing import Pacing
from domogik.supervisor.lifecycle.runner import Runner
from domogik.supervisor.logs.output import CannotCapture
from domogik.supervisor.outcomes import NotRunning, StartFailed
from domogik.supervisor.processes.host import HostProcesses, Started
from domogik.supervisor.processes.identity import NoSuchProcess
from domogik.supervisor.processes.leftovers import look_for
from domogik.supervisor.processes.membership import ProcessTable

LOG = "log"
_LARGEST_LOG = 10 * 2**20
_TAIL = 4096
_KILL_PATIENCE = 5.0  # seconds for a server that hears a last signal


class RunnableDaemon(Protocol):
    """What is kept running here."""

    kind: ClassVar[str]
    end_signal: ClassVar[str]

    async def prepare(self, program: Program) -> Program:
        """What to execute, ready to be executed."""
        ...

    async def probe(self) -> None:
        """Whether it answers."""
        ...


@attrs.define(eq=False)
class FileOutput:
    """Its words, appended to a file that is put aside once when it has grown large."""

    path: Path
    _begins: int = 0

    def open(self) -> None:
        """Raises `CannotCapture`."""
        try:
            self.path.parent.mkdir(mode=0o700, exist_ok=True)
            with contextlib.suppress(FileNotFoundError):
                if self.path.stat().st_size > _LARGEST_LOG:
                    self.path.rename(self.path.with_suffix(".log.1"))
            descriptor = self.writer()
            self._begins = os.fstat(descriptor).st_size
            os.close(descriptor)
        except OSError as error:
            raise CannotCapture(f"its log {self.path} cannot be written: {error}") from error

    def skip_earlier(self) -> None:
        """Have `tail` leave out what is written by now; a start may fail before `open`."""
        with contextlib.suppress(OSError):
            self._begins = self.path.stat().st_size

    def writer(self) -> int:
        """A descriptor for a new process; the caller closes it."""
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        return os.open(self.path, flags, 0o600)

    def last_line(self) -> str:
        """None: the errors of a daemon carry the whole `tail`."""
        return ""

    def close(self) -> Deferred[None]:
        """Nothing is held."""
        return succeed(None)

    def tail(self) -> str:
        """The end of what it said since its last start."""
        return tail(self.path, begin=self._begins)


def tail(path: Path, limit_bytes: int = _TAIL, begin: int = 0) -> str:
    """The end of a file, nothing before `begin`; empty for none."""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(begin, size - limit_bytes))
            return file.read(limit_bytes).decode("utf-8", "replace")
    except OSError:
        return ""


@attrs.define(eq=False)
class Keeper:
    """Starts, watches and ends the daemon of one directory; `policy` says how long that may take.

    It is never started again by itself: whoever wants that has a manager.
    """

    _log = Logger()

    _tools: DaemonTools
    _daemon: RunnableDaemon
    _directory: WorkingDirectory
    _policy: Policy
    output: FileOutput = attrs.field(init=False)
    #: what was executed last
    argv: tuple[str, ...] = attrs.field(init=False, default=())
    _table: ProcessTable = attrs.field(init=False)
    _processes: HostProcesses = attrs.field(init=False)
    _runner: Runner = attrs.field(init=False)
    _watch: Watch = attrs.field(init=False)
    _hopeless: ManagedDaemonError | None = attrs.field(init=False, default=None)

    def __attrs_post_init__(self) -> None:
        reactor, kind = self._tools.reactor, self._daemon.kind
        self._table = ProcessTable(reactor, settle=0)  # it is asked here only
        self._processes = HostProcesses(reactor, self._table)
        self.output = FileOutput(self._directory / LOG / f"{kind}.log")
        specification = Specification(
            id=f"daemon:{kind}",
            program=Program(
                (kind,), self._tools.environment, self._directory.path, marks_at_birth=False
            ),
            policy=attrs.evolve(self._policy, restart=Restart.NO),
            prepare=self._prepare,
        )
        tools = Tools(
            clock=reactor,
            processes=self._processes,
            records=self._directory.records,
            pacing=Pacing(reactor),
            notify_address="",
            changed=self._changed,
            now=lambda: datetime.now(UTC).timestamp(),
            random=random.random,
        )
        self._runner = Runner(specification, self.output, tools)
        self._watch = Watch(
            reactor,
            self._daemon.probe,
            alive=self._runner.alive,
            silent=self._runner.silent,
            cannot_become_ready=self._give_up,
        )
        self._take_over()

    def _take_over(self) -> None:
        """What runs already; or else what is left of it is ended."""
        found = look_for(self._directory.record, self._processes)
        if found.record is None:
            return
        if found.leader is not None and not found.record.ending:
            with contextlib.suppress(NoSuchProcess):
                self._runner.adopt(found.record, found.leader)
                return
        if found.member is not None:
            # of a server that died; none is started in its place without an order
            ordinary = self._runner.specification
            at_once = attrs.evolve(ordinary.policy, stop_signal="KILL", stop_timeout=0)
            self._runner.specification = attrs.evolve(ordinary, policy=at_once)
            self._runner.clear_away(attrs.evolve(found.record, wanted=False), found.member)
            self._runner.specification = ordinary

    @property
    def status(self) -> Status:
        """How it is."""
        return self._runner.status

    async def start(self) -> None:
        """Until it answers; raises `AlreadyRunning`, `StartFailed`, `ManagedDaemonError`."""
        self._hopeless = None
        self.output.skip_earlier()
        try:
            await self._runner.start()
        except StartFailed:
            if self._hopeless is not None:
                raise self._hopeless from None
            raise

    async def stop(self) -> bool:
        """End all its processes; return false if there was none. Raises `OperationFailed`."""
        try:
            await self._runner.stop()
        except NotRunning:
            return False
        return True

    async def kill(self) -> bool:
        """As `stop`, without ceremony."""
        at_once = {"stop_signal": self._daemon.end_signal, "stop_timeout": _KILL_PATIENCE}
        return await self._stop_as(**at_once, last_signal="")

    async def kill_all(self, mark: str) -> None:
        """As `kill`, and whoever else has `mark` for his `DOMOGIK_RUN_ID`."""
        if not await self.kill():
            await self._table.fresh()  # who was stopped was looked for, and all others with him
        await _end_marked(self._processes, mark)

    async def stop_by(self, signal: str) -> bool:
        """As `stop`, by another signal than the usual one."""
        return await self._stop_as(stop_signal=signal)

    async def _stop_as(self, **changes: Any) -> bool:
        ordinary = self._runner.specification
        policy = attrs.evolve(ordinary.policy, **changes)
        self._runner.specification = attrs.evolve(ordinary, policy=policy)
        try:
            return await self.stop()
        finally:
            self._runner.specification = ordinary

    def release_processes(self) -> None:
        """Watch no longer; what runs goes on."""
        self._runner.release_processes()
        self._watch.stop()

    async def _prepare(self, program: Program) -> Program:
        try:
            prepared = await self._daemon.prepare(program)
        except ManagedDaemonError as error:
            self._hopeless = error
            raise
        self.argv = prepared.argv
        return prepared

    def _give_up(self, error: ManagedDaemonError) -> None:
        self._hopeless = error
        _ = self._runner.stop().addErrback(
            lambda failure: self._log.failure("giving up {kind}", failure, kind=self._daemon.kind)
        )

    def _changed(self, _id: str, _before: Status, after: Status) -> None:
        if after.state is not State.STARTING or after.pid is not None:
            self._watch.follow(after.state)


async def end_marked(reactor: IDaemonReactor, mark: str) -> None:
    """Kill whoever has `mark` for his `DOMOGIK_RUN_ID`; raises `StillRunning`."""
    await _end_marked(HostProcesses(reactor, ProcessTable(reactor)), mark)


async def _end_marked(processes: HostProcesses, mark: str) -> None:
    member = next(iter(processes.marked(mark)), None)
    if member is not None:
        await processes.end(Started(member, mark), exited=False, signal="KILL", timeout=0)
