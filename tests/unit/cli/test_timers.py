"""The clock of programs with one loop."""

from __future__ import annotations

from domogik.cli.xpl.timers import Timers


class Watch:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_what_is_due_is_done_in_order_and_once() -> None:
    watch, done = Watch(), []
    timers = Timers(watch)
    timers.callLater(2, lambda: done.append("second"))
    timers.callLater(1, lambda: done.append("first"))
    assert timers.run_due() == 1
    watch.now += 2
    assert timers.run_due() is None
    assert done == ["first", "second"]


def test_what_is_cancelled_is_not_done_and_not_waited_for() -> None:
    watch, done = Watch(), []
    timers = Timers(watch)
    call = timers.callLater(1, lambda: done.append("never"))
    timers.callLater(5, lambda: done.append("later"))
    call.cancel()
    assert not call.active()
    assert timers.run_due() == 5
    assert done == []


def test_work_may_ask_for_more_work() -> None:
    watch, done = Watch(), []
    timers = Timers(watch)
    timers.callLater(1, lambda: timers.callLater(1, lambda: done.append("again")))
    watch.now += 1
    assert timers.run_due() == 1
    watch.now += 1
    assert timers.run_due() is None
    assert done == ["again"]
