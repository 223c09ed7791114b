"""Runs a command with a time limit and bounded output, and leaves no process behind."""

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
    """The result of a command. `output` includes standard error, up to the limit."""

    status: Exit
    output: bytes
    timed_out: bool
    truncated: bool

    @property
    def succeeded(self) -> bool:
        """Whether it ended in time and with exit status 0."""
        return self.status.code == 0 and not self.timed_out


class RunCommand(Protocol):
    """The signature of `run` without its reactor."""

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
    """Run a command; fires when it has ended. After `timeout` seconds its processes are killed.

    Output beyond `limit_bytes` is dropped. Background processes that it leaves after a timely end
    are not ended. By default it gets this process's environment, `/` and user. Fails with
    `CannotStart`, and with `StillRunning` if it survives being killed. Cancelling kills it.
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
    reactor: IProcessReactor, program: Program, timeout_s: float, limit_bytes: int
) -> Completed:
    read_end, write_end = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read_end, False)
    output = _Output(reactor, read_end, limit_bytes)
    protocol = _Ending()
    try:
        try:
            transport = spawn(reactor, protocol, program, output=write_end)
        finally:
            os.close(write_end)
        reactor.addReader(output)
        timed_out = False
        timer = reactor.callLater(timeout_s, protocol.too_late)
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
        """Read what is in the pipe now, without waiting for other writers."""
        left = _READ
        while left > 0 and (taken := self._read()):
            left -= taken

    def _read(self) -> int:
        try:
            data = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return 0
        space = max(0, self._limit - len(self.data))
        self.data += data[:space]
        self.truncated = self.truncated or len(data) > space
        return len(data)

    def close(self) -> None:
        """Close the pipe."""
        if self._descriptor != -1:
            self._reactor.removeReader(self)
            os.close(self._descriptor)
            self._descriptor = -1

    def connectionLost(self, reason: Failure) -> None:
        """The reactor has already removed the reader."""
