"""How long people wait for a component that failed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from domogik.supervisor.interfaces import Policy
from domogik.supervisor.lifecycle.backoff import GiveUp, Restarts, Wait

POLICY = Policy(backoff_first=1, backoff_max=10, start_limit=5, start_limit_window=600)


def failing(restarts, policy, times, *, now=0.0, ran_for=0.0):
    """Let it fail and be started again `times` times; the plans."""
    plans = []
    for _ in range(times):
        plan = restarts.after_failure(policy, now, ran_for)
        plans.append(plan)
        if isinstance(plan, Wait):
            now += plan.seconds
            restarts.started(now)
    return plans


def never():
    return 0.0


def test_each_wait_is_twice_the_one_before_up_to_the_longest():
    plans = failing(Restarts(never), POLICY, 5)
    assert [plan.seconds for plan in plans] == [1, 2, 4, 8, 10]


def test_at_once_means_at_once_each_time():
    plans = failing(Restarts(never), Policy(backoff_first=0), 3)
    assert plans == [Wait(0)] * 3


def test_chance_shortens_a_wait_by_a_quarter_at_most():
    assert Restarts(lambda: 0.999999).after_failure(POLICY, 0, 0).seconds > 0.75
    assert Restarts(lambda: 0.5).after_failure(POLICY, 0, 0) == Wait(0.875)


def test_five_starts_in_the_window_are_enough():
    *_, last = failing(Restarts(never), POLICY, 6)
    assert last == GiveUp("ended 5 times in 10 minutes, is tried again every 15 minutes")


def test_the_window_slides():
    restarts = Restarts(never)
    failing(restarts, POLICY, 4)
    (late,) = failing(restarts, POLICY, 1, now=700.0)
    assert isinstance(late, Wait)


def test_who_was_given_up_gets_one_try_at_a_time():
    restarts = Restarts(never)
    failing(restarts, POLICY, 6)
    restarts.started(5000)
    assert isinstance(restarts.after_failure(POLICY, 5001, 1), GiveUp)


def test_running_steadily_clears_the_past():
    restarts = Restarts(never)
    failing(restarts, POLICY, 6)
    assert restarts.after_failure(POLICY, 5000, 120.5) == Wait(1)


def test_a_start_by_hand_clears_the_past():
    restarts = Restarts(never)
    failing(restarts, POLICY, 6)
    restarts.forget()
    assert restarts.after_failure(POLICY, 100, 0) == Wait(1)


def test_a_limit_of_none_never_gives_up():
    plans = failing(Restarts(never), Policy(start_limit=0), 3000)
    assert all(isinstance(plan, Wait) for plan in plans)


@given(
    first=st.floats(0, 1e6),
    longest=st.floats(0, 1e6),
    limit=st.integers(1, 50),
    chance=st.floats(0, 1, exclude_max=True),
    ran=st.lists(st.floats(0, 10), min_size=1, max_size=100),
)
def test_waits_stay_in_their_bounds_and_starts_within_the_limit(first, longest, limit, chance, ran):
    policy = Policy(
        backoff_first=first, backoff_max=longest, start_limit=limit, start_limit_window=1000
    )
    restarts, now, started = Restarts(lambda: chance), 0.0, []
    for ran_for in ran:  # never steadily: that is 1000 s / limit, 20 s or more
        plan = restarts.after_failure(policy, now, ran_for)
        if isinstance(plan, Wait):
            assert 0 <= plan.seconds <= longest
            now += plan.seconds
            restarts.started(now)
            started.append(now)
            assert sum(1 for time in started if time > now - 1000) <= limit
