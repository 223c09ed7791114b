"""The processes that belong to a component.

They are those of its session, its descendants, and every process with the mark of this start: in
its environment (`DOMOGIK_RUN_ID`), in a limit (`mark`) or by its control group (`cgroups`). So a
grandchild is found in a session of its own, after its parent has died, and with an empty
environment.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

from domogik.supervisor.processes.cgroups import run_ids_of
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity, Stat, read_stat
from domogik.supervisor.processes.mark import label_of, read_label

_SETTLE = 0.005  # seconds in which several callers of `fresh` get the same pass
_SHARE = 0.1  # seconds for which a pass is used without `fresh`
_SPACING = 4  # the pause after a pass in multiples of its duration: at most a fifth of a core
_CREDIT = 0.2  # seconds of pause that may be skipped, so that occasional stops never wait
_LISTINGS = 20
_MOST_THREADS = 32  # of a process whose children are read; more take too long
_RUN_ID = b"DOMOGIK_RUN_ID="


_Labels = dict[tuple[int, int], tuple[str, ...] | None]
#: what the last table of this program found, most of which is valid for the next one as well
_latest: tuple[str, _Labels] = "", {}


@attrs.frozen
class _Pass:
    """All running processes at one moment."""

    stats: Mapping[int, Stat]
    children: Mapping[int, list[int]]
    sessions: Mapping[int, list[int]]
    groups: Mapping[int, list[int]]
    labels: Mapping[str, list[int]]


@attrs.define(eq=False)
class ProcessTable:
    """The process table of this machine, read once for concurrent callers."""

    _reactor: IReactorTime
    _proc: str = "/proc"
    #: for how many seconds `fresh` waits for other callers
    _settle: float = _SETTLE
    #: the run ids and marks of each process, None while it shows none
    _labels: _Labels = attrs.field(init=False)
    _pass: _Pass | None = attrs.field(init=False, default=None)
    _begun: float = attrs.field(init=False, default=0.0)
    _rest_until: float = attrs.field(init=False, default=0.0)
    _waiting: list[Deferred[None]] = attrs.field(init=False, factory=list)
    _next_turn_waiters: list[Deferred[None]] = attrs.field(init=False, factory=list)

    @_labels.default
    def _latest_labels(self) -> _Labels:
        proc, labels = _latest
        return dict(labels) if proc == self._proc else {}

    def add_started(self, identity: ProcessIdentity, run_id: str) -> None:
        """Note the mark of a process just started, which /proc may not show yet."""
        self._labels[identity.pid, identity.start_ticks] = (run_id, label_of(run_id))

    def members(
        self,
        *,
        session: int,
        root: int | None = None,
        run_id: str = "",
        known: Iterable[ProcessIdentity] = (),
    ) -> frozenset[ProcessIdentity]:
        """Return the running processes of one component; never this process itself.

        `session` and `root` are pids of its first process, 0 for none. `known` were found before:
        those that still run are members, with their descendants; a pid that was reused matches
        nothing. The result is at most 0.1 s old; after `fresh` it is as new as that.
        """
        now = self._reactor.seconds()
        if self._pass is None or not 0 <= now - self._begun <= _SHARE:
            self._read()
        assert self._pass is not None
        found = self._pass
        pids: set[int] = set()
        reused: set[int] = set()
        for identity in known:
            stat = found.stats.get(identity.pid)
            if stat is not None:
                same = ProcessIdentity.from_stat(stat) == identity
                (pids if same else reused).add(identity.pid)
        # Session 0 is that of all processes that entered this container from outside.
        if session > 0 and session not in reused:
            pids.update(found.sessions.get(session, ()))
        if root is not None and root not in reused and root in found.stats:
            pids.add(root)
        if run_id:
            for label in (run_id, label_of(run_id)):
                pids.update(found.labels.get(label, ()))
        return frozenset(
            ProcessIdentity.from_stat(found.stats[pid]) for pid in _with_descendants(pids, found)
        )

    def groups_within(self, members: Iterable[ProcessIdentity]) -> frozenset[int]:
        """Return the process groups that contain only `members`, as of the last pass."""
        if self._pass is None:
            return frozenset()
        pids = {identity.pid for identity in members}
        return frozenset(
            group for group, held in self._pass.groups.items() if pids.issuperset(held)
        )

    def has_children(self, stat: Stat) -> bool:
        """Return False if it surely has no children now, from /proc/PID/task/TID/children."""
        if stat.threads > _MOST_THREADS:
            return True
        tasks = f"{self._proc}/{stat.pid}/task"
        try:
            threads = os.listdir(tasks) if stat.threads > 1 else [str(stat.pid)]
            return any(map(_has_children, (f"{tasks}/{thread}/children" for thread in threads)))
        except OSError:  # a kernel without that file, or one that has ended
            return True

    def fresh(self, *, settle: float | None = None) -> Deferred[None]:
        """Fire after a pass that began after this call; several callers share one.

        `settle` is for how many seconds other callers are awaited, by default as usual for this
        table; 0 is for this turn only. Fails with `OSError` if the process table cannot be read.
        """
        if not self._waiting:
            usual = self._settle if settle is None else settle
            pause = max(usual, self._rest_until - _CREDIT - self._reactor.seconds())
            self._reactor.callLater(pause, self._serve)
        waiter: Deferred[None] = Deferred()
        self._waiting.append(waiter)
        return waiter

    def next_turn(self) -> Deferred[None]:
        """Fire in the next turn, for all callers in this one."""
        if not self._next_turn_waiters:
            self._reactor.callLater(0, self._release)
        waiter: Deferred[None] = Deferred()
        self._next_turn_waiters.append(waiter)
        return waiter

    def _release(self) -> None:
        gathered, self._next_turn_waiters = self._next_turn_waiters, []
        _fire(gathered)

    def _serve(self) -> None:
        waiting, self._waiting = self._waiting, []
        try:
            self._read()
        except OSError:  # for instance, no descriptor is left
            _fire(waiting, Failure())
        else:
            _fire(waiting)

    def _read(self) -> None:
        """Read /proc, and list it again until no new process has appeared.

        A process that forks and ends before it is read would otherwise hide its child.
        """
        self._begun = self._reactor.seconds()
        seen: dict[int, Stat] = {}
        gone: set[int] = set()
        for _ in range(_LISTINGS):
            new = self._list() - seen.keys() - gone
            if not new:
                break
            for pid in sorted(new):  # a parent before its children, nearly always
                stat = self._stat(pid, seen)
                if stat is None:
                    gone.add(pid)
                else:
                    seen[pid] = stat
        self._pass = self._arrange(seen)
        end = self._reactor.seconds()
        self._rest_until = max(self._rest_until, end) + _SPACING * (end - self._begun)

    def _list(self) -> set[int]:
        return {int(name) for name in os.listdir(self._proc) if name.isdigit()}

    def _stat(self, pid: int, seen: Mapping[int, Stat]) -> Stat | None:
        try:
            stat = read_stat(pid, self._proc)
        except NoSuchProcess:
            return None
        if stat.is_gone or stat.is_kernel_thread:
            return None
        key = pid, stat.start_ticks
        if self._labels.get(key) is None:
            self._labels[key] = self._read_labels(stat, seen)
        return stat

    def _read_labels(self, stat: Stat, seen: Mapping[int, Stat]) -> tuple[str, ...] | None:
        """Return the marks of a process, or those of its parent if it has none."""
        run_id = self._run_id(stat.pid)
        carried = [label for label in (run_id, read_label(stat.pid, self._proc)) if label]
        carried.extend(run_ids_of(stat.pid, self._proc))
        parent = seen.get(stat.parent)
        if not carried and parent is not None and parent.pid not in (1, os.getpid()):
            carried.extend(self._labels.get((parent.pid, parent.start_ticks)) or ())
        return None if run_id is None and not carried else tuple(carried)

    def _run_id(self, pid: int) -> str | None:
        """Return the `DOMOGIK_RUN_ID` of its environment; empty if there is none or it is not
        readable.

        None if it has no environment: the kernel shows none during an exec, so the next pass reads
        again.
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
        by_label: defaultdict[str, list[int]] = defaultdict(list)
        labels = {}
        for pid, stat in stats.items():
            children[stat.parent].append(pid)
            sessions[stat.session].append(pid)
            groups[stat.group].append(pid)
            key = pid, stat.start_ticks
            labels[key] = self._labels[key]
            for label in set(labels[key] or ()):
                by_label[label].append(pid)
        self._labels = labels
        # a child of this process may be read before it executes its program, which shows its mark
        apart = {key: labels[key] for key in labels if stats[key[0]].parent != os.getpid()}
        global _latest  # noqa: PLW0603
        _latest = self._proc, apart
        return _Pass(stats, children, sessions, groups, by_label)


def _has_children(path: str) -> bool:
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return bool(os.read(descriptor, 1))
    finally:
        os.close(descriptor)


def _fire(waiters: Iterable[Deferred[None]], result: Failure | None = None) -> None:
    for waiter in waiters:
        if not waiter.called:  # given up meanwhile
            waiter.callback(result)  # a failure starts the errbacks


def _with_descendants(pids: Iterable[int], found: _Pass) -> set[int]:
    members: set[int] = set()
    unseen = list(pids)
    while unseen:
        pid = unseen.pop()
        # A manager that was started from a plugin's terminal does not count itself or its children.
        if pid not in members and pid not in (1, os.getpid()):
            members.add(pid)
            unseen.extend(found.children.get(pid, ()))
    return members
