"""What a runner asks of the machine: start a process, take one over, end all that belongs to it."""

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

_ORPHANS = 0.3  # seconds for those whose leader would have ended them, and ended himself


@attrs.frozen
class Started:
    """One start: its first process, and the mark that all its processes carry."""

    leader: ProcessIdentity
    run_id: str


def session_of(process: ProcessIdentity) -> int | None:
    """The number of its session; None when it has ended."""
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return None


class Watched(Protocol):
    """The first process of a start, as long as somebody watches it."""

    @property
    def identity(self) -> ProcessIdentity:
        """Which process it is."""
        ...

    def detach(self) -> None:
        """Watch no longer; the process goes on."""


class Processes(Protocol):
    """The processes of this machine, as far as a runner is concerned."""

    def spawn(self, protocol: IProcessProtocol, program: Program, output: int) -> Watched:
        """Start it; its end is told by `processExited`, never before this returns.

        Raises `CannotStart`.
        """
        ...

    def adopt(self, protocol: IProcessProtocol, identity: ProcessIdentity) -> Watched:
        """The same for a process that is there already; raises `NoSuchProcess`."""
        ...

    def announce(self, ends: Iterable[tuple[Started, str]]) -> None:
        """Many are about to be ended, each with that signal; `end` follows in this same turn.

        So all can be signalled first and waited for after. Who hears it now does not hear it again.
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
        """End all that belongs to a start; fires when nobody is left.

        `exited`: its first process is known to have ended. `signal` is a name, and who is left
        after `timeout` seconds is killed. `leader_first` and `last_signal` are those of a `Policy`.
        Fails with `StillRunning`.
        """
        ...

    def marked(self, run_id: str) -> frozenset[ProcessIdentity]:
        """The living processes with this mark in their environment, and their descendants."""
        ...

    def members(self, started: Started) -> frozenset[ProcessIdentity]:
        """The living processes of that start."""
        ...

    def successor(
        self, started: Started, session: int, *, apart: bool
    ) -> Deferred[ProcessIdentity | None]:
        """The process that goes on when the leader of that start has ended; None if none is left.

        The oldest outside of `session`, as a program that has put itself into the background is;
        else, unless it has to be `apart`, the oldest.
        """
        ...


@attrs.define(eq=False)
class HostProcesses:
    """The real ones."""

    _reactor: IProcessReactor
    _table: ProcessTable
    _confinement: Confinement = attrs.field(factory=Confinement)
    #: who was signalled, and when, as `signal_ahead` says it
    _ahead: dict[ProcessIdentity, float] = attrs.field(init=False, factory=dict)

    def spawn(self, protocol: IProcessProtocol, program: Program, output: int) -> ProcessTransport:
        transport = spawn(self._reactor, protocol, program, output=output)
        if run_id := program.environment.get("DOMOGIK_RUN_ID"):
            self._table.born(transport.identity, run_id)
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
                patience=timeout,
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
        patience: float,
        leader_first: bool,
        last_signal: int | None,
    ) -> None:
        if exited:
            # The usual case after a crash: one look shows that nobody is left, and that is all.
            await self._table.fresh(settle=0)
            if not self.members(started):
                self._confinement.groups.remove(started.run_id)
                return
        # the kernel may know of its end before it is told here
        if leader_first and (exited or not started.leader.is_running()):
            # the others heed nothing but their leader, as an Apache's workers
            patience = min(patience, _ORPHANS)
        await stop_tree(
            self._reactor,
            self._table,
            started.leader,
            run_id=started.run_id,
            signal=signal,
            timeout=patience,
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
