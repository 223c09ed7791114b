"""The life-cycle table answers everything, and answers as people were promised."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from domogik.components.model import State
from domogik.supervisor.interfaces import Exit, Restart
from domogik.supervisor.lifecycle.diagram import document
from domogik.supervisor.lifecycle.runner import Runner
from domogik.supervisor.lifecycle.table import (
    IGNORED,
    TABLE,
    Action,
    Ended,
    LifecycleEvent,
    Phase,
    step,
)

UP = (Phase.RUNNING, Phase.ALIVE, Phase.NOT_RESPONDING)


def after(phase, *events):
    for event in events:
        phase, _ = step(phase, event)
    return phase


@pytest.mark.parametrize("phase", Phase)
def test_every_event_is_either_answered_or_knowingly_ignored(phase):
    answered, ignored = set(TABLE[phase]), IGNORED[phase]
    assert answered | ignored == set(LifecycleEvent)
    assert not answered & ignored


@pytest.mark.parametrize(("phase", "event"), list(itertools.product(Phase, LifecycleEvent)))
def test_every_step_leads_to_a_phase_and_to_actions_that_can_be_done(phase, event):
    next_phase, actions = step(phase, event)
    assert isinstance(next_phase, Phase)
    assert all(hasattr(Runner, f"_{action.name.lower()}") for action in actions)


def test_every_action_is_asked_for_somewhere():
    asked = {action for row in TABLE.values() for _, actions in row.values() for action in actions}
    assert asked == set(Action)


def test_every_phase_can_be_reached_and_left():
    reached = {after for row in TABLE.values() for after, _ in row.values()}
    assert reached == set(Phase)
    for phase, row in TABLE.items():
        assert any(after is not phase for after, _ in row.values())


def test_people_see_the_words_of_the_common_vocabulary():
    assert {phase.state for phase in Phase} == set(State) - {State.DISABLED, State.UNKNOWN}
    assert Phase.FAILING.state is State.STOPPING
    assert Phase.SPAWNING.state is State.STARTING


def test_a_plugin_is_starting_until_it_is_heard_and_alive_then():
    assert after(Phase.STOPPED, LifecycleEvent.START, LifecycleEvent.SPAWNED) is Phase.STARTING
    assert (
        after(Phase.STOPPED, LifecycleEvent.START, LifecycleEvent.SPAWNED, LifecycleEvent.ALIVE)
        is Phase.ALIVE
    )


def test_what_is_heard_before_there_is_a_process_is_of_somebody_else():
    for event in (
        LifecycleEvent.ALIVE,
        LifecycleEvent.READY,
        LifecycleEvent.LEFT,
        LifecycleEvent.SILENT,
    ):
        assert step(Phase.SPAWNING, event) == (Phase.SPAWNING, ())


def test_silence_is_not_responding_and_an_answer_makes_it_alive_again():
    assert after(Phase.ALIVE, LifecycleEvent.SILENT) is Phase.NOT_RESPONDING
    assert (
        after(Phase.ALIVE, LifecycleEvent.SILENT, LifecycleEvent.SILENT, LifecycleEvent.ALIVE)
        is Phase.ALIVE
    )


@pytest.mark.parametrize("phase", [Phase.STARTING, *UP])
def test_a_stop_ends_the_whole_tree_before_it_is_stopped(phase):
    stopping, actions = step(phase, LifecycleEvent.STOP)
    assert stopping is Phase.STOPPING
    assert Action.END_TREE in actions
    assert after(stopping, LifecycleEvent.EXITED_WANTED) is Phase.STOPPING
    assert after(stopping, LifecycleEvent.ALL_ENDED) is Phase.STOPPED


@pytest.mark.parametrize("phase", [Phase.STARTING, *UP])
def test_what_a_crash_leaves_behind_is_ended_before_the_next_try(phase):
    failing, actions = step(phase, LifecycleEvent.EXITED_UNWANTED)
    assert Action.END_TREE in actions
    assert Action.SPAWN not in actions
    assert after(failing, LifecycleEvent.ALL_ENDED) is Phase.BACKOFF
    assert after(failing, LifecycleEvent.ALL_ENDED, LifecycleEvent.TRY_AGAIN) is Phase.SPAWNING


@pytest.mark.parametrize("phase", [Phase.BACKOFF, Phase.FAILED])
def test_a_stop_calls_further_tries_off(phase):
    assert after(phase, LifecycleEvent.STOP) is Phase.STOPPED
    assert after(phase, LifecycleEvent.STOP, LifecycleEvent.TRY_AGAIN) is Phase.STOPPED


def test_a_failed_component_is_tried_again_slowly():
    failed, actions = step(Phase.BACKOFF, LifecycleEvent.TOO_OFTEN)
    assert failed is Phase.FAILED
    assert Action.ARM_SLOW_RETRY in actions
    assert after(failed, LifecycleEvent.TRY_AGAIN) is Phase.SPAWNING


def test_a_stop_during_the_clearing_after_a_failure_is_a_plain_stop():
    assert after(Phase.FAILING, LifecycleEvent.STOP, LifecycleEvent.ALL_ENDED) is Phase.STOPPED


def test_nothing_is_started_while_something_of_it_may_be_left():
    for phase in (Phase.STOPPING, Phase.FAILING):
        for event in LifecycleEvent:
            assert Action.SPAWN not in step(phase, event)[1]


@pytest.mark.parametrize("phase", [Phase.STOPPING, Phase.FAILING])
def test_who_cannot_be_ended_is_tried_again_and_never_taken_for_gone(phase):
    stuck, actions = step(phase, LifecycleEvent.CANNOT_END)
    assert stuck is phase
    assert actions == (Action.REPORT_STUCK, Action.ARM_END_AGAIN)
    assert step(phase, LifecycleEvent.END_AGAIN) == (phase, (Action.END_TREE,))


@pytest.mark.parametrize(
    ("exit", "left", "restart", "event"),
    [
        (Exit(code=0), False, Restart.ON_FAILURE, LifecycleEvent.EXITED_WANTED),
        (Exit(code=0), False, Restart.ALWAYS, LifecycleEvent.EXITED_UNWANTED),
        (Exit(code=0), True, Restart.ALWAYS, LifecycleEvent.EXITED_WANTED),
        (Exit(code=0), False, Restart.NO, LifecycleEvent.EXITED_WANTED),
        (Exit(code=1), False, Restart.ON_FAILURE, LifecycleEvent.EXITED_UNWANTED),
        (Exit(code=1), True, Restart.ON_FAILURE, LifecycleEvent.EXITED_UNWANTED),
        (Exit(signal=15), False, Restart.ON_FAILURE, LifecycleEvent.EXITED_UNWANTED),
        (Exit(signal=9), True, Restart.ON_FAILURE, LifecycleEvent.EXITED_UNWANTED),
        (Exit(), False, Restart.ON_FAILURE, LifecycleEvent.EXITED_UNWANTED),
        (Exit(), True, Restart.ON_FAILURE, LifecycleEvent.EXITED_WANTED),
    ],
)
def test_which_ends_are_wanted(exit, left, restart, event):
    assert Ended(exit, announced=left).event(restart) is event


def test_the_documentation_shows_this_table():
    page = Path(__file__).parents[3] / "docs" / "reference" / "lifecycle.md"
    assert page.read_text(encoding="utf-8") == document()
