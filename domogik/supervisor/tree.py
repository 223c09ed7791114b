"""Every process of a component: who they are, and how none of them is left.

A component's processes are those of its session, its descendants, and every process whose
environment holds this start's `DOMOGIK_RUN_ID`; so a grandchild is found in a session of its own
and after its parent has died. (Nobody finds one that did both and cleared its environment before
anybody looked: that needs a control group of its own.)
"""

from __future__ import annotations

import contextlib
import functools
import os
import signal as signals
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from domogik.errors import DomogikError
from domogik.supervisor.identity import NoSuchProcess, ProcessIdentity, Stat, read_stat
from domogik.supervisor.pidfd import IProcessReactor, ProcessHandle


class StillRunning(DomogikError):
    """Processes that even SIGKILL does not end: they hang in the kernel or are not ours to kill."""

    def __init__(self, pids: Iterable[int]) -> None:
        self.pids = tuple(sorted(pids))
        super().__init__(f"cannot be killed: {', '.join(f'process {pid}' for pid in self.pids)}")


_SETTLE = 0.005  # seconds in which several who ask for a fresh pass get the same one
_SHARE = 0.1  # seconds for which a pass serves who does not need a fresh one
_SPACING = 4  # the rest after a pass, in its own lengths: at most a fifth of a core
_CREDIT = 0.2  # seconds of rest that may be owed: who stops one program now and then never waits
_LISTINGS = 20
_RUN_ID = b"DOMOGIK_RUN_ID="


@attrs.frozen
class _Pass:
    """All living processes at one moment."""

    stats: Mapping[int, Stat]
    children: Mapping[int, list[int]]
    sessions: Mapping[int, list[int]]
    groups: Mapping[int, list[int]]
    run_ids: Mapping[str, list[int]]


@attrs.define(eq=False)
class ProcessTable:
    """The process table of this machine, read once for everybody who asks at the same time."""

    _reactor: IReactorTime
    _proc: str = "/proc"
    _environments: dict[tuple[int, int], str | None] = attrs.field(init=False, factory=dict)
    _pass: _Pass | None = attrs.field(init=False, default=None)
    _begun: float = attrs.field(init=False, default=0.0)
    _rest_until: float = attrs.field(init=False, default=0.0)
    _waiting: list[Deferred[None]] = attrs.field(init=False, factory=list)
    _gathered: list[Deferred[None]] = attrs.field(init=False, factory=list)

    def born(self, identity: ProcessIdentity, run_id: str) -> None:
        """A process just started carries this mark, even while /proc does not show it yet."""
        self._environments[identity.pid, identity.start_ticks] = run_id

    def members(
        self,
        *,
        session: int,
        root: int | None = None,
        run_id: str = "",
        known: Iterable[ProcessIdentity] = (),
    ) -> frozenset[ProcessIdentity]:
        """The living processes of one component; never this process itself.

        `session` and `root` are numbers of its first process, 0 for none. `known` were seen before:
        those that still live are members, with their descendants, and a number that has passed
        from one of them to a stranger finds nothing. What this returns is at most 0.1 s old; after
        `fresh` it is as new as that.
        """
        now = self._reactor.seconds()
        if self._pass is None or not 0 <= now - self._begun <= _SHARE:
            self._look()
        assert self._pass is not None
        found = self._pass
        pids: set[int] = set()
        strangers: set[int] = set()
        for identity in known:
            stat = found.stats.get(identity.pid)
            if stat is not None:
                same = ProcessIdentity.from_stat(stat) == identity
                (pids if same else strangers).add(identity.pid)
        # Session 0 is that of everybody who came into this container from outside.
        if session > 0 and session not in strangers:
            pids.update(found.sessions.get(session, ()))
        if root is not None and root not in strangers and root in found.stats:
            pids.add(root)
        if run_id:
            pids.update(found.run_ids.get(run_id, ()))
        return frozenset(
            ProcessIdentity.from_stat(found.stats[pid]) for pid in _with_descendants(pids, found)
        )

    def groups_within(self, members: Iterable[ProcessIdentity]) -> frozenset[int]:
        """The process groups that hold nobody but `members`, as of the last pass."""
        if self._pass is None:
            return frozenset()
        pids = {identity.pid for identity in members}
        return frozenset(
            group for group, held in self._pass.groups.items() if pids.issuperset(held)
        )

    def has_children(self, stat: Stat) -> bool:
        """False if it surely has none now: one look at /proc/PID/task/TID/children (proc(5))."""
        if stat.threads > 1:
            return True
        try:
            path = f"{self._proc}/{stat.pid}/task/{stat.pid}/children"
            descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # a kernel without that file, or a process that has ended
            return True
        try:
            return bool(os.read(descriptor, 1))
        except OSError:
            return True
        finally:
            os.close(descriptor)

    def fresh(self, *, settle: float = _SETTLE) -> Deferred[None]:
        """Fires right after a pass that began after this call; several callers share one.

        `settle`: for how many seconds others who ask are waited for; with 0, for this turn only.
        """
        if not self._waiting:
            pause = max(settle, self._rest_until - _CREDIT - self._reactor.seconds())
            self._reactor.callLater(pause, self._serve)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def together(self) -> Deferred[None]:
        """Fires in the next turn, for everybody who asked in this one."""
        if not self._gathered:
            self._reactor.callLater(0, self._release)
        waiter: Deferred[None] = Deferred()
        self._gathered.append(waiter)
        return waiter

    def _release(self) -> None:
        gathered, self._gathered = self._gathered, []
        _fire(gathered)

    def _serve(self) -> None:
        waiting, self._waiting = self._waiting, []
        self._look()
        _fire(waiting)

    def _look(self) -> None:
        """Read all of /proc, and list it again until nobody new has appeared.

        Who forks and ends between the list and the look at him would otherwise hide his child.
        """
        self._begun = self._reactor.seconds()
        seen: dict[int, Stat] = {}
        gone: set[int] = set()
        for _ in range(_LISTINGS):
            new = self._list() - seen.keys() - gone
            if not new:
                break
            for pid in new:
                stat = self._stat(pid)
                if stat is None:
                    gone.add(pid)
                else:
                    seen[pid] = stat
        self._pass = self._arrange(seen)
        end = self._reactor.seconds()
        self._rest_until = max(self._rest_until, end) + _SPACING * (end - self._begun)

    def _list(self) -> set[int]:
        return {int(name) for name in os.listdir(self._proc) if name.isdigit()}

    def _stat(self, pid: int) -> Stat | None:
        try:
            stat = read_stat(pid, self._proc)
        except NoSuchProcess:
            return None
        if stat.is_gone or stat.is_kernel_thread:
            return None
        key = pid, stat.start_ticks
        if self._environments.get(key) is None:
            self._environments[key] = self._run_id(pid)
        return stat

    def _run_id(self, pid: int) -> str | None:
        """The `DOMOGIK_RUN_ID` it was started with; empty if none, or not ours to see.

        None while it has no environment: for a moment within every exec the kernel shows none, so
        the next pass looks again.
        """
        try:
            with open(f"{self._proc}/{pid}/environ", "rb", buffering=0) as file:
                environment = file.read()
        except OSError:
            return ""
        if not environment:
            return None
        for entry in environment.split(b"\0") if _RUN_ID in environment else ():
            if entry.startswith(_RUN_ID):
                return os.fsdecode(entry.removeprefix(_RUN_ID))
        return ""

    def _arrange(self, stats: Mapping[int, Stat]) -> _Pass:
        children: defaultdict[int, list[int]] = defaultdict(list)
        sessions: defaultdict[int, list[int]] = defaultdict(list)
        groups: defaultdict[int, list[int]] = defaultdict(list)
        run_ids: defaultdict[str, list[int]] = defaultdict(list)
        environments = {}
        for pid, stat in stats.items():
            children[stat.parent].append(pid)
            sessions[stat.session].append(pid)
            groups[stat.group].append(pid)
            key = pid, stat.start_ticks
            environments[key] = run_id = self._environments[key]
            if run_id:
                run_ids[run_id].append(pid)
        self._environments = environments
        return _Pass(stats, children, sessions, groups, run_ids)


def _fire(waiters: Iterable[Deferred[None]]) -> None:
    for waiter in waiters:
        if not waiter.called:  # given up meanwhile
            waiter.callback(None)


def _with_descendants(pids: Iterable[int], found: _Pass) -> set[int]:
    members: set[int] = set()
    unseen = list(pids)
    while unseen:
        pid = unseen.pop()
        # A manager that was started from a plugin's terminal must not count itself, or its own.
        if pid not in members and pid not in (1, os.getpid()):
            members.add(pid)
            unseen.extend(found.children.get(pid, ()))
    return members


_KILL_PATIENCE = 5.0  # seconds until who does not die of SIGKILL is given up
_KILL_ROUND = 0.5
_LAST_PATIENCE = 5.0  # seconds for a leader who was given his last signal
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

    All that are there get `signal` in the next turn of the reactor (one signal each: the whole
    group at once, and who is elsewhere); who comes later gets it when the leader is gone. Whoever
    is left after `timeout` seconds is killed, with everybody who appears meanwhile. With
    `leader_first` the others get it when the leader is gone; `last_signal` is for a leader who is
    still there after `timeout`, some seconds before he is killed too. Fires when a pass over the
    process table that began after the last of them had ended finds nobody; zombies count as ended.
    Whom `signal_ahead` signalled at `group_signalled` is not signalled again. Fails with
    `StillRunning` about 5 s after the first SIGKILL without effect.
    """
    is_alone = leader_first and signal != signals.SIGKILL
    stop = _TreeStop(reactor, table, leader, run_id, group_signalled, is_alone, last_signal)
    return Deferred.fromCoroutine(stop.run(signal, reactor.seconds() + timeout, known))


def signal_ahead(
    table: ProcessTable, wanted: Mapping[ProcessIdentity, int]
) -> dict[ProcessIdentity, float]:
    """Signal the group of each leader that is a child of ours and has no children, and of no other.

    What `stop_tree` does first, for many at once and without anything between two signals. The
    answer says who was signalled, and when, in seconds since the boot; `stop_tree` takes it.
    """
    # The dying make the kernel slow to answer: all are looked up before the first is signalled.
    simple = [leader for leader in wanted if _is_simple(table, leader)]
    signalled = {}
    for leader in simple:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(leader.pid, wanted[leader])
            signalled[leader] = time.clock_gettime(time.CLOCK_BOOTTIME)
    return signalled


def _is_simple(table: ProcessTable, leader: ProcessIdentity) -> bool:
    """Only its own parent may signal it by number, which nobody else gets before we collect it."""
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


@attrs.define(eq=False)
class _TreeStop:
    _reactor: IProcessReactor
    _table: ProcessTable
    _leader: ProcessIdentity
    _run_id: str
    _group_signalled: float  # seconds since the boot; 0: not yet
    _leader_first: bool
    _last_signal: int | None
    _held: dict[ProcessIdentity, ProcessHandle] = attrs.field(init=False, factory=dict)
    #: whom the last look found, also those that were gone before they could be held: their
    #: children may have been born after it
    _found: frozenset[ProcessIdentity] = attrs.field(init=False, default=frozenset())
    _ended: Deferred[None] | None = attrs.field(init=False, default=None)
    _heard: set[ProcessIdentity] = attrs.field(init=False, factory=set)

    async def run(self, signal: int, deadline: float, known: Collection[ProcessIdentity]) -> None:
        try:
            self._hold(self._leader)
            if self._group_signalled:
                self._heard.add(self._leader)
            else:
                await self._begin(signal, known)
            if not await self._end_politely(signal, deadline):
                await self._warn_the_leader()
                await self._kill()
        finally:
            for handle in self._held.values():
                handle.close()

    async def _begin(self, signal: int, known: Collection[ProcessIdentity]) -> None:
        leader = self._held.get(self._leader)
        # The dying make the kernel slow to answer: of many who stop together, all are looked up
        # before the first is signalled.
        # Who has no children has at most relatives by session or environment, who are found just
        # as well later: a hundred simple programs are signalled before anybody looks.
        if known or leader is None or self._table.has_children(leader.stat):
            self._hold_newcomers(known)
        await self._table.together()
        self._signal_first(signal)

    async def _end_politely(self, signal: int, deadline: float) -> bool:
        enough = self._leader_is_gone
        while await self._until(enough, deadline):
            await self._table.fresh()
            newcomers = self._hold_newcomers()
            if not self._found:
                return True
            self._signal(list(self._held) if self._leader_first else newcomers, signal)
            self._leader_first = False
            enough = self._nobody_is_left
        return False

    async def _warn_the_leader(self) -> None:
        """Some servers leave less behind at a signal that they hear than when they are killed."""
        leader = self._held.get(self._leader)
        if self._last_signal is None or leader is None:
            return
        with contextlib.suppress(NoSuchProcess, PermissionError):
            leader.signal(self._last_signal)
        await self._until(self._leader_is_gone, self._reactor.seconds() + _LAST_PATIENCE)

    async def _kill(self) -> None:
        give_up = self._reactor.seconds() + _KILL_PATIENCE
        await self._table.fresh()
        self._hold_newcomers()
        while self._found:
            # A group dies at once, and nobody in it can fork away from the signal.
            for group in self._table.groups_within(self._found):
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(group, signals.SIGKILL)
            self._signal(list(self._held), signals.SIGKILL)
            now = self._reactor.seconds()
            if now >= give_up:
                raise StillRunning(identity.pid for identity in self._found)
            await self._until(self._nobody_is_left, now + _KILL_ROUND)
            await self._table.fresh()
            self._hold_newcomers()

    def _hold_newcomers(self, known: Iterable[ProcessIdentity] = ()) -> list[ProcessIdentity]:
        """Look who is there, and hold those we did not hold yet."""
        self._found = self._table.members(
            session=self._leader.pid,
            root=self._leader.pid,
            run_id=self._run_id,
            known=[self._leader, *known, *self._held],
        )
        return [identity for identity in self._found - self._held.keys() if self._hold(identity)]

    def _hold(self, identity: ProcessIdentity) -> bool:
        try:
            self._held[identity] = ProcessHandle.open(
                self._reactor, identity, functools.partial(self._has_ended, identity)
            )
        except NoSuchProcess:
            return False
        return True

    def _has_ended(self, identity: ProcessIdentity) -> None:
        del self._held[identity]
        self._wake()

    def _wake(self) -> None:
        ended, self._ended = self._ended, None
        if ended is not None:
            ended.callback(None)

    def _signal_first(self, signal: int) -> None:
        """To the whole group of the leader at once, and to who is elsewhere."""
        leader = self._held.get(self._leader)
        if self._leader_first:
            self._signal([] if leader is None else [self._leader], signal)
            return
        if leader is not None and leader.stat.group == self._leader.pid:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._leader.pid, signal)
                self._group_signalled = time.clock_gettime(time.CLOCK_BOOTTIME)
                self._heard = {
                    identity
                    for identity, handle in self._held.items()
                    if handle.stat.group == self._leader.pid
                }
        self._signal(self._held, signal)

    def _signal(self, identities: Iterable[ProcessIdentity], signal: int) -> None:
        """One signal for everybody: twice means "now, without tidying up" to some programs.

        Who was stopped could not hear it: SIGCONT comes after.
        """
        for identity in identities:
            handle = self._held[identity]
            with contextlib.suppress(NoSuchProcess, PermissionError):
                if signal == signals.SIGKILL or not self._has_heard(handle):
                    handle.signal(signal)
                if handle.stat.state == "T":
                    handle.signal(signals.SIGCONT)

    def _has_heard(self, handle: ProcessHandle) -> bool:
        """Whether it was there, and in the group, when that was signalled."""
        there_since = (handle.stat.start_ticks + 1) / _TICKS
        return handle.identity in self._heard or (
            handle.stat.group == self._leader.pid and there_since < self._group_signalled
        )

    def _leader_is_gone(self) -> bool:
        return self._leader not in self._held

    def _nobody_is_left(self) -> bool:
        return not self._held

    async def _until(self, condition: Callable[[], bool], deadline: float) -> bool:
        """Wait until `condition` holds, but not beyond `deadline`; whether it did in time."""
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
