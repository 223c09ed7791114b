"""When everybody is looked at, how issues open and close, and what a repair does."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import globalLogPublisher

from domogik.components.events import Event, EventStream
from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.components.model import Component, ComponentId, InvalidId, Kind, State
from domogik.errors import NotPossible, OperationFailed, UnknownComponent
from domogik.manager.components import ComponentList
from domogik.manager.health.centre import (
    AGAIN,
    DAY,
    FIRST_LOOK,
    PATIENCE,
    SETTLE,
    Health,
    UnknownIssue,
)
from domogik.manager.jobs import Jobs
from domogik.manager.registry import Kinds
from domogik.testing.local_host import START_TIME, checked_kind
from domogik.threads import at_once

LAMP = "plugin:lamp"
START = Suggestion("start", "Start it")
BY_HAND = Suggestion("look", "Look at it", is_repairable=False)


@attrs.define(eq=False)
class FakeChecker:
    """What each component's checks are, as the test says; `failures` are raised instead."""

    results: dict[str, dict[str, Result]] = attrs.field(factory=dict)
    suggestions: tuple[Suggestion, ...] = (START, BY_HAND)
    looked_at: list[str] = attrs.field(factory=list)
    repaired: list[tuple[str, str, str]] = attrs.field(factory=list)
    failures: dict[str, Exception] = attrs.field(factory=dict)
    held: dict[str, Deferred[None]] = attrs.field(factory=dict)
    repair_fails: Exception | None = None
    on_repair: Callable[[], None] = lambda: None

    def subjects(self) -> Sequence[str]:
        return tuple(self.results)

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        self.looked_at.append(component_id)
        found = dict(self.results[component_id])
        if component_id in self.held:
            await self.held[component_id]
        if component_id in self.failures:
            raise self.failures[component_id]
        return [
            DiagnosticCheck(
                check,
                "{x} works",
                result,
                parameters={"x": check},
                component_id=component_id,
                suggestions=self.suggestions,
            )
            for check, result in found.items()
        ]

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        self.repaired.append((component_id, check.check_id, action))
        if self.repair_fails is not None:
            raise self.repair_fails
        self.results[component_id][check.check_id] = Result.PASSED
        self.on_repair()


@attrs.define(eq=False)
class Ward:
    """A `Health` on a clock, with one examiner of plugins."""

    state: Path
    clock: Clock = attrs.field(factory=Clock)
    checker: FakeChecker = attrs.field(factory=FakeChecker)
    happened: list[Event] = attrs.field(factory=list)
    in_thread: Any = at_once
    events: EventStream = attrs.field(init=False)
    components: ComponentList = attrs.field(init=False)
    health: Health = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.events = EventStream(self.now)
        self.events.subscribe(self.happened.append)
        self.components = ComponentList(self.events)
        jobs = Jobs(self.events, self.now)
        self.health = Health(
            clock=self.clock,
            wall_clock=self.now,
            events=self.events,
            jobs=jobs,
            kinds=Kinds("vm"),
            state=self.state,
            in_thread=self.in_thread,
        )
        self.health.kinds.register(checked_kind(Kind.PLUGIN, self.checker))

    def now(self) -> float:
        return START_TIME + self.clock.seconds()

    def turn(self, seconds: float = 0.0) -> None:
        """Let time pass, and everything that is due then happen."""
        self.clock.advance(seconds)
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def put(self, name: str, state: State) -> None:
        """A component is like that now."""
        self.components.put(Component(ComponentId(Kind.PLUGIN, name), "vm", state))

    def look(self, component_id: str | None = None) -> tuple[DiagnosticCheck, ...]:
        return self.wait(self.health.diagnose(component_id))

    def wait(self, deferred: Deferred[Any]) -> Any:
        """Its result, which must be there without time passing."""
        results: list[Any] = []
        deferred.addCallbacks(results.append, lambda failure: results.append(failure.value))
        self.turn()
        (result,) = results
        if isinstance(result, Exception):
            raise result
        return result

    def told(self, type: str) -> list[tuple[str, str]]:
        """The events of that type about issues, as (component, check)."""
        return [
            (str(event.data["component"]), str(event.data["check_id"]))
            for event in self.happened
            if event.type == type
        ]

    def issue(self) -> str:
        (issue,) = self.health.issues()
        return issue.id


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    made = Ward(tmp_path / "health.json")
    made.checker.results[LAMP] = {"runs": Result.PASSED}
    return made


def test_everything_is_looked_at_in_a_steady_order(ward: Ward) -> None:
    ward.checker.results |= {"plugin:b": {"z": Result.PASSED}, "plugin:a": {"y": Result.SKIPPED}}
    assert [check.key for check in ward.look()] == [
        ("plugin:a", "y"),
        ("plugin:b", "z"),
        (LAMP, "runs"),
    ]


def test_one_component_is_looked_at_alone(ward: Ward) -> None:
    ward.checker.results["plugin:clock"] = {"runs": Result.FAILED}
    (check,) = ward.look(LAMP)
    assert check.result is Result.PASSED
    assert ward.checker.looked_at == [LAMP]


def test_the_last_looks_are_remembered(ward: Ward) -> None:
    assert ward.health.looks() == ()
    ward.look()
    (look,) = ward.health.looks()
    assert (look.component, look.taken, len(look.checks)) == (LAMP, START_TIME, 1)


@pytest.mark.parametrize("name", ["plugin:ghost", "daemon:lamp"])
def test_what_is_not_there_cannot_be_looked_at(ward: Ward, name: str) -> None:
    with pytest.raises(UnknownComponent):
        ward.look(name)


def test_what_is_no_id_is_refused(ward: Ward) -> None:
    with pytest.raises(InvalidId):
        ward.look("lamp")


def test_who_asks_meanwhile_gets_the_same_look(ward: Ward) -> None:
    ward.checker.held[LAMP] = held = Deferred()
    first, second = ward.health.diagnose(LAMP), ward.health.diagnose(LAMP)
    ward.turn()
    held.callback(None)
    assert ward.wait(first) == ward.wait(second)
    assert ward.checker.looked_at == [LAMP]


def test_progress_is_told_and_ends_at_all(ward: Ward) -> None:
    ward.checker.results |= {f"plugin:p{n:03}": {"runs": Result.PASSED} for n in range(299)}
    ward.look()
    percents = [
        event.data["percent"]
        for event in ward.happened
        if event.type == "job.changed" and event.data["percent"] is not None
    ]
    assert percents == sorted(percents)
    assert percents[-1] == 100
    # once for each percent, however many there are to be looked at
    assert len(percents) <= 100


# Issues


def test_a_check_that_fails_opens_an_issue_and_one_that_passes_closes_it(ward: Ward) -> None:
    ward.checker.results[LAMP] = {"runs": Result.FAILED, "room": Result.WARNING}
    ward.look()
    assert [issue.check.check_id for issue in ward.health.issues()] != []
    assert sorted(ward.told("issue.opened")) == [(LAMP, "room"), (LAMP, "runs")]
    ward.checker.results[LAMP]["runs"] = Result.PASSED
    ward.turn(5)
    ward.look()
    assert ward.told("issue.closed") == [(LAMP, "runs")]
    (left,) = ward.health.issues()
    assert (left.check.check_id, left.opened, left.seen) == ("room", START_TIME, START_TIME + 5)


def test_an_issue_that_stays_as_it_is_is_told_once(ward: Ward) -> None:
    ward.checker.results[LAMP] = {"runs": Result.WARNING}
    ward.look()
    ward.look()
    ward.checker.results[LAMP] = {"runs": Result.FAILED}
    ward.look()
    assert ward.told("issue.opened") == ward.told("issue.changed") == [(LAMP, "runs")]


def test_what_could_not_be_looked_at_is_as_it_was(ward: Ward) -> None:
    ward.checker.results[LAMP] = {"runs": Result.FAILED}
    ward.look()
    ward.checker.results[LAMP] = {"runs": Result.NOT_DONE}
    ward.look()
    assert ward.told("issue.closed") == []
    assert len(ward.health.issues()) == 1


def test_where_nothing_is_expected_any_more_nothing_is_wrong(ward: Ward) -> None:
    ward.checker.results[LAMP] = {"runs": Result.FAILED}
    ward.look()
    ward.checker.results[LAMP] = {"runs": Result.SKIPPED}
    ward.look()
    assert ward.told("issue.closed") == [(LAMP, "runs")]


def test_a_look_that_breaks_is_an_error_and_hides_nobody(ward: Ward) -> None:
    logged: list[Any] = []
    ward.checker.results |= {LAMP: {"runs": Result.FAILED}, "plugin:a": {"runs": Result.PASSED}}
    ward.look()
    ward.checker.failures[LAMP] = ZeroDivisionError("oops")
    globalLogPublisher.addObserver(logged.append)
    try:
        first, broken = ward.look()
    finally:
        globalLogPublisher.removeObserver(logged.append)
    assert any("log_failure" in event for event in logged)
    assert first.result is Result.PASSED
    assert (broken.result, broken.check_id) == (Result.ERROR, "examined")
    assert "ZeroDivisionError" in broken.filled
    # what was wrong before is not forgotten because nobody could look
    assert sorted(issue.check.check_id for issue in ward.health.issues()) == ["examined", "runs"]
    del ward.checker.failures[LAMP]
    ward.look()
    assert [issue.check.check_id for issue in ward.health.issues()] == ["runs"]


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OperationFailed("no such thing"), "no such thing"),
        (PermissionError(13, "Permission denied", "/x"), "/x: Permission denied"),
    ],
)
def test_what_a_look_fails_of_is_said(ward: Ward, error: Exception, words: str) -> None:
    ward.checker.failures[LAMP] = error
    (check,) = ward.look(LAMP)
    assert words in check.filled


def test_a_look_has_an_end(ward: Ward) -> None:
    ward.checker.held[LAMP] = Deferred()
    looking = ward.health.diagnose()
    ward.turn()
    ward.turn(PATIENCE)
    (check,) = ward.wait(looking)
    assert check.result is Result.ERROR
    assert "took longer than 30 s" in check.filled


def test_who_goes_away_while_all_are_looked_at_is_left_out(ward: Ward) -> None:
    ward.checker.results["plugin:gone"] = {"runs": Result.FAILED}
    ward.checker.held["plugin:gone"] = held = Deferred()
    looking = ward.health.diagnose()
    ward.turn()
    del ward.checker.results["plugin:gone"]
    held.callback(None)
    assert [check.component_id for check in ward.wait(looking)] == [LAMP]
    assert ward.health.issues() == ()


def test_of_two_looks_the_one_that_began_later_counts(ward: Ward) -> None:
    ward.checker.results[LAMP] = {"runs": Result.FAILED}
    ward.checker.held[LAMP] = slow = Deferred()
    all_of_them = ward.health.diagnose()
    ward.turn()
    del ward.checker.held[LAMP]
    ward.checker.results[LAMP] = {"runs": Result.PASSED}
    ward.look(LAMP)
    slow.callback(None)
    (check,) = ward.wait(all_of_them)
    assert check.result is Result.FAILED
    assert ward.health.issues() == ()


# When


def test_everything_is_looked_at_once_a_day(ward: Ward) -> None:
    ward.health.start()
    ward.turn(FIRST_LOOK - 1)
    assert ward.checker.looked_at == []
    ward.turn(1)
    assert len(ward.checker.looked_at) == 1
    ward.turn(DAY - 1)
    assert len(ward.checker.looked_at) == 1
    ward.turn(1)
    assert len(ward.checker.looked_at) == 2


def test_a_manager_that_is_started_anew_does_not_look_again_at_once(ward: Ward) -> None:
    ward.look()
    ward.checker.looked_at.clear()
    again = Ward(ward.state, ward.clock, ward.checker)
    again.health.start()
    assert again.health.last_known_time == START_TIME
    again.turn(DAY - 1)
    assert ward.checker.looked_at == []
    again.turn(1)
    assert ward.checker.looked_at == [LAMP]


@pytest.mark.parametrize("state", [State.FAILED, State.NOT_RESPONDING, State.BACKOFF])
def test_who_fails_is_looked_at_soon(ward: Ward, state: State) -> None:
    ward.health.start()
    ward.put("lamp", State.ALIVE)
    ward.put("lamp", state)
    assert ward.checker.looked_at == []
    ward.turn(SETTLE)
    assert ward.checker.looked_at == [LAMP]


def test_who_is_new_is_looked_at_soon(ward: Ward) -> None:
    ward.health.start()
    ward.put("lamp", State.DISABLED)
    ward.turn(SETTLE)
    assert ward.checker.looked_at == [LAMP]


def test_who_never_rests_is_looked_at_all_the_same(ward: Ward) -> None:
    ward.health.start()
    ward.put("lamp", State.ALIVE)
    for _ in range(4):
        ward.put("lamp", State.BACKOFF)
        ward.turn(SETTLE / 2)
        ward.put("lamp", State.STARTING)
    assert ward.checker.looked_at


def test_who_has_an_issue_is_looked_at_when_its_state_changes(ward: Ward) -> None:
    ward.health.start()
    ward.put("lamp", State.FAILED)
    ward.checker.results[LAMP] = {"runs": Result.FAILED}
    ward.look()
    ward.checker.results[LAMP] = {"runs": Result.PASSED}
    ward.put("lamp", State.ALIVE)
    ward.turn(SETTLE)
    assert ward.health.issues() == ()


def test_a_cause_that_does_not_tell_that_it_is_gone_is_found_out(ward: Ward) -> None:
    ward.health.start()
    ward.checker.results |= {LAMP: {"room": Result.FAILED}, "plugin:a": {"room": Result.PASSED}}
    ward.turn(FIRST_LOOK)
    ward.checker.looked_at.clear()
    ward.checker.results[LAMP] = {"room": Result.PASSED}
    ward.turn(AGAIN)
    # who has no issue is left in peace
    assert ward.checker.looked_at == [LAMP]
    assert ward.health.issues() == ()


def test_changes_of_other_hosts_are_none_of_ours(ward: Ward) -> None:
    ward.health.start()
    for state in (State.ALIVE, State.FAILED):
        ward.components.put(Component(ComponentId(Kind.PLUGIN, "lamp"), "attic", state))
    ward.turn(SETTLE)
    assert ward.checker.looked_at == []


def test_a_core_service_that_changes_concerns_its_host(ward: Ward) -> None:
    host = FakeChecker({"host:vm": {"hub": Result.FAILED}})
    ward.health.kinds.register(checked_kind(Kind.HOST, host))
    ward.health.start()
    for state in (State.RUNNING, State.NOT_RESPONDING):
        ward.components.put(Component(ComponentId(Kind.CORE, "hub"), "vm", state))
    ward.turn(SETTLE)
    assert host.looked_at == ["host:vm"]


def test_repositories_are_looked_at_when_they_were_asked(ward: Ward) -> None:
    url = "repository:http://packages.localhost"
    repositories = FakeChecker({url: {"reachable": Result.FAILED}})
    ward.health.kinds.register(checked_kind(Kind.REPOSITORY, repositories))
    ward.health.start()
    ward.events.publish("repositories.changed")
    ward.turn(SETTLE)
    assert [issue.component for issue in ward.health.issues()] == [url]
    del repositories.results[url]
    ward.events.publish("repositories.changed")
    assert ward.health.issues() == ()


def test_who_is_gone_takes_what_was_wrong_with_it_along(ward: Ward) -> None:
    ward.health.start()
    ward.put("lamp", State.FAILED)
    ward.checker.results[LAMP] = {"runs": Result.FAILED}
    ward.look()
    del ward.checker.results[LAMP]
    ward.components.remove(ComponentId(Kind.PLUGIN, "lamp"))
    assert ward.told("issue.closed") == [(LAMP, "runs")]
    assert ward.health.looks() == ()


def test_after_the_end_nobody_is_looked_at(ward: Ward) -> None:
    ward.health.start()
    ward.checker.held[LAMP] = held = Deferred()
    ward.turn(FIRST_LOOK)
    ward.put("lamp", State.FAILED)
    ward.wait(ward.health.stop())
    held.callback(None)
    ward.turn()
    assert ward.clock.getDelayedCalls() == []


# What outlives the program


def test_issues_outlive_the_program(ward: Ward) -> None:
    ward.checker.results[LAMP] = {"runs": Result.FAILED}
    ward.look()
    again = Ward(ward.state)
    again.health.start()
    assert again.health.issues() == ward.health.issues()


@pytest.mark.parametrize(
    "content",
    ["", "{", "[]", '{"looked": "x", "issues": []}', '{"looked": 1, "issues": [{}]}', "[" * 9999],
)
def test_a_file_that_is_no_good_is_as_none(ward: Ward, content: str) -> None:
    ward.state.write_text(content)
    ward.health.start()
    assert ward.health.issues() == ()
    ward.look()
    assert json.loads(ward.state.read_text())["issues"] == []


def test_a_disk_that_takes_nothing_is_no_reason_to_stop(ward: Ward, tmp_path: Path) -> None:
    def full(*arguments: Any) -> Any:
        raise OSError(28, "No space left on device")

    async def in_thread(work: Any, *arguments: Any) -> Any:
        return full()

    made = Ward(tmp_path / "x", in_thread=in_thread)
    made.checker.results[LAMP] = {"runs": Result.FAILED}
    made.look()
    assert len(made.health.issues()) == 1


def test_the_end_waits_until_everything_is_written(tmp_path: Path) -> None:
    writing: list[tuple[Deferred[None], Any]] = []

    def in_thread(work: Any, *arguments: Any) -> Deferred[None]:
        writing.append((Deferred(), arguments))
        return writing[-1][0]

    made = Ward(tmp_path / "x", in_thread=in_thread)
    made.health.start()
    made.checker.results[LAMP] = {"runs": Result.FAILED}
    made.look(LAMP)
    made.checker.results[LAMP] = {"runs": Result.PASSED}
    made.look(LAMP)
    stopped: list[None] = []
    made.health.stop().addCallback(stopped.append)
    writing[0][0].callback(None)
    assert stopped == []
    writing[1][0].callback(None)
    assert stopped == [None]
    # one write for all that came while the first went on, and it says how it is now
    assert len(writing) == 2
    assert json.loads(writing[1][1][1])["issues"] == []


# Repair


@pytest.fixture
def ill(ward: Ward) -> Ward:
    """Its one component has one issue."""
    ward.checker.results[LAMP] = {"runs": Result.FAILED}
    ward.look()
    ward.checker.looked_at.clear()
    return ward


def test_a_repair_does_what_the_first_suggestion_says_and_looks_again(ill: Ward) -> None:
    assert ill.wait(ill.health.repair(ill.issue())) is None
    assert ill.checker.repaired == [(LAMP, "runs", "start")]
    assert ill.checker.looked_at == [LAMP, LAMP]
    assert ill.told("issue.closed") == [(LAMP, "runs")]


@pytest.mark.parametrize("holds", [True, False])
def test_a_repair_is_believed_when_it_held_as_long_as_the_fault_took(
    ward: Ward, holds: bool
) -> None:
    """It fails 5 s after each start, and is well until then."""
    ward.health.start()
    ward.put("lamp", State.STOPPED)
    ward.put("lamp", State.STARTING)
    ward.put("lamp", State.ALIVE)
    ward.turn(5)
    ward.checker.results[LAMP] = {"runs": Result.FAILED}
    ward.put("lamp", State.FAILED)
    ward.turn(10)
    issue = ward.issue()
    ward.checker.on_repair = lambda: ward.put("lamp", State.STARTING)
    answers: list[Any] = []
    ward.health.repair(issue).addCallback(answers.append)
    ward.turn()
    ward.put("lamp", State.ALIVE)
    ward.turn(4)
    assert answers == []
    assert ward.told("issue.closed") == []
    if not holds:
        ward.checker.results[LAMP] = {"runs": Result.FAILED}
        ward.put("lamp", State.FAILED)
    ward.turn(1)
    (left,) = answers
    assert (left is None) is holds
    assert bool(ward.told("issue.closed")) is holds
    ward.wait(ward.health.stop())


def test_what_has_passed_meanwhile_is_left_alone(ill: Ward) -> None:
    ill.checker.results[LAMP] = {"runs": Result.PASSED}
    assert ill.wait(ill.health.repair(ill.issue())) is None
    assert ill.checker.repaired == []


def test_an_action_can_be_chosen_among_those_that_can_be_carried_out(ill: Ward) -> None:
    with pytest.raises(NotPossible, match="choose one of start"):
        ill.wait(ill.health.repair(ill.issue(), "look"))
    assert ill.wait(ill.health.repair(ill.issue(), "start")) is None


def test_what_only_a_person_can_do_is_not_done(ill: Ward) -> None:
    ill.checker.suggestions = (BY_HAND,)
    ill.look()
    with pytest.raises(NotPossible, match="Only you can do that"):
        ill.wait(ill.health.repair(ill.issue()))


def test_what_is_no_longer_suggested_is_not_done(ill: Ward) -> None:
    issue = ill.issue()
    ill.checker.suggestions = (Suggestion("restart", "Restart it"),)
    with pytest.raises(NotPossible, match="choose one of restart"):
        ill.wait(ill.health.repair(issue, "start"))
    assert ill.checker.repaired == []


def test_a_repair_that_fails_says_why_and_the_issue_stays(ill: Ward) -> None:
    ill.checker.repair_fails = OperationFailed("it failed to start", "exit status 3")
    with pytest.raises(OperationFailed, match="exit status 3"):
        ill.wait(ill.health.repair(ill.issue()))
    assert len(ill.health.issues()) == 1
    assert ill.checker.looked_at == [LAMP, LAMP]


def test_a_repair_that_does_not_help_gives_the_issue_as_it_is_now(ill: Ward) -> None:
    stubborn = Stubborn(ill.checker.results)
    ill.health.kinds.register(checked_kind(Kind.PLUGIN, stubborn))
    ill.turn(60)
    left = ill.wait(ill.health.repair(ill.issue()))
    assert stubborn.repaired
    assert (left.id, left.opened, left.seen) == (ill.issue(), START_TIME, START_TIME + 60)


class Stubborn(FakeChecker):
    """Nothing helps it."""

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        self.repaired.append((component_id, check.check_id, action))


def test_a_repair_may_make_its_component_go_away(ill: Ward) -> None:
    class Forgetful(FakeChecker):
        async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
            del self.results[component_id]

    ill.health.kinds.register(checked_kind(Kind.PLUGIN, Forgetful(ill.checker.results)))
    assert ill.wait(ill.health.repair(ill.issue())) is None
    assert ill.health.issues() == ()


def test_the_same_repair_twice_is_one(ill: Ward) -> None:
    ill.checker.held[LAMP] = held = Deferred()
    first, second = ill.health.repair(ill.issue()), ill.health.repair(ill.issue())
    ill.turn()
    held.callback(None)
    del ill.checker.held[LAMP]
    assert ill.wait(first) is ill.wait(second) is None
    assert len(ill.checker.repaired) == 1


def test_an_issue_that_nobody_has_cannot_be_repaired(ill: Ward) -> None:
    with pytest.raises(UnknownIssue):
        ill.wait(ill.health.repair("0123456789"))
