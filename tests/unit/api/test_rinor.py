"""The RINOR paths as Domogik's own clients know them."""

from __future__ import annotations

import json

import pytest
from twisted.internet.defer import Deferred

from domogik.api.rinor.envelope import RinorAnswer
from domogik.components.model import ComponentId, HostInfo, Kind, State
from domogik.testing.all_hosts import FakeAllHosts, plugin


def test_an_answer_begins_with_status_code_and_description(door):
    body = door.get("/host/").body
    assert list(json.loads(body)) == ["status", "code", "description", "host"]
    assert body.startswith(b'{"status": "OK", "code": 0, "description": "None", ')


def test_booleans_are_words_and_null_is_empty_however_deep():
    encoded = json.loads(
        RinorAnswer("x", [{"a": True, "b": [None, {"c": False}], "d": 1.5}]).encoded()
    )
    assert encoded["x"] == [{"a": "True", "b": ["", {"c": "False"}], "d": 1.5}]


def test_every_value_is_valid_json():
    """The original escaped by hand and broke on a backslash or a tab."""
    nasty = 'back\\slash\ttab "quote"\r\n\x01 \u2028 é'
    assert json.loads(RinorAnswer("x", [nasty]).encoded())["x"] == [nasty]


@pytest.mark.parametrize("path", ["/host", "/host/", "/HOST/", "/Host"])
def test_a_trailing_slash_and_the_case_of_the_first_part_do_not_matter(door, path):
    assert door.get(path).json["host"] == [{"id": "vm", "primary": "True"}]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/nothing", "Type [nothing] is not supported"),
        ("/xpl-cmnd/a/b/c", "Type [xpl-cmnd] is not supported"),
        ("/plugin", "Url too short"),
        ("/plugin/", "Url too short"),
        ("/plugin/detail/vm", "Url too short"),
        ("/plugin/config/list/by-name/vm", "Url too short"),
        ("/plugin/detail/vm/demo/more", "Wrong syntax for detail"),
        ("/plugin/list/more", "Wrong syntax for list"),
        ("/plugin/nothing", "Bad operation for /plugin"),
        ("/plugin/config/nothing", "Bad operation for /plugin"),
        ("/host/vm/more", "Bad operation for /host"),
        ("/package/nothing", "Bad operation for /package"),
        ("/events/devices/new", "Bad operation for /events"),
        ("/plugin/detail/vm/a%2Fb", "Bad value for id"),
        ("/plugin/detail/vm/demo", "Component demo doesn't exists on vm"),
        ("/plugin/detail/vm/..", "Component .. doesn't exists on vm"),
    ],
)
def test_what_is_not_there_is_said_in_domogiks_words(door, path, text):
    answer = door.get(path)
    assert answer.status == 200
    assert answer.json == {"status": "ERROR", "code": 999, "description": text}


def test_a_script_is_the_same_answer_in_a_call(door):
    answer = door.get("/host/?callback=page.on_$host")
    assert answer.headers["content-type"] == "application/javascript; charset=utf-8"
    assert answer.headers["x-content-type-options"] == "nosniff"
    name, _, rest = answer.body.partition(b" (")
    assert name == b"page.on_$host"
    assert json.loads(rest[:-1])["host"] == [{"id": "vm", "primary": "True"}]
    assert door.get("/nothing?callback=f").body.startswith(b'f ({"status": "ERROR"')


@pytest.mark.parametrize(
    "name", ["", "a%20b", "1a", "alert(1)", "a;b", "%C3%A9", "x" * 65, "a%0A", "a-b"]
)
def test_only_the_name_of_a_function_is_called(door, name):
    answer = door.get(f"/host/?callback={name}")
    assert answer.headers["content-type"].startswith("application/json")
    assert answer.json["status"] == "ERROR"


def test_the_status_document_has_both_spellings_of_the_versions(door):
    (document,) = door.get("/").json["rest"]
    info = document["info"]
    assert info["REST_API_version"] == info["REST_API_release"] == "0.6"
    assert info["Domogik_version"] == info["Domogik_release"] == "9.8.7"
    assert info["Sources_version"] == info["Sources_release"]
    assert info["SSL"] == "False"
    assert info["Host"] == "vm"
    assert list(document) == ["info", "command", "stats", "queue", "event", "configuration"]
    assert all("/" in usage for usage in document["queue"].values())
    assert [item["id"] for item in document["configuration"]] == list(range(10))


def test_domoweb_reads_the_mode_on_every_page(make_door):
    assert make_door().get("/package/get-mode/").json["mode"] == ["normal"]
    door = make_door(FakeAllHosts(package_mode=False))
    assert door.get("/package/get-mode/").json["mode"] == ["development"]


def test_a_host_is_told_with_how_it_is(door, all_hosts):
    all_hosts.others.append(HostInfo("kitchen", False, False, "10.0.0.2", 300, 12.5))
    assert [host["id"] for host in door.get("/host").json["host"]] == ["vm", "kitchen"]
    assert door.get("/host/kitchen").json["host"] == [
        {
            "id": "kitchen",
            "status": "off",
            "primary": "False",
            "ip": "10.0.0.2",
            "interval": 300,
            "last_seen": 12.5,
        }
    ]
    assert door.get("/host/nowhere").json["host"] == [{}]


def test_reading_takes_get_and_head_only(door):
    answer = door.post("/plugin/list")
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"
    assert answer.json["status"] == "ERROR"
    assert door.ask("HEAD", "/plugin/list").status == 200
    assert door.ask("HEAD", "/plugin/list").body == b""
    assert door.ask("HEAD", "/plugin/stop/vm/demo", token=True).status == 405
    assert door.ask("OPTIONS", "/plugin/stop/vm/demo").headers["allow"] == "GET, POST, PUT, OPTIONS"
    assert door.ask("DELETE", "/plugin/list").status == 405


def test_an_exception_in_the_house_is_answered_and_logged(door, all_hosts, failures):
    """The original closed the connection without a word."""
    all_hosts.put(plugin("demo"))
    all_hosts.failures["detail", "demo"] = ZeroDivisionError("secret detail")
    answer = door.get("/plugin/detail/vm/demo")
    assert answer.json["status"] == "ERROR"
    assert b"secret" not in answer.body
    assert len(failures()) == 1


def test_even_a_broken_door_answers(door, failures):
    class Broken:
        async def answer(self, call):
            raise ZeroDivisionError

    door.site.resource._rinor = Broken()
    answer = door.get("/plugin/list")
    assert answer.status == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert failures()


def test_a_path_without_a_slash_is_refused(door):
    connection = door.connect()
    connection.send(b"GET plugin/list HTTP/1.1\r\nHost: vm\r\n\r\n")
    assert connection.response().json["status"] == "ERROR"


def test_a_client_that_leaves_does_not_cancel_the_work(door, all_hosts, failures):
    all_hosts.put(plugin("demo"))
    held = all_hosts.held["start", "demo"] = Deferred()
    connection = door.open("GET", "/plugin/start/vm/demo", token=True)
    connection.leave()
    held.callback(None)
    assert all_hosts.find("plugin:demo").state is State.ALIVE
    assert connection.received == b""
    assert failures() == []


def test_two_requests_on_one_connection_are_answered_in_their_order(door):
    connection = door.connect()
    request = b"GET /host/%s HTTP/1.1\r\nHost: vm\r\n\r\n"
    connection.send(request % b"vm" + request % b"nowhere")
    door.clock.advance(0)
    assert connection.received.count(b"HTTP/1.1 200") == 2
    assert connection.received.endswith(b'"host": [{}]}')
    assert not connection.dropped


def test_an_external_member_is_found_under_its_own_host(door, all_hosts):
    from domogik.components.model import Component

    member = Component(
        ComponentId(Kind.EXTERNAL, "acme-thing.kitchen"), "vm", State.ALIVE, technology="unknown"
    )
    all_hosts.put(member)
    all_hosts.member_values[member.name] = (("port", "50000"), ("status", "2"))
    (item,) = door.get("/plugin/detail/kitchen/acme-thing").json["plugin"]
    assert item["host"] == "kitchen"
    assert item["id"] == "acme-thing"
    assert item["configuration"] == [
        {"id": 1, "key": "port", "value": "50000"},
        {"id": 2, "key": "status", "value": "2"},
    ]
