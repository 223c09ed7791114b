"""External members: learnt from their heartbeats, off when they are silent."""

import pytest

from domogik.components.model import State
from domogik.manager.externals import MAX_MEMBERS, MAX_VALUES
from domogik.testing.local_host import START_TIME
from domogik.xpl.codec.message import CMND, STAT

LAMP = "acme-lamp.kitchen"


def names(manager):
    return [entry.name for entry in manager.components.all() if entry.id.kind.value == "external"]


def test_an_unknown_member_is_listed_as_the_original_listed_it(manager):
    manager.member(LAMP)
    lamp = manager.external(LAMP)
    assert (lamp.state, lamp.enabled, lamp.host, lamp.since) == (
        State.ALIVE,
        None,
        "vm",
        START_TIME,
    )
    assert (lamp.technology, lamp.version) == ("unknown", "n/a")
    assert (lamp.description, lamp.documentation) == (" ", "#")
    assert lamp.model == "acme-lamp"


def test_a_known_model_gives_it_name_and_words_whenever_it_is_installed(manager):
    manager.member(LAMP)
    member = "<vendor-id>ACME</vendor-id><device-id>lamp</device-id>"
    manager.install("lamps", type="external", member=member, technology="light").read()
    for _ in range(2):
        lamp = manager.external(LAMP)
        assert (lamp.model, lamp.technology, lamp.version) == ("lamps", "light", "1.0")
        manager.member(LAMP)


def test_both_kinds_of_heartbeat_count_and_nothing_else(manager):
    manager.member("acme-a.x", "hbeat.app")
    manager.member("acme-b.x", "hbeat.basic")
    manager.member("acme-c.x", "hbeat.end")
    manager.network.hear(CMND, "acme-d.x", "hbeat.request", [("command", "request")])
    manager.network.hear(STAT, "acme-e.x", "sensor.basic", [("current", "1")])
    assert names(manager) == ["acme-a.x", "acme-b.x"]


def test_our_own_programs_are_no_external_members(manager):
    for source in ("domogik-clock.vm", "domogik-send.kitchen", "domogik-hub.vm"):
        manager.member(source)
    assert names(manager) == []


def test_a_member_without_an_instance_cannot_be_named(manager):
    manager.member("acme-lamp")
    assert names(manager) == []


def test_its_heartbeat_is_its_configuration_without_the_interval(manager):
    body = [("interval", "5"), ("port", "50002"), ("colour", "red"), ("colour", "blue")]
    manager.member(LAMP, body=body)
    detail = manager.externals.detail(manager.external(LAMP))
    assert detail.values == (("port", "50002"), ("colour", "red"), ("colour", "blue"))
    manager.member(LAMP, body=[("interval", "5"), ("port", "50003")])
    assert manager.externals.detail(manager.external(LAMP)).values == (("port", "50003"),)


@pytest.mark.parametrize(
    ("interval", "minutes"),
    [
        ("5", 11),
        ("1", 3),
        ("30", 61),
        ("300", 61),
        ("0", 3),
        ("-5", 11),
        ("soon", 11),
        ("", 11),
        ("9" * 5000, 61),
        (None, 11),
    ],
)
def test_a_member_is_silent_after_twice_its_interval_and_a_minute(manager, interval, minutes):
    """The original had no grace, and a heartbeat without an interval raised."""
    manager.member(LAMP, body=[("interval", interval)] if interval is not None else [("a", "b")])
    manager.network.turn(minutes * 60 - 1)
    assert manager.external(LAMP).state is State.ALIVE
    manager.network.turn(1)
    lamp = manager.external(LAMP)
    assert lamp.state is State.NOT_RESPONDING
    assert lamp.reason == f"nothing was heard of it for {minutes} minutes"
    assert lamp.since == START_TIME + minutes * 60
    manager.member(LAMP)
    assert manager.external(LAMP).state is State.ALIVE


def test_every_member_has_its_own_interval(manager):
    manager.member("acme-slow.x", body=[("interval", "30")])
    manager.network.turn(60)
    manager.member("acme-quick.x", body=[("interval", "1")])
    manager.network.turn(180)
    assert manager.external("acme-quick.x").state is State.NOT_RESPONDING
    assert manager.external("acme-slow.x").state is State.ALIVE
    manager.network.turn(3600)
    assert manager.external("acme-slow.x").state is State.NOT_RESPONDING


def test_the_silence_of_a_member_is_told_once(manager):
    manager.member(LAMP)
    manager.published.clear()
    manager.network.turn(7200)
    assert [event.data["state"] for event in manager.published if "state" in event.data] == [
        "not-responding"
    ]


def test_a_member_that_leaves_is_off_at_once(manager):
    manager.member(LAMP)
    manager.member(LAMP, "hbeat.end")
    lamp = manager.external(LAMP)
    assert (lamp.state, lamp.reason) == (State.STOPPED, "it said that it leaves")
    manager.network.turn(7200)
    assert manager.external(LAMP).state is State.STOPPED


def test_a_flood_of_members_is_bounded_and_who_is_off_makes_room(manager):
    manager.member(LAMP)
    for number in range(MAX_MEMBERS + 10):
        manager.member(f"acme-a{number}.x")
    assert len(names(manager)) == MAX_MEMBERS
    assert LAMP in names(manager)
    manager.member("acme-a7.x", "hbeat.end")
    manager.member("acme-new.x")
    assert len(names(manager)) == MAX_MEMBERS
    assert "acme-new.x" in names(manager)
    assert "acme-a7.x" not in names(manager)


def test_of_one_member_no_more_than_so_much_is_kept(manager):
    manager.member(LAMP, body=[(f"key{n}", "x") for n in range(5000)])
    assert len(manager.externals.detail(manager.external(LAMP)).values) == MAX_VALUES


def test_who_listens_no_more_hears_nobody(manager):
    manager.member(LAMP)
    manager.externals.stop()
    manager.member("acme-other.x")
    manager.network.turn(7200)
    assert names(manager) == [LAMP]
    assert manager.external(LAMP).state is State.ALIVE
