"""`/api/v1`: nouns, verbs and real status codes."""

from __future__ import annotations

import pytest
from twisted.internet.defer import Deferred

from domogik.components.model import Component, ComponentId, Kind, State
from domogik.errors import (
    AmbiguousComponent,
    DomogikError,
    NoAnswer,
    NotAllowed,
    NotPossible,
    OperationFailed,
    UnknownComponent,
)
from domogik.testing.all_hosts import plugin

BASE = "/api/v1"


@pytest.fixture
def demo(all_hosts):
    component = plugin("demo", state=State.ALIVE, pid=42, since=1.5, restarts=3, reason="why")
    all_hosts.put(component)
    return component


def test_a_component_is_told_with_everything_known(door, demo):
    assert door.get(f"{BASE}/components/plugin:demo").json == {
        "id": "plugin:demo",
        "kind": "plugin",
        "name": "demo",
        "host": "vm",
        "state": "alive",
        "enabled": True,
        "reason": "why",
        "pid": 42,
        "since": "1970-01-01T00:00:01.500Z",
        "restarts": 3,
        "technology": "service",
        "version": "1.0",
        "description": "",
        "documentation": "",
        "usage": {"cpu_percent": 1.5, "memory_bytes": 4096, "open_files": 7, "processes": 1},
    }


def test_the_list_names_its_own_host_and_can_be_narrowed(door, all_hosts, demo):
    all_hosts.put(Component(ComponentId(Kind.CORE, "rest"), "vm"), plugin("demo", host="kitchen"))
    everything = door.get(f"{BASE}/components").json
    assert everything["host"] == "vm"
    assert [item["id"] for item in everything["components"]] == [
        "plugin:demo",
        "core:rest",
        "plugin:demo",
    ]
    assert everything["components"][1]["since"] is None
    (found,) = door.get(f"{BASE}/components?kind=plugin&host=kitchen").json["components"]
    assert found["host"] == "kitchen"
    assert door.get(f"{BASE}/components?kind=nonsense").status == 400


@pytest.mark.parametrize("spelling", ["demo", "plugin:demo", "plugin%3Ademo", "demo/"])
def test_a_bare_name_will_do_where_only_one_kind_has_it(door, demo, spelling):
    assert door.get(f"{BASE}/components/{spelling}").json["id"] == "plugin:demo"


def test_of_an_ambiguous_name_the_candidates_are_told(door, all_hosts, demo):
    all_hosts.put(Component(ComponentId(Kind.UNIT, "demo"), "vm"))
    answer = door.get(f"{BASE}/components/demo")
    assert answer.status == 409
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["candidates"] == ["plugin:demo", "unit:demo"]


def test_a_component_of_another_host_is_named_with_it(door, all_hosts, demo):
    all_hosts.put(plugin("demo", host="kitchen"))
    assert door.get(f"{BASE}/components/demo?host=kitchen").json["host"] == "kitchen"
    assert door.get(f"{BASE}/components/demo?host=nowhere").status == 404


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "enable", "disable"])
def test_a_verb_is_answered_with_the_component_as_it_is_then(door, all_hosts, demo, verb):
    if verb in ("start", "disable"):
        all_hosts.put(plugin("demo", state=State.STOPPED))
    answer = door.post(f"{BASE}/components/demo/{verb}")
    assert answer.status == 200
    assert answer.json["id"] == "plugin:demo"
    assert all_hosts.done == [(verb, "vm", "demo")]
    expected = {"start": "alive", "stop": "stopped", "restart": "alive"}
    assert answer.json["state"] == expected.get(verb, answer.json["state"])
    assert answer.json["enabled"] is (verb != "disable")


def test_what_a_plugin_lacks_is_told_when_it_is_started_and_enabled(door, all_hosts, demo):
    all_hosts.lacks["demo"] = ("demo needs x, which is not installed: get x",)
    all_hosts.put(plugin("demo", state=State.STOPPED))
    for verb in ("enable", "start", "restart"):
        answer = door.post(f"{BASE}/components/demo/{verb}").json
        assert answer["warnings"] == ["demo needs x, which is not installed: get x"]
    assert door.post(f"{BASE}/components/demo/stop").json["warnings"] == []
    all_hosts.failures["start", "demo"] = OperationFailed("it ended")
    answer = door.post(f"{BASE}/components/demo/start")
    said = "it ended. demo needs x, which is not installed: get x"
    assert (answer.status, answer.json["detail"]) == (409, said)


@pytest.mark.parametrize("verb", ["start", "stop", "restart", "enable", "disable"])
def test_a_verb_needs_the_token_and_post(door, all_hosts, demo, verb):
    assert door.post(f"{BASE}/components/demo/{verb}", token=False).status == 401
    answer = door.get(f"{BASE}/components/demo/{verb}", token=True)
    assert answer.status == 405
    assert answer.headers["allow"] == "POST, OPTIONS"
    assert all_hosts.done == []


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (UnknownComponent("gone"), 404),
        (AmbiguousComponent("x", ("a:x", "b:x")), 409),
        (OperationFailed("it did not"), 409),
        (NotPossible("never"), 409),
        (NotAllowed("not you"), 403),
        (NoAnswer("silence"), 504),
        (DomogikError("of some other kind"), 500),
        (ValueError("hidden"), 500),
    ],
)
def test_each_error_is_one_status_and_a_problem(door, all_hosts, demo, error, status, failures):
    all_hosts.failures["restart", "demo"] = error
    answer = door.post(f"{BASE}/components/demo/restart")
    assert answer.status == answer.json["status"] == status
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == "about:blank"
    assert len(failures()) == (status == 500)
    if isinstance(error, ValueError):
        assert str(error) not in answer.json["detail"]
    else:
        assert answer.json["detail"] == str(error)


@pytest.mark.parametrize(
    "path", ["", "/", "/nothing", "/components/x/y/z", "/components//start", "/Components"]
)
def test_what_is_not_there_is_404_and_a_problem(door, path):
    answer = door.get(f"{BASE}{path}")
    assert answer.status == answer.json["status"] == 404
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "TRACE", "BREW"])
def test_another_method_is_405_and_told_which_would_do(door, method):
    answer = door.ask(method, f"{BASE}/components", token=True)
    assert answer.status == 405
    assert answer.headers["allow"] == "GET, HEAD, OPTIONS"


def test_head_has_the_head_of_get_and_options_the_methods(door, demo):
    head = door.ask("HEAD", f"{BASE}/components/demo")
    assert head.status == 200
    assert head.body == b""
    assert int(head.headers["content-length"]) > 0
    options = door.ask("OPTIONS", f"{BASE}/components/demo")
    assert options.status == 204
    assert options.headers["allow"] == "GET, HEAD, OPTIONS"
    assert "access-control-allow-origin" not in options.headers
    assert door.ask("OPTIONS", f"{BASE}/nothing").status == 404


def test_hosts_are_told(door):
    assert door.get(f"{BASE}/hosts").json == {
        "host": "vm",
        "hosts": [
            {
                "id": "vm",
                "on": True,
                "primary": True,
                "ip": "127.0.0.1",
                "interval": 300.0,
                "last_seen": "1970-01-01T00:16:40.000Z",
            }
        ],
    }


def test_an_upgrade_is_accepted_or_refused(door, all_hosts):
    assert door.post(f"{BASE}/upgrade", token=False).status == 401
    answer = door.post(f"{BASE}/upgrade")
    assert (answer.status, all_hosts.upgraded) == (202, 1)
    all_hosts.failures["upgrade", ""] = NotPossible("not this process")
    assert door.post(f"{BASE}/upgrade").status == 409


def test_a_plugin_that_is_gone_once_stopped_is_still_answered(door, all_hosts, demo):
    from twisted.internet.defer import Deferred

    held = all_hosts.held["stop", "demo"] = Deferred()
    connection = door.open("POST", f"{BASE}/components/demo/stop", token=True)
    held.addCallback(lambda _: None)
    all_hosts.put(plugin("demo", state=State.STOPPED))
    held.callback(None)
    assert connection.response().status == 200


def test_what_cannot_be_decoded_is_400(door):
    for path in (f"{BASE}/components/%ff", f"{BASE}/components/a%00b", f"{BASE}/hosts/%0d%0a"):
        assert door.get(path).status == 400
    assert door.get(f"{BASE}/components?host=%ff").status == 400
    assert door.get(f"{BASE}/components?" + "&".join("a=b" for _ in range(100))).status == 400


def test_only_one_host_is_taken_and_one_there_must_be(door):
    for hosts in (b"", b"Host: vm\r\nHost: evil.example\r\n"):
        connection = door.connect()
        connection.send(b"GET /api/v1/hosts HTTP/1.1\r\n" + hosts + b"\r\n")
        assert connection.response().status == 400
    connection = door.connect()
    connection.send(b"GET /api/v1/hosts HTTP/1.0\r\n\r\n")
    assert connection.response().status == 200


def test_an_absolute_url_is_understood(door):
    assert door.get("http://vm:40405/api/v1/hosts").status in (200, 404)
    assert door.get("http://vm:40405/host/").json["status"] == "OK"


# Orders to another host


def test_an_order_to_another_host_that_takes_its_time_is_a_job_to_look_at(door, all_hosts):
    all_hosts.put(plugin("cat", "kitchen", state=State.STOPPED))
    all_hosts.held["start", "cat"] = held = Deferred()
    connection = door.open("POST", "/api/v1/components/cat/start?host=kitchen", token=True)
    door.clock.advance(all_hosts.patience_s - 1)
    assert connection.received == b""
    door.clock.advance(1)
    answer = connection.response()
    assert (answer.status, answer.json["state"]) == (202, "running")
    assert (answer.json["kind"], answer.json["subject"]) == ("start", "plugin:cat@kitchen")
    where = answer.headers["location"]
    assert where == f"/api/v1/jobs/{answer.json['id']}"
    assert door.get(where).json == answer.json
    held.callback(None)
    assert door.get(where).json["state"] == "done"
    assert all_hosts.find("cat", "kitchen").state is State.ALIVE


def test_an_order_to_another_host_is_answered_with_how_it_is_then(door, all_hosts):
    all_hosts.put(plugin("cat", "kitchen", state=State.STOPPED))
    all_hosts.held["start", "cat"] = held = Deferred()
    connection = door.open("POST", "/api/v1/components/cat/start?host=kitchen", token=True)
    door.clock.advance(5)
    held.callback(None)
    answer = connection.response()
    assert (answer.status, answer.json["state"], answer.json["pid"]) == (200, "alive", 42)


def test_a_host_that_does_not_answer_in_time_is_a_504(door, all_hosts):
    all_hosts.put(plugin("cat", "kitchen", state=State.STOPPED))
    all_hosts.held["start", "cat"] = held = Deferred()
    connection = door.open("POST", "/api/v1/components/cat/start?host=kitchen", token=True)
    door.clock.advance(10)
    held.errback(NoAnswer("kitchen is not heard"))
    assert connection.response().status == 504


def test_who_does_not_wait_has_the_job_at_once(door, all_hosts):
    all_hosts.put(plugin("cat", "kitchen", state=State.STOPPED))
    all_hosts.held["start", "cat"] = Deferred()
    answer = door.post("/api/v1/components/cat/start?host=kitchen&wait=no")
    assert (answer.status, answer.json["subject"]) == (202, "plugin:cat@kitchen")
