"""Answers without an end: events and logs as they come."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred

from domogik.api.http.streams import BACKLOG, KEEP_ALIVE, MAX_STREAMS
from domogik.components.events import EventStream
from domogik.components.model import State
from domogik.errors import NotPossible
from domogik.testing.all_hosts import FakeAllHosts, plugin

EVENTS = "/api/v1/events"
LOGS = "/api/v1/components/demo/logs"


def events(connection) -> list[tuple[str, str, object]]:
    """(id, type, data) of each event that came."""
    found = []
    for block in connection.response().body.decode().split("\n\n"):
        fields = dict(
            line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":")
        )
        if "event" in fields:
            found.append((fields.get("id"), fields["event"], json.loads(fields["data"])))
    return found


@pytest.fixture
def demo(all_hosts):
    all_hosts.put(plugin("demo"))
    all_hosts.logs["demo"] = ["one", "two", "three"]
    return all_hosts


def test_events_come_as_they_happen(door, all_hosts):
    connection = door.open("GET", EVENTS)
    response = connection.response()
    assert response.status == 200
    assert response.headers["content-type"] == "text/event-stream"
    assert events(connection) == []
    all_hosts.put(plugin("demo"))
    all_hosts.put(plugin("demo", state=State.ALIVE))
    first, second = events(connection)
    assert first == (
        "1",
        "component.added",
        {
            "id": 1,
            "time": "1970-01-01T00:16:40.000Z",
            "type": "component.added",
            "data": {"id": "plugin:demo", "host": "vm"},
        },
    )
    assert second[0] == "2"
    assert second[2]["data"]["state"] == "alive"


@pytest.mark.parametrize("way", ["header", "query"])
def test_a_client_takes_up_where_it_broke_off(door, all_hosts, way):
    for number in range(5):
        all_hosts.put(plugin(f"p{number}"))
    if way == "header":
        connection = door.open("GET", EVENTS, headers={"Last-Event-ID": "3"})
    else:
        connection = door.open("GET", f"{EVENTS}?last_event_id=3")
    assert [event[0] for event in events(connection)] == ["4", "5"]
    all_hosts.put(plugin("p9"))
    assert [event[0] for event in events(connection)] == ["4", "5", "6"]


@pytest.mark.parametrize("seen", ["1", "99"])
def test_a_client_that_missed_too_much_is_told_to_read_again(make_door, seen):
    """Too long away, or it knew the numbers of a manager before this one."""
    all_hosts = FakeAllHosts(events=EventStream(lambda: 1000.0, keep=2))
    door = make_door(all_hosts)
    for number in range(5):
        all_hosts.put(plugin(f"p{number}"))
    connection = door.open("GET", EVENTS, headers={"Last-Event-ID": seen})
    assert events(connection) == [("5", "resync", {"id": 5})]


@pytest.mark.parametrize("seen", ["x", "-1", "1.5", "9" * 30, "6", "0"])
def test_a_client_with_a_number_that_is_unknown_is_told_to_read_again(make_door, seen):
    all_hosts = FakeAllHosts(events=EventStream(lambda: 1000.0))
    all_hosts.events.continue_from(1000)
    door = make_door(all_hosts)
    all_hosts.put(plugin("demo"))
    connection = door.open("GET", EVENTS, headers={"Last-Event-ID": seen})
    assert events(connection) == [("1001", "resync", {"id": 1001})]


@pytest.mark.parametrize("seen", ["x", "-1", "1.5"])
def test_a_parameter_that_is_no_number_is_refused(door, seen):
    assert door.get(f"{EVENTS}?last_event_id={seen}").status == 400


def test_a_quiet_stream_says_that_it_is_alive(door):
    connection = door.open("GET", EVENTS)
    before = len(connection.received)
    door.clock.advance(KEEP_ALIVE)
    assert connection.response().body.endswith(b": \n\n")
    door.clock.pump([KEEP_ALIVE] * 3)
    assert len(connection.received) > before
    assert not connection.dropped


def test_a_client_that_leaves_leaves_nothing_behind(door, all_hosts):
    subscribers = len(all_hosts.events._receivers)
    connection = door.open("GET", EVENTS)
    assert len(all_hosts.events._receivers) == subscribers + 1
    connection.leave()
    assert len(all_hosts.events._receivers) == subscribers
    assert door.clock.getDelayedCalls() == []


def test_a_slow_client_gets_everything_in_order_once_it_reads(door, all_hosts):
    connection = door.open("GET", EVENTS)
    connection.channel.pauseProducing()
    for number in range(20):
        all_hosts.put(plugin(f"p{number}"))
    assert events(connection) == []
    connection.channel.resumeProducing()
    assert [event[0] for event in events(connection)] == [str(n) for n in range(1, 21)]


def test_a_client_that_never_reads_is_dropped_and_holds_up_nobody(door, all_hosts):
    subscribers = len(all_hosts.events._receivers)
    slow, quick = door.open("GET", EVENTS), door.open("GET", EVENTS)
    slow.channel.pauseProducing()
    for number in range(BACKLOG // 1000 + 1):
        all_hosts.events.publish("configuration.refused", error="x" * 1000, path=str(number))
    assert slow.transport.disconnected or slow.transport.disconnecting
    assert not quick.dropped
    assert len(events(quick)) == BACKLOG // 1000 + 1
    assert len(all_hosts.events._receivers) == subscribers + 1


def test_the_number_of_streams_is_bounded(door):
    connections = [door.open("GET", EVENTS) for _ in range(MAX_STREAMS)]
    assert door.get(EVENTS).status == 503
    connections[0].leave()
    assert door.open("GET", EVENTS).response().status == 200


def test_closing_the_port_ends_the_streams(door):
    connection = door.open("GET", EVENTS)
    door.site.stopFactory()
    assert connection.received.endswith(b"0\r\n\r\n")


def test_head_asks_for_no_stream(door, all_hosts, demo):
    assert door.ask("HEAD", EVENTS).status == 200
    assert door.ask("HEAD", f"{LOGS}?follow=1").status == 200
    assert all_hosts.followers("demo") == 0


def test_the_last_lines_are_plain_text_or_json(door, demo):
    plain = door.get(f"{LOGS}?lines=2")
    assert plain.headers["content-type"] == "text/plain; charset=utf-8"
    assert plain.body == b"two\nthree\n"
    found = door.get(LOGS, headers={"Accept": "application/json"}).json
    assert found == {"id": "plugin:demo", "host": "vm", "lines": ["one", "two", "three"]}
    assert door.get(f"{LOGS}?lines=0").body == b""


@pytest.mark.parametrize("query", ["lines=x", "lines=-1", "lines=10001", "follow=maybe"])
def test_a_number_of_lines_that_is_none_is_refused(door, demo, query):
    assert door.get(f"{LOGS}?{query}").status == 400


def test_a_log_is_followed(door, demo):
    connection = door.open("GET", f"{LOGS}?lines=1&follow=true")
    assert connection.response().body == b"three\n"
    demo.say("demo", "four é")
    assert connection.response().body == "three\nfour é\n".encode()
    connection.leave()
    assert demo.followers("demo") == 0


def test_a_log_is_followed_as_events(door, demo):
    headers = {"Accept": "text/event-stream"}
    connection = door.open("GET", f"{LOGS}?lines=1&follow=1", headers=headers)
    demo.say("demo", "")
    demo.say("demo", "a\rb")
    body = connection.response().body
    assert body == b"data: three\n\ndata: \n\ndata: a\ndata: b\n\n"


def test_lines_that_come_while_the_file_is_read_come_once(door, demo):
    held = demo.held["log_lines", "demo"] = Deferred()
    connection = door.open("GET", f"{LOGS}?lines=10&follow=1")
    demo.say("demo", "four")
    demo.say("demo", "five")
    held.callback(None)
    demo.say("demo", "six")
    assert connection.response().body == b"one\ntwo\nthree\nfour\nfive\nsix\n"


def test_a_client_that_leaves_while_the_file_is_read_follows_nothing(door, demo):
    held = demo.held["log_lines", "demo"] = Deferred()
    connection = door.open("GET", f"{LOGS}?lines=10&follow=1")
    connection.leave()
    held.callback(None)
    assert demo.followers("demo") == 0


def test_a_log_that_cannot_be_read_is_followed_by_nobody(door, demo):
    demo.failures["log_lines", "demo"] = NotPossible("no")
    assert door.get(f"{LOGS}?follow=1").status == 409
    assert demo.followers("demo") == 0


def test_logs_of_another_host_are_not_to_be_had(door, all_hosts):
    all_hosts.put(plugin("demo", host="kitchen"))
    answer = door.get(f"{LOGS}?host=kitchen")
    assert answer.status == 409
    assert answer.json["detail"] == "Not available from another host"
