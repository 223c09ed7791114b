"""`/events/domogik`: a client waits for the list of plugins to change."""

from __future__ import annotations

import pytest

from domogik.api.rinor.events import MAX_TICKETS
from domogik.components.model import State
from domogik.testing.all_hosts import plugin


def take(door) -> str:
    (item,) = door.get("/events/domogik/new/").json["event"]
    return item["ticket_id"]


def test_a_ticket_comes_at_once(door):
    """The original made the client wait up to two minutes for it."""
    (item,) = door.get("/events/domogik/new").json["event"]
    assert list(item) == ["ticket_id"]


def test_nobody_guesses_the_ticket_of_another_client(door):
    numbers = [int(take(door)) for _ in range(20)]
    assert len(set(numbers)) == 20
    assert sum(number > 2**100 for number in numbers) == 20


def test_the_status_document_counts_tickets_and_names_none(door):
    ticket = take(door)
    words = door.get("/").json["rest"][0]["event"]
    assert words["Number_of_Domogik_events_requests"] == 1
    assert words["Domogik_requests"] == words["Devices_requests"] == {}
    assert ticket not in repr(door.get("/").json)


def test_a_question_waits_for_the_event(door, all_hosts):
    ticket = take(door)
    connection = door.open("GET", f"/events/domogik/get/{ticket}")
    assert connection.received == b""
    all_hosts.put(plugin("demo"))
    (item,) = connection.response().json["event"]
    assert item == {"timestamp": 1000.0, "data": "plugin-list-updated", "ticket_id": ticket}


@pytest.mark.parametrize("what", ["added", "changed", "removed"])
def test_each_change_of_the_list_is_an_event(door, all_hosts, what):
    if what != "added":
        all_hosts.put(plugin("demo"))
    ticket = take(door)
    if what == "removed":
        all_hosts.remove(all_hosts.find("demo"))
    else:
        all_hosts.put(plugin("demo", state=State.ALIVE))
    (item,) = door.get(f"/events/domogik/get/{ticket}").json["event"]
    assert item["data"] == "plugin-list-updated"


def test_only_the_newest_event_is_kept(door, all_hosts):
    ticket = take(door)
    for number in range(5):
        all_hosts.put(plugin(f"p{number}"))
    assert "data" in door.get(f"/events/domogik/get/{ticket}").json["event"][0]
    assert door.open("GET", f"/events/domogik/get/{ticket}").received == b""


def test_what_is_no_change_of_the_list_wakes_nobody(door, all_hosts):
    ticket = take(door)
    all_hosts.events.publish("configuration.changed", path="x")
    assert door.open("GET", f"/events/domogik/get/{ticket}").received == b""


def test_after_two_minutes_the_answer_is_the_ticket_alone(door):
    ticket = take(door)
    connection = door.open("GET", f"/events/domogik/get/{ticket}")
    door.clock.advance(119)
    assert connection.received == b""
    door.clock.advance(1)
    assert connection.response().json["event"] == [{"ticket_id": ticket}]


def test_an_unknown_ticket_is_refused(door):
    answer = door.get("/events/domogik/get/77").json
    assert answer["description"] == "Error in getting event in queue"
    answer = door.get("/events/domogik/free/77").json
    assert answer["description"] == "Error when trying to free queue for event"


def test_a_freed_ticket_is_gone_and_who_waits_with_it_is_answered(door):
    ticket = take(door)
    connection = door.open("GET", f"/events/domogik/get/{ticket}")
    answer = door.get(f"/events/domogik/free/{ticket}").json
    assert answer == {"status": "OK", "code": 0, "description": "None"}
    assert connection.response().json["event"] == [{"ticket_id": ticket}]
    assert door.get(f"/events/domogik/get/{ticket}").json["status"] == "ERROR"


def test_a_ticket_that_nobody_uses_is_deleted_after_five_minutes(door):
    used, unused = take(door), take(door)
    door.clock.advance(200)
    door.open("GET", f"/events/domogik/get/{used}")
    door.clock.advance(120)
    assert door.get(f"/events/domogik/get/{unused}").json["status"] == "ERROR"
    assert door.open("GET", f"/events/domogik/get/{used}").received == b""


def test_the_number_of_tickets_is_bounded(door):
    first, second = take(door), take(door)
    door.clock.advance(1)
    door.open("GET", f"/events/domogik/get/{first}")
    for _ in range(MAX_TICKETS):
        take(door)
    assert door.get(f"/events/domogik/get/{second}").json["status"] == "ERROR"
    assert door.open("GET", f"/events/domogik/get/{first}").received == b""


def test_an_event_is_not_lost_on_a_client_that_left(door, all_hosts, failures):
    ticket = take(door)
    door.open("GET", f"/events/domogik/get/{ticket}").leave()
    all_hosts.put(plugin("demo"))
    assert "data" in door.get(f"/events/domogik/get/{ticket}").json["event"][0]
    assert failures() == []


def test_a_client_cannot_pile_up_questions(door):
    ticket = take(door)
    connections = [door.open("GET", f"/events/domogik/get/{ticket}") for _ in range(10)]
    assert sum(connection.received == b"" for connection in connections) <= 4


def test_closing_the_port_answers_who_waits(door):
    ticket = take(door)
    connection = door.open("GET", f"/events/domogik/get/{ticket}")
    door.site.stopFactory()
    assert connection.response().status == 200
