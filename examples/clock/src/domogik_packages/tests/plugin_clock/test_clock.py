"""What the clock says, and when."""

from datetime import datetime

import pytest
from domogik_packages.xpl.bin.clock import body, pause


def test_a_moment_is_said_in_four_ways() -> None:
    assert body(datetime(2026, 2, 3, 4, 5, 6)) == {
        "datetime": "20260203040506",
        "date": "20260203",
        "time": "040506",
        "day": "tue",
    }


@pytest.mark.parametrize(
    ("now", "interval", "seconds"),
    [(120.0, 60, 60.0), (121.5, 60, 58.5), (150.0, 60, 30.0), (10.25, 1, 0.75)],
)
def test_the_next_full_interval_is_waited_for(now: float, interval: int, seconds: float) -> None:
    assert pause(now, interval) == pytest.approx(seconds)


def test_a_timer_that_is_early_does_not_tell_the_same_minute_twice() -> None:
    assert pause(119.9, 60) == pytest.approx(60.1)
