"""Who belongs to a component?"""

from __future__ import annotations

import os
from pathlib import Path

import attrs
import pytest
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from domogik.supervisor.processes.identity import ProcessIdentity, current_boot
from domogik.supervisor.processes.membership import ProcessTable
from domogik.supervisor.processes.tree import StillRunning, stop_tree


@attrs.define
class Machine:
    """A /proc of our own making."""

    proc: Path
    clock: Clock = attrs.field(factory=Clock)

    def has(
        self,
        pid: int,
        *,
        parent: int = 1,
        session: int,
        group: int | None = None,
        run_id: str = "",
        state: str = "S",
        started: int = 100,
        flags: int = 0,
    ) -> ProcessIdentity:
        directory = self.proc / str(pid)
        directory.mkdir(exist_ok=True)
        fields = [state, parent, group or session, session, 0, -1, flags, 0, 0, 0, 0, 5, 6]
        fields += [0, 0, 20, 0, 1, 0, started, 0, 0]
        (directory / "stat").write_text(f"{pid} (x y) {' '.join(map(str, fields))}\n")
        mark = f"DOMOGIK_RUN_ID={run_id}\0" if run_id else ""
        (directory / "environ").write_text(f"HOME=/\0{mark}LANG=C\0")
        return ProcessIdentity(pid, started, current_boot())

    def loses(self, pid: int) -> None:
        for file in (self.proc / str(pid)).iterdir():
            file.unlink()
        (self.proc / str(pid)).rmdir()

    def table(self) -> ProcessTable:
        return ProcessTable(self.clock, str(self.proc))


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.has(1, parent=0, session=1)
    made.has(50, session=50)  # a stranger
    (tmp_path / "meminfo").touch()
    return made


def test_who_shares_the_session_belongs(machine: Machine) -> None:
    leader = machine.has(100, session=100)
    orphan = machine.has(101, session=100)
    assert machine.table().members(session=100, root=100) == {leader, orphan}


def test_descendants_in_sessions_of_their_own_belong(machine: Machine) -> None:
    leader = machine.has(100, session=100)
    child = machine.has(101, parent=100, session=101)
    grandchild = machine.has(102, parent=101, session=102)
    assert machine.table().members(session=100, root=100) == {leader, child, grandchild}


def test_who_carries_the_mark_of_this_start_belongs(machine: Machine) -> None:
    daemon = machine.has(101, session=101, run_id="abc")
    machine.has(102, session=102, run_id="abcd")
    assert machine.table().members(session=100, root=100, run_id="abc") == {daemon}


def test_descendants_of_whoever_belongs_belong(machine: Machine) -> None:
    daemon = machine.has(101, session=101, run_id="abc")
    child = machine.has(102, parent=101, session=102)
    assert machine.table().members(session=100, run_id="abc") == {daemon, child}


def test_zombies_are_gone(machine: Machine) -> None:
    machine.has(100, session=100, state="Z")
    assert machine.table().members(session=100, root=100) == frozenset()


def test_an_unmarked_start_does_not_claim_the_unmarked(machine: Machine) -> None:
    machine.has(100, session=100)
    assert machine.table().members(session=777, run_id="") == frozenset()


def test_nobody_is_claimed_by_session_nought(machine: Machine) -> None:
    machine.has(100, session=0)
    assert machine.table().members(session=0) == frozenset()


def test_kernel_threads_are_nobodys(machine: Machine) -> None:
    machine.has(100, session=100, flags=0x00200000)
    assert machine.table().members(session=100) == frozenset()


def test_a_number_that_passed_to_a_stranger_claims_nobody(machine: Machine) -> None:
    leader = machine.has(100, session=100, started=100)
    machine.has(100, session=100, started=900)
    machine.has(101, parent=100, session=100)
    assert machine.table().members(session=100, root=100, known=[leader]) == frozenset()


def test_who_was_seen_before_stays_a_member(machine: Machine) -> None:
    daemon = machine.has(101, session=101)
    child = machine.has(102, parent=101, session=102)
    assert machine.table().members(session=100, known=[daemon]) == {daemon, child}


def test_groups_are_told_only_if_they_hold_nobody_else(machine: Machine) -> None:
    leader = machine.has(100, session=100)
    mixed = machine.has(101, parent=100, session=50, group=50)
    table = machine.table()
    members = table.members(session=100, root=100)
    assert members == {leader, mixed}
    assert table.groups_within(members) == {100}


def test_a_hundred_questions_cost_one_look(machine: Machine) -> None:
    machine.has(100, session=100)
    table = machine.table()
    assert len(table.members(session=100)) == 1
    machine.has(101, session=100)
    assert len(table.members(session=100)) == 1
    machine.clock.advance(1)
    assert len(table.members(session=100)) == 2


def test_a_fresh_look_begins_after_it_was_asked_for(machine: Machine) -> None:
    table = machine.table()
    assert table.members(session=100) == frozenset()
    seen: list[int] = []
    for _ in range(3):
        table.fresh().addCallback(lambda _: seen.append(len(table.members(session=100))))
    machine.has(100, session=100)
    machine.clock.advance(1)
    assert seen == [1, 1, 1]
    assert not machine.clock.getDelayedCalls()


def test_a_mark_is_not_taken_over_with_the_number(machine: Machine) -> None:
    machine.has(101, session=101, run_id="abc", started=100)
    table = machine.table()
    assert len(table.members(session=100, run_id="abc")) == 1
    machine.loses(101)
    machine.has(101, session=101, started=900)
    machine.clock.advance(1)
    assert table.members(session=100, run_id="abc") == frozenset()


def test_a_stop_is_not_over_while_a_look_finds_somebody_even_if_he_is_gone_when_held(
    machine: Machine,
) -> None:
    """Who forks and ends between the look and the hold leaves a child that nobody has seen."""
    pid = 2**22 + 1  # no process of this machine has that number
    leader = machine.has(pid, session=pid)
    done: list[None] = []
    stopping = stop_tree(machine.clock, machine.table(), leader, run_id="", timeout=60)  # type: ignore[arg-type]
    stopping.addCallback(done.append)
    machine.clock.pump([0, 1, 1])
    assert done == []
    machine.loses(pid)
    machine.clock.pump([1, 1])
    assert done == [None]


def test_those_who_cannot_be_killed_are_named() -> None:
    error = StillRunning([9, 3])
    assert error.pids == (3, 9)
    assert str(error) == "cannot be killed: process 3, process 9"


def test_who_is_seen_within_an_exec_and_shows_no_environment_is_looked_at_again(
    machine: Machine,
) -> None:
    daemon = machine.has(101, session=101, run_id="abc")
    environment = machine.proc / "101" / "environ"
    shown = environment.read_bytes()
    environment.write_bytes(b"")
    table = machine.table()
    assert table.members(session=100, run_id="abc") == frozenset()
    environment.write_bytes(shown)
    machine.clock.advance(1)
    assert table.members(session=100, run_id="abc") == {daemon}


def test_who_was_just_started_is_marked_before_its_environment_shows_it(machine: Machine) -> None:
    daemon = machine.has(101, session=101)
    (machine.proc / "101" / "environ").write_bytes(b"")
    table = machine.table()
    table.add_started(daemon, "abc")
    assert table.members(session=100, run_id="abc") == {daemon}


def test_the_next_table_of_this_program_knows_the_marks_that_the_last_one_read(
    machine: Machine,
) -> None:
    marked = machine.has(100, session=99, run_id="this")
    assert machine.table().members(session=0, run_id="this") == {marked}
    (machine.proc / "100" / "environ").unlink()
    assert machine.table().members(session=0, run_id="this") == {marked}


def test_but_not_those_of_our_own_children_who_may_have_been_seen_before_their_program_ran(
    machine: Machine,
) -> None:
    machine.has(100, session=100, parent=os.getpid())
    assert machine.table().members(session=0, run_id="this") == set()
    executed = machine.has(100, session=100, parent=os.getpid(), run_id="this")
    assert machine.table().members(session=0, run_id="this") == {executed}


def test_a_look_that_fails_is_told_to_all_that_wait_for_it(machine: Machine) -> None:
    table = ProcessTable(machine.clock, "/nonexistent")
    waiting = [table.fresh(), table.fresh()]
    machine.clock.advance(1)
    told: list[Failure] = []
    for deferred in waiting:
        deferred.addErrback(told.append)
    assert [failure.type for failure in told] == [FileNotFoundError] * 2
