"""Run one command to its end: with a time limit, bounded output, and nobody left behind."""

from __future__ import annotations

import os
import signal
from collections.abc import Awaitable, Mapping, Sequence
from pathlib import Path
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReadDescriptor
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from zope.interface import implementer

from domogik.supervisor.interfaces import Exit, Program, User
from domogik.supervisor.processes.membership import ProcessTable
from domogik.supervisor.processes.pidfd import IProcessReactor
from domogik.supervisor.processes.spawn import exit_of, spawn
from domogik.supervisor.processes.tree import stop_tree

_READ = 65536  # bytes at a time, and what a pipe holds


@attrs.frozen
class Completed:
    """How a command went. `output` is what it said, standard error included, up to the limit."""

    status: Exit
    output: bytes
    timed_out: bool
    truncated: bool

    @property
    def succeeded(self) -> bool:
        """In time and with exit status 0."""
        return self.status.code == 0 and not self.timed_out


class RunCommand(Protocol):
    """`run` with its reactor, or what stands for it in a test."""

    def __call__(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        limit_bytes: int,
        environment: Mapping[str, str] | None = None,
    ) -> Awaitable[Completed]: ...


def run(
    reactor: IProcessReactor,
    argv: Sequence[str],
    *,
    timeout: float,
    limit_bytes: int,
    environment: Mapping[str, str] | None = None,
    directory: Path | None = None,
    user: User | None = None,
) -> Deferred[Completed]:
    """Fires when the command has ended; after `timeout` seconds its processes are killed.

    What it says beyond `limit_bytes` is dropped. What it leaves running in the background after a
    timely end is left alone. By default it gets this process's environment, `/` and user. Fails
    with `CannotStart`, and with `StillRunning` when it outlives being killed. Cancelling kills it.
    """
    program = Program(
        argv=tuple(argv),
        environment=dict(os.environ) if environment is None else environment,
        directory=Path("/") if directory is None else directory,
        user=user,
        marks_at_birth=False,
    )
    return Deferred.fromCoroutine(_run(reactor, program, timeout, limit_bytes))


async def _run(
    reactor: IProcessReactor, program: Program, patience: float, limit_bytes: int
) -> Completed:
    ours, its = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(ours, False)
    output = _Output(reactor, ours, limit_bytes)
    protocol = _Ending()
    try:
        try:
            transport = spawn(reactor, protocol, program, output=its)
        finally:
            os.close(its)
        reactor.addReader(output)
        timed_out = False
        timer = reactor.callLater(patience, protocol.too_late)
        try:
            await protocol.ended_or_late
        finally:
            if timer.active():
                timer.cancel()
            if transport.exit is None:
                timed_out = True
                await stop_tree(
                    reactor,
                    ProcessTable(reactor),
                    transport.identity,
                    run_id="",
                    signal=signal.SIGKILL,
                    timeout=0,
                )
        output.drain()
        return Completed(await protocol.exit, bytes(output.data), timed_out, output.truncated)
    finally:
        output.close()


class _Ending(ProcessProtocol):
    def __init__(self) -> None:
        self.exit: Deferred[Exit] = Deferred()
        self.ended_or_late: Deferred[None] = Deferred()

    def too_late(self) -> None:
        self.ended_or_late.callback(None)

    def processExited(self, reason: Failure) -> None:
        self.exit.callback(exit_of(reason))
        if not self.ended_or_late.called:
            self.ended_or_late.callback(None)


@implementer(IReadDescriptor)
@attrs.define(eq=False)
class _Output:
    """The read end of a command's output; keeps the first `limit` bytes."""

    _reactor: IProcessReactor
    _descriptor: int
    _limit: int
    data: bytearray = attrs.field(init=False, factory=bytearray)
    truncated: bool = attrs.field(init=False, default=False)

    def fileno(self) -> int:
        return self._descriptor

    def logPrefix(self) -> str:
        return "command"

    def doRead(self) -> None:
        if self._read() == 0:
            self._reactor.removeReader(self)

    def drain(self) -> None:
        """Take what is in the pipe now, but do not wait for who may still hold it."""
        left = _READ
        while left > 0 and (taken := self._read()):
            left -= taken

    def _read(self) -> int:
        try:
            data = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return 0
        room = max(0, self._limit - len(self.data))
        self.data += data[:room]
        self.truncated = self.truncated or len(data) > room
        return len(data)

    def close(self) -> None:
        """Let go of the pipe."""
        if self._descriptor != -1:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1

    def connectionLost(self, reason: Failure) -> None:
        """Nobody holds the other end any more: the reactor has let go of ours already."""
