"""Ends every process of a component."""

from __future__ import annotations

import contextlib
import functools
import os
import signal as signals
import time
from collections.abc import Callable, Collection, Iterable, Mapping

import attrs
from twisted.internet.defer import Deferred

from domogik.errors import DomogikError
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity, read_stat
from domogik.supervisor.processes.membership import ProcessTable
from domogik.supervisor.processes.pidfd import IProcessReactor, ProcessHandle


class StillRunning(DomogikError):
    """Processes survive SIGKILL: they hang in the kernel or may not be killed."""

    def __init__(self, pids: Iterable[int]) -> None:
        self.pids = tuple(sorted(pids))
        super().__init__(f"cannot be killed: {', '.join(f'process {pid}' for pid in self.pids)}")


_KILL_TIMEOUT_S = 5.0  # seconds after the first SIGKILL
_KILL_ROUND = 0.5
_LAST_SIGNAL_TIMEOUT_S = 5.0  # seconds after the last signal
_TICKS = os.sysconf("SC_CLK_TCK")


def stop_tree(
    reactor: IProcessReactor,
    table: ProcessTable,
    leader: ProcessIdentity,
    *,
    run_id: str,
    signal: int = signals.SIGTERM,
    timeout: float,
    known: Collection[ProcessIdentity] = (),
    leader_first: bool = False,
    last_signal: int | None = None,
    group_signalled: float = 0.0,
) -> Deferred[None]:
    """End every process of the component whose first process is, or was, `leader`.

    All get `signal` once in the next turn of the reactor (the group of the leader with one call);
    those found later get it when the leader is gone. After `timeout` seconds the rest is killed,
    and all that appear meanwhile. With `leader_first` the others get it when the leader is gone;
    `last_signal` is sent to a leader that remains after `timeout`, some seconds before it is
    killed.

    Fires when a pass over the process table that began after the last end finds none; zombies have
    ended. A leader whose group `signal_ahead` signalled, at `group_signalled`, is not signalled
    again. Fails with `StillRunning` about 5 s after the first SIGKILL without effect.
    """
    is_alone = leader_first and signal != signals.SIGKILL
    stop = _TreeStop(
        reactor=reactor,
        table=table,
        leader=leader,
        run_id=run_id,
        group_signalled=group_signalled,
        leader_first=is_alone,
        last_signal=last_signal,
    )
    return Deferred.fromCoroutine(stop.run(signal, reactor.seconds() + timeout, known))


def signal_ahead(
    table: ProcessTable, wanted: Mapping[ProcessIdentity, int]
) -> dict[ProcessIdentity, float]:
    """Signal the group of each leader that is our child and has no children, and no other.

    It is the first step of `stop_tree`, for many at once. Returns the signalled leaders with the
    time in seconds since the boot, which `stop_tree` takes.
    """
    # Ending processes slow the kernel down: all are looked up before the first is signalled.
    simple = [leader for leader in wanted if _is_simple(table, leader)]
    signalled = {}
    for leader in simple:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, wanted[leader])
            signalled[leader] = time.clock_gettime(time.CLOCK_BOOTTIME)
    return signalled


def _is_simple(table: ProcessTable, leader: ProcessIdentity) -> bool:
    """Return whether the leader may be signalled by pid, which only its parent may do safely."""
    try:
        stat = read_stat(leader.pid)
    except (NoSuchProcess, OSError):
        return False
    return (
        ProcessIdentity.from_stat(stat) == leader
        and stat.parent == os.getpid()
        and stat.group == stat.pid
        and stat.state != "T"
        and not table.has_children(stat)
    )


@attrs.define(eq=False, kw_only=True)
class _TreeStop:
    _reactor: IProcessReactor
    _table: ProcessTable
    _leader: ProcessIdentity
    _run_id: str
    _group_signalled: float  # seconds since the boot; 0: not yet
    _leader_first: bool
    _last_signal: int | None
    _handles: dict[ProcessIdentity, ProcessHandle] = attrs.field(init=False, factory=dict)
    #: the processes of the last pass, also those that ended before they could be opened: their
    #: children may have been started after it
    _found: frozenset[ProcessIdentity] = attrs.field(init=False, default=frozenset())
    _ended: Deferred[None] | None = attrs.field(init=False, default=None)
    _signalled: set[ProcessIdentity] = attrs.field(init=False, factory=set)

    async def run(self, signal: int, deadline: float, known: Collection[ProcessIdentity]) -> None:
        try:
            self._open(self._leader)
            if self._group_signalled:
                self._signalled.add(self._leader)
            else:
                await self._begin(signal, known)
            if not await self._end_gracefully(signal, deadline):
                await self._send_last_signal()
                await self._kill()
        finally:
            for handle in self._handles.values():
                handle.close()

    async def _begin(self, signal: int, known: Collection[ProcessIdentity]) -> None:
        leader = self._handles.get(self._leader)
        # Ending processes slow the kernel down: of many that stop together, all are looked up
        # before the first is signalled. Without children there are at most relatives by session or
        # environment, which are found later: simple programs are signalled before any pass.
        if known or leader is None or self._table.has_children(leader.stat):
            self._open_new(known)
        await self._table.next_turn()
        self._signal_first(signal)

    async def _end_gracefully(self, signal: int, deadline: float) -> bool:
        enough = self._all_have_ended if signal == signals.SIGKILL else self._leader_is_gone
        while await self._until(enough, deadline):
            await self._table.fresh()
            new = self._open_new()
            if not self._found:
                return True
            self._signal(list(self._handles) if self._leader_first else new, signal)
            self._leader_first = False
            enough = self._all_have_ended
        return False

    async def _send_last_signal(self) -> None:
        """Send `last_signal`, at which some servers clean up more than when they are killed."""
        leader = self._handles.get(self._leader)
        if self._last_signal is None or leader is None:
            return
        with contextlib.suppress(NoSuchProcess, PermissionError):
            leader.signal(self._last_signal)
        await self._until(self._leader_is_gone, self._reactor.seconds() + _LAST_SIGNAL_TIMEOUT_S)

    async def _kill(self) -> None:
        deadline = self._reactor.seconds() + _KILL_TIMEOUT_S
        await self._table.fresh()
        self._open_new()
        while self._found:
            # A group is killed at once, and no process in it can fork meanwhile.
            for group in self._table.groups_within(self._found):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signals.SIGKILL)
            self._signal(list(self._handles), signals.SIGKILL)
            now = self._reactor.seconds()
            if now >= deadline:
                raise StillRunning(identity.pid for identity in self._found)
            await self._until(self._all_have_ended, now + _KILL_ROUND)
            await self._table.fresh()
            self._open_new()

    def _open_new(self, known: Iterable[ProcessIdentity] = ()) -> list[ProcessIdentity]:
        """Find the processes, and open those that are not open yet."""
        self._found = self._table.members(
            session=self._leader.pid,
            root=self._leader.pid,
            run_id=self._run_id,
            known=[self._leader, *known, *self._handles],
        )
        return [identity for identity in self._found - self._handles.keys() if self._open(identity)]

    def _open(self, identity: ProcessIdentity) -> bool:
        try:
            self._handles[identity] = ProcessHandle.open(
                self._reactor, identity, functools.partial(self._has_ended, identity)
            )
        except NoSuchProcess:
            return False
        return True

    def _has_ended(self, identity: ProcessIdentity) -> None:
        del self._handles[identity]
        self._wake()

    def _wake(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.callback(None)

    def _signal_first(self, signal: int) -> None:
        """Signal the whole group of the leader, and processes outside of it."""
        leader = self._handles.get(self._leader)
        if self._leader_first:
            self._signal([] if leader is None else [self._leader], signal)
            return
        if leader is not None and leader.stat.group == self._leader.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._leader.pid, signal)
                self._group_signalled = time.clock_gettime(time.CLOCK_BOOTTIME)
                self._signalled = {
                    identity
                    for identity, handle in self._handles.items()
                    if handle.stat.group == self._leader.pid
                }
        self._signal(self._handles, signal)

    def _signal(self, identities: Iterable[ProcessIdentity], signal: int) -> None:
        """Signal each process once, since some programs exit without cleanup at a second signal.

        A stopped process also gets SIGCONT.
        """
        for identity in identities:
            handle = self._handles[identity]
            with contextlib.suppress(NoSuchProcess, PermissionError):
                if signal == signals.SIGKILL or not self._was_signalled(handle):
                    handle.signal(signal)
                if handle.stat.state == "T":
                    handle.signal(signals.SIGCONT)

    def _was_signalled(self, handle: ProcessHandle) -> bool:
        """Return whether it was in the group when that was signalled."""
        there_since = (handle.stat.start_ticks + 1) / _TICKS
        return handle.identity in self._signalled or (
            handle.stat.group == self._leader.pid and there_since < self._group_signalled
        )

    def _leader_is_gone(self) -> bool:
        return self._leader not in self._handles

    def _all_have_ended(self) -> bool:
        return not self._handles

    async def _until(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Wait until `condition` holds or `deadline`; return whether it held in time."""
        while self._reactor.seconds() < deadline:
            if condition():
                return True
            self._ended = Deferred()
            timer = self._reactor.callLater(deadline - self._reactor.seconds(), self._wake)
            try:
                await self._ended
            finally:
                if timer.active():
                    timer.cancel()
        return False
