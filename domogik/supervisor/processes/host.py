"""The processes of this machine, as a runner uses them."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProcessProtocol

from domogik.supervisor.interfaces import Program
from domogik.supervisor.processes.confinement import Confinement
from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.supervisor.processes.membership import ProcessTable
from domogik.supervisor.processes.pidfd import IProcessReactor
from domogik.supervisor.processes.spawn import ProcessTransport, adopt, signal_number, spawn
from domogik.supervisor.processes.tree import signal_ahead, stop_tree

_ORPHAN_TIMEOUT_S = (
    0.3  # seconds for processes that their leader, which has ended, would have ended
)


@attrs.frozen
class Started:
    """One start: its first process, and the mark of all its processes."""

    leader: ProcessIdentity
    run_id: str


def session_of(process: ProcessIdentity) -> int | None:
    """Return the number of its session; None if it has ended."""
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


class Watched(Protocol):
    """The first process of a start, while it is watched."""

    @property
    def identity(self) -> ProcessIdentity:
        """The identity of the process."""
        ...

    def detach(self) -> None:
        """Stop watching; the process continues."""


class Processes(Protocol):
    """The interface to the processes of this machine."""

    def spawn(self, protocol: IProcessProtocol, program: Program, output: int) -> Watched:
        """Start a program; `processExited` is called at its end, never before this returns.

        Raises `CannotStart`.
        """
        ...

    def adopt(self, protocol: IProcessProtocol, identity: ProcessIdentity) -> Watched:
        """Watch a process that is running already; raises `NoSuchProcess`."""
        ...

    def announce(self, ends: Iterable[tuple[Started, str]]) -> None:
        """Signal many that are about to be ended; `end` follows in this turn.

        A process that is signalled now is not signalled again.
        """
        ...

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
        """End all processes of a start; fires when none is left.

        `exited`: its first process is known to have ended. `signal` is a name; after `timeout`
        seconds the rest is killed. `leader_first` and `last_signal` are those of a `Policy`. Fails
        with `StillRunning`.
        """
        ...

    def marked(self, run_id: str) -> frozenset[ProcessIdentity]:
        """Return the running processes with this mark in their environment, and their
        descendants."""
        ...

    def members(self, started: Started) -> frozenset[ProcessIdentity]:
        """Return the running processes of that start."""
        ...

    def successor(
        self, started: Started, session: int, *, apart: bool
    ) -> Deferred[ProcessIdentity | None]:
        """Return the process that continues after the leader has ended, or None.

        It is the oldest outside of `session`, as a daemonized program is; without one, unless it
        has to be `apart`, the oldest.
        """
        ...


@attrs.define(eq=False)
class HostProcesses:
    """The processes of this machine."""

    _reactor: IProcessReactor
    _table: ProcessTable
    _confinement: Confinement = attrs.field(factory=Confinement)
    #: the result of `signal_ahead`
    _ahead: dict[ProcessIdentity, float] = attrs.field(init=False, factory=dict)

    def spawn(self, protocol: IProcessProtocol, program: Program, output: int) -> ProcessTransport:
        transport = spawn(self._reactor, protocol, program, output=output)
        if run_id := program.environment.get("DOMOGIK_RUN_ID"):
            self._table.add_started(transport.identity, run_id)
            self._confinement.groups.enter(run_id, transport.identity.pid)
        return transport

    def adopt(self, protocol: IProcessProtocol, identity: ProcessIdentity) -> ProcessTransport:
        return adopt(self._reactor, protocol, identity)

    def announce(self, ends: Iterable[tuple[Started, str]]) -> None:
        self._ahead = signal_ahead(
            self._table, {started.leader: signal_number(signal) for started, signal in ends}
        )

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
        first = signal_number(signal)
        last = signal_number(last_signal) if last_signal else None
        return Deferred.fromCoroutine(
            self._end(
                started,
                exited=exited,
                signal=first,
                timeout_s=timeout,
                leader_first=leader_first,
                last_signal=last,
            )
        )

    async def _end(
        self,
        started: Started,
        *,
        exited: bool,
        signal: int,
        timeout_s: float,
        leader_first: bool,
        last_signal: int | None,
    ) -> None:
        if exited:
            # The usual case after a crash: one pass shows that no process is left.
            await self._table.fresh(settle=0)
            if not self.members(started):
                self._confinement.groups.remove(started.run_id)
                return
        # the kernel may know of its end before it is reported here
        if leader_first and (exited or not started.leader.is_running()):
            # the others obey only their leader, like an Apache's workers
            timeout_s = min(timeout_s, _ORPHAN_TIMEOUT_S)
        await stop_tree(
            self._reactor,
            self._table,
            started.leader,
            run_id=started.run_id,
            signal=signal,
            timeout=timeout_s,
            leader_first=leader_first,
            last_signal=last_signal,
            group_signalled=self._ahead.pop(started.leader, 0.0),
        )
        self._confinement.groups.remove(started.run_id)

    def marked(self, run_id: str) -> frozenset[ProcessIdentity]:
        return self._table.members(session=0, run_id=run_id)

    def members(self, started: Started) -> frozenset[ProcessIdentity]:
        return self._table.members(
            session=started.leader.pid,
            root=started.leader.pid,
            run_id=started.run_id,
            known=[started.leader],
        )

    def successor(
        self, started: Started, session: int, *, apart: bool
    ) -> Deferred[ProcessIdentity | None]:
        def oldest(_: None) -> ProcessIdentity | None:
            members = self.members(started) - {started.leader}
            outside = {one for one in members if session_of(one) not in (session, None)}
            return min(
                outside or (() if apart else members),
                key=lambda one: (one.start_ticks, one.pid),
                default=None,
            )

        return self._table.fresh(settle=0).addCallback(oldest)
