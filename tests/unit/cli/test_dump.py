"""What `dmg_dump` shows of what it hears."""

from __future__ import annotations

from domogik.cli.xpl.dump import Filter
from domogik.cli.xpl.station import Heard
from domogik.xpl.codec.message import STAT, TRIG, Message

BEAT = Heard(Message(STAT, "domogik-clock.attic", "*", schema="hbeat.app"))
LAMP = Heard(Message(TRIG, "acme-lamp.hall", "*", schema="sensor.basic"))
INVALID = Heard(None, error="no message")


def passed(wanted: Filter) -> list[Heard]:
    return [heard for heard in (BEAT, LAMP, INVALID) if wanted.wants(heard)]


def test_without_a_filter_everything_is_shown_also_what_is_no_message() -> None:
    assert passed(Filter()) == [BEAT, LAMP, INVALID]


def test_a_pattern_is_exact_or_has_stars() -> None:
    assert passed(Filter(schemas=("hbeat.*",))) == [BEAT]
    assert passed(Filter(schemas=("sensor",))) == []
    assert passed(Filter(sources=("domogik-*.attic",))) == [BEAT]


def test_of_one_kind_any_will_do_of_several_each() -> None:
    assert passed(Filter(schemas=("hbeat.app", "sensor.basic"))) == [BEAT, LAMP]
    assert passed(Filter(types=(TRIG,), schemas=("hbeat.app",))) == []
