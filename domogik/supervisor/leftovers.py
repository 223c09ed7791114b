"""What is left of a start of the manager before us?"""

from __future__ import annotations

from pathlib import Path

import attrs

from domogik.supervisor.adoption import Record, mark_of_writer
from domogik.supervisor.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.processes import Processes, Started, session_of


@attrs.frozen
class Found:
    """What is left of a start of the manager before us.

    `leader` is its first process, if that is still in the process table; `member` somebody who is
    there though the first one is gone.
    """

    record: Record | None
    leader: ProcessIdentity | None = None
    member: ProcessIdentity | None = None

    @property
    def goes_on(self) -> bool:
        """Whether its first process is there and is not being ended."""
        record = self.record
        return (
            self.leader is not None and record is not None and record.wanted and not record.ending
        )

    @property
    def lives(self) -> bool:
        return self.leader is not None or self.member is not None


def restored(id: str, fifo: Path, now: float) -> Record | None:
    """In place of a record that cannot be read: who it spoke of may hold the output still."""
    run_id = mark_of_writer(fifo)
    return None if run_id is None else Record(id, run_id, now)


def look_for(record: Record | None, processes: Processes) -> Found:
    """Who of that start is there; blocks for a moment."""
    if record is None:
        return Found(None)
    if record.process is not None:
        leader = record.process if _is_there(record.process) else None
        members = processes.members(Started(record.process, record.run_id))
    else:
        members = processes.marked(record.run_id)
        leaders = [one for one in members if session_of(one) == one.pid]
        leader = min(leaders, key=lambda one: one.start_ticks, default=None)
    return Found(record, leader, next(iter(members), None))


def _is_there(process: ProcessIdentity) -> bool:
    """In the process table: one that has just ended still has its status to tell."""
    try:
        return ProcessIdentity.of(process.pid) == process
    except NoSuchProcess:
        return False
