"""Processes that a previous manager started."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from domogik.errors import OperationFailed, UnknownComponent
from domogik.supervisor.interfaces import Policy
from domogik.supervisor.processes.adoption import ProcessRecord, Records, mark_of_writer
from domogik.supervisor.processes.host import Processes, Started, session_of
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.processes.tree import StillRunning


@attrs.frozen
class LeftoverRun:
    """What is left of a start of the previous manager.

    `leader` is its first process, if that still exists; `member` any process that remains.
    """

    record: ProcessRecord | None
    leader: ProcessIdentity | None = None
    member: ProcessIdentity | None = None

    @property
    def goes_on(self) -> bool:
        """Whether its first process runs and is not being ended."""
        record = self.record
        return (
            self.leader is not None and record is not None and record.wanted and not record.ending
        )

    @property
    def lives(self) -> bool:
        return self.leader is not None or self.member is not None


@attrs.define(eq=False)
class Leftovers:
    """What is left of each start, until its component is configured or its processes have ended.

    `wanted` are the components that have to be started again.
    """

    _records: Records
    _processes: Processes
    wanted: frozenset[str] = frozenset()
    _found: dict[str, LeftoverRun] = attrs.field(factory=dict)

    def look(self, fifo: Callable[[str], Path], now: float) -> None:
        """Read the records and find the processes; `fifo` returns the output of a component."""
        for component, record in self._records.load():
            if record is None:
                record = _restored(component, fifo(component), now)
            self._found[component] = look_for(record, self._processes)
        self.wanted = frozenset(
            component
            for component, found in self._found.items()
            if found.record is None or (found.record.wanted and not found.goes_on)
        )

    def take(self, id: str, kept_elsewhere: ProcessRecord | None) -> LeftoverRun:
        """Return and remove what is left of a component.

        A record kept elsewhere is used if ours has no process.
        """
        found = self._found.pop(id, LeftoverRun(None))
        if kept_elsewhere is not None and not found.lives:
            return look_for(kept_elsewhere, self._processes)
        return found

    def orphans(self) -> tuple[str, ...]:
        """Return the components that still run and were not taken."""
        return tuple(id for id, found in self._found.items() if found.lives)

    async def stop(self, id: str) -> None:
        """End all processes of an orphan; raises `UnknownComponent`, `OperationFailed`."""
        found = self._found.get(id)
        process = None if found is None else found.leader or found.member
        if found is None or found.record is None or process is None:
            raise UnknownComponent(f"{id} has left nothing running")
        policy = Policy()
        try:
            await self._processes.end(
                Started(process, found.record.run_id),
                exited=found.leader is None,
                signal=policy.stop_signal,
                timeout=policy.stop_timeout,
            )
        except StillRunning as error:
            raise OperationFailed(f"{id}: {error}") from error
        self._found.pop(id, None)
        self._records.remove(id)

    def forget(self) -> None:
        """Remove the records that were not taken and have no process left."""
        for id, found in self._found.items():
            if not found.lives:
                self._records.remove(id)


def _restored(id: str, fifo: Path, now: float) -> ProcessRecord | None:
    """Return a record instead of an unreadable one, from a process that still writes to `fifo`."""
    run_id = mark_of_writer(fifo)
    return None if run_id is None else ProcessRecord(id, run_id, now)


def look_for(record: ProcessRecord | None, processes: Processes) -> LeftoverRun:
    """Return which processes of that start exist; blocks shortly."""
    if record is None:
        return LeftoverRun(None)
    if record.process is not None:
        leader = record.process if _is_there(record.process) else None
        members = processes.members(Started(record.process, record.run_id))
    else:
        members = processes.marked(record.run_id)
        leaders = [one for one in members if session_of(one) == one.pid]
        leader = min(leaders, key=lambda one: one.start_ticks, default=None)
    return LeftoverRun(record, leader, next(iter(members), None))


def _is_there(process: ProcessIdentity) -> bool:
    """Return whether it is in the process table; a zombie still has its status to report."""
    try:
        return ProcessIdentity.of(process.pid) == process
    except NoSuchProcess:
        return False
