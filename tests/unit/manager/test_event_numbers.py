"""A client that comes back after the manager was away never takes new events for old ones."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred, execute

from domogik.components.events import EventStream
from domogik.manager import event_numbers
from domogik.manager.event_numbers import BLOCK, EventNumbers

NOON = 1_800_000_000.0


class Home:
    """A home whose manager is started again and again; `now` is what its clock shows."""

    def __init__(self, directory: Path) -> None:
        (directory / "run").mkdir()
        self.path = directory / "run" / "events.json"
        self.now = NOON
        self.later: list[tuple[Callable[..., Any], tuple[Any, ...], Deferred[Any]]] = []
        self.busy_disk = False

    def in_thread(self, work: Callable[..., Any], *args: Any) -> Deferred[Any]:
        if not self.busy_disk:
            return execute(work, *args)
        waiting: Deferred[Any] = Deferred()
        self.later.append((work, args, waiting))
        return waiting

    def start(self) -> EventStream:
        events = EventStream(lambda: self.now)
        numbers = EventNumbers(events, self.path, self.in_thread, lambda: self.now)
        began = Deferred.fromCoroutine(numbers.begin())
        assert began.called
        return events

    def reserved(self) -> int:
        return json.loads(self.path.read_text())["reserved"]


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path)


def test_numbers_go_on_after_a_crash(home: Home) -> None:
    last = [home.start().publish("x").id for _ in range(5)]
    assert last == sorted(set(last))
    assert last[-1] < 2**53


@pytest.mark.parametrize("clock", [0.0, -5.0, NOON - 1e8, NOON + 1e9, 1e12])
def test_numbers_go_on_whatever_the_clock_shows(home: Home, clock: float) -> None:
    before = home.start().publish("x").id
    home.now = clock
    between = home.start().publish("x").id
    home.now = NOON
    after = home.start().publish("x").id
    assert before < between < after < 2**53


@pytest.mark.parametrize(
    "content",
    [
        None,
        b"",
        b"{",
        b"[]",
        b"{}",
        b'{"reserved": "7"}',
        b'{"reserved": -1}',
        b'{"reserved": 1e300}',
        b'{"reserved": 9007199254740992}',
        b"\xff",
        b"x" * 5000,
    ],
)
def test_numbers_go_on_where_the_file_is_lost_or_broken(home: Home, content: bytes | None) -> None:
    events = home.start()
    for _ in range(1000):
        before = events.publish("x").id
    home.path.unlink()
    if content is not None:
        home.path.write_bytes(content)
    home.now += 1
    assert before < home.start().publish("x").id < 2**53


def test_numbers_go_on_where_the_file_is_lost_and_the_clock_was_set_back(home: Home) -> None:
    home.now = home.path.parent.stat().st_mtime
    before = home.start().publish("x").id
    home.path.unlink()
    (home.path.parent / "other").touch()
    os.utime(home.path.parent / "other", (home.now + 5, home.now + 5))
    home.now = 0.0
    assert before < home.start().publish("x").id < 2**53


def test_a_number_is_reserved_on_the_disk_before_an_event_has_it(home: Home, monkeypatch) -> None:
    monkeypatch.setattr(event_numbers, "BLOCK", 100)
    events = home.start()
    for _ in range(1000):
        assert events.publish("x").id < home.reserved()


def test_events_wait_for_no_disk(home: Home) -> None:
    events = home.start()
    home.busy_disk = True
    ids = [events.publish("x").id for _ in range(BLOCK - 10)]
    assert ids[-1] < home.reserved()
    # asked for once, ahead of need, and once more after that
    assert len(home.later) == 1
    ((work, args, waiting),) = home.later
    waiting.callback(work(*args))
    assert home.reserved() > ids[-1] + BLOCK // 3


def test_events_go_on_where_the_file_cannot_be_written(home: Home) -> None:
    home.path.mkdir()
    events = home.start()
    before = [events.publish("x").id for _ in range(3000)][-1]
    home.path.rmdir()
    for _ in range(3000):
        before = events.publish("x").id
    assert home.reserved() > before
    assert home.start().publish("x").id > before


@given(st.lists(st.tuples(st.floats(-1e6, 1e13), st.integers(0, 50), st.booleans()), max_size=8))
def test_no_order_of_crashes_and_clocks_gives_a_number_twice(
    tmp_path_factory: pytest.TempPathFactory, starts: list[tuple[float, int, bool]]
) -> None:
    home = Home(tmp_path_factory.mktemp("home"))
    last = 0
    for clock, number, is_broken in starts:
        home.now = clock
        events = home.start()
        for _ in range(number):
            event = events.publish("x")
            assert last < event.id < 2**53
            last = event.id
        if is_broken:
            # as long as the clock, or the age of a file, tells that time has passed
            home.path.write_bytes(b"?")
            os.utime(home.path, (last / 1e6 + 1, last / 1e6 + 1))
