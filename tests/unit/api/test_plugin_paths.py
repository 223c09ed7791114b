"""`/plugin`: what Domoweb reads and asks for."""

from __future__ import annotations

import pytest

from domogik.components.model import Component, ComponentId, ConfigurationKey, Kind, State
from domogik.errors import NoAnswer, OperationFailed
from domogik.testing.all_hosts import plugin


def test_the_list_has_an_item_per_host_and_members_last(door, all_hosts):
    member = Component(ComponentId(Kind.EXTERNAL, "acme-thing.hall"), "vm", technology="unknown")
    all_hosts.put(
        member,
        plugin("demo", state=State.RUNNING),
        Component(ComponentId(Kind.CORE, "rest"), "vm", State.RUNNING),
        plugin("clock", host="kitchen", state=State.BACKOFF, technology="time"),
    )
    assert door.get("/plugin/list/").json["plugin"] == [
        {
            "host": "vm",
            "list": [
                {
                    "id": "demo",
                    "technology": "service",
                    "status": "ON",
                    "type": "plugin",
                    "host": "vm",
                }
            ],
        },
        {
            "host": "kitchen",
            "list": [
                {
                    "id": "clock",
                    "technology": "time",
                    "status": "OFF",
                    "type": "plugin",
                    "host": "kitchen",
                }
            ],
        },
        {
            "host": "hall",
            "list": [
                {
                    "id": "acme-thing",
                    "technology": "unknown",
                    "status": "OFF",
                    "type": "external",
                    "host": "hall",
                }
            ],
        },
    ]


@pytest.mark.parametrize("state", list(State))
def test_alive_and_running_are_on_and_everything_else_is_off(door, all_hosts, state):
    all_hosts.put(plugin("demo", state=state))
    (host,) = door.get("/plugin/list").json["plugin"]
    expected = "ON" if state in (State.ALIVE, State.RUNNING) else "OFF"
    assert host["list"][0]["status"] == expected


def test_a_disabled_plugin_is_listed_only_while_it_runs(door, all_hosts):
    all_hosts.put(plugin("demo", enabled=False, state=State.DISABLED))
    assert door.get("/plugin/list").json["plugin"] == []
    all_hosts.put(plugin("demo", enabled=False, state=State.ALIVE))
    assert door.get("/plugin/list").json["plugin"] != []


def test_the_list_is_new_as_soon_as_something_changed(door, all_hosts):
    def status():
        return door.get("/plugin/list").json["plugin"][0]["list"][0]["status"]

    all_hosts.put(plugin("demo", state=State.ALIVE))
    assert status() == "ON"
    assert status() == "ON"
    all_hosts.put(plugin("demo", state=State.FAILED))
    assert status() == "OFF"


def test_the_list_is_never_old_even_where_no_event_told_of_a_change(door, all_hosts):
    all_hosts.put(plugin("demo", technology="old"))
    door.get("/plugin/list")
    changed = plugin("demo", technology="new")
    all_hosts._components[changed.host, changed.id] = changed
    door.clock.advance(1.0)
    assert b'"new"' in door.get("/plugin/list").body


def test_the_detail_has_what_domoweb_shows(door, all_hosts):
    all_hosts.put(
        plugin("demo", state=State.ALIVE, description="d", version="0.2", documentation="http://x")
    )
    all_hosts.keys["demo"] = (
        ConfigurationKey(3, "colour", "enum", "Colour", "red", ("red", "blue"), optional=True),
        ConfigurationKey(0, "startup-plugin", "boolean", "Start it", "False"),
        ConfigurationKey(1, "device", "string", "Device", None, interface=True),
        ConfigurationKey(2, "speed", "number", "Speed", "9600", interface=True),
    )
    (item,) = door.get("/plugin/detail/vm/demo").json["plugin"]
    configuration = item.pop("configuration")
    assert item == {
        "id": "demo",
        "technology": "service",
        "description": "d",
        "status": "ON",
        "host": "vm",
        "version": "0.2",
        "documentation": "http://x",
    }
    first, group, last = configuration
    assert first == {
        "id": 1,
        "element_type": "item",
        "key": "startup-plugin",
        "type": "boolean",
        "description": "Start it",
        "default": "False",
        "options": "",
        "optionnal": "no",
    }
    assert group["element_type"] == "group"
    assert [(key["id"], key["key"], key["default"]) for key in group["elements"]] == [
        (2, "device", "None"),
        (3, "speed", "9600"),
    ]
    assert (last["id"], last["options"], last["optionnal"]) == (4, "red,blue", "yes")


@pytest.mark.parametrize("verb", ["start", "stop", "enable", "disable"])
def test_an_order_is_answered_bare_when_it_is_done(door, all_hosts, verb):
    all_hosts.put(plugin("demo", state=State.ALIVE if verb == "stop" else State.STOPPED))
    answer = door.get(f"/plugin/{verb}/vm/demo/", token=True)
    assert answer.json == {"status": "OK", "code": 0, "description": "None"}
    assert all_hosts.done == [(verb, "vm", "demo")]


def test_an_order_reads_no_word_of_the_query_that_is_not_its_own(door, all_hosts):
    all_hosts.put(plugin("demo"))
    answer = door.get("/plugin/start/vm/demo?wait=perhaps&host=nowhere&_=17", token=True)
    assert answer.json == {"status": "OK", "code": 0, "description": "None"}


def test_a_refused_order_says_why(door, all_hosts):
    all_hosts.put(plugin("demo", state=State.ALIVE))
    answer = door.get("/plugin/start/vm/demo", token=True)
    assert answer.json["description"] == "Component demo is already running on vm"
    answer = door.get("/plugin/disable/vm/demo", token=True)
    assert answer.json["description"].endswith("Please stop it before trying to disable")


def test_an_order_for_a_plugin_of_that_name_elsewhere_goes_there(door, all_hosts):
    """The original marked the plugin of the same name on this host."""
    all_hosts.put(plugin("demo"), plugin("demo", host="kitchen"))
    door.get("/plugin/start/kitchen/demo", token=True)
    assert all_hosts.find("plugin:demo", "kitchen").state is State.ALIVE
    assert all_hosts.find("plugin:demo", "vm").state is State.UNKNOWN


def test_silence_of_the_other_host_is_told_in_domogiks_words(door, all_hosts):
    all_hosts.put(plugin("demo", host="kitchen"))
    for verb in ("start", "enable"):
        all_hosts.failures[verb, "demo"] = NoAnswer("kitchen is silent")
        answer = door.get(f"/plugin/{verb}/kitchen/demo", token=True)
        assert answer.status == 200
        assert answer.json["description"] == f"No data or timeout on {verb} plugin demo"
    all_hosts.failures["detail", "demo"] = NoAnswer("kitchen is silent")
    answer = door.get("/plugin/detail/kitchen/demo").json
    assert answer["description"] == "No data or timeout on getting plugin detail for demo"
    assert answer["plugin"] == []
    all_hosts.failures["detail", "demo"] = OperationFailed("broken")
    answer = door.get("/plugin/detail/kitchen/demo").json
    assert answer["description"] == "Error on detail request : broken"


def test_the_core_services_are_no_plugins(door, all_hosts):
    all_hosts.put(Component(ComponentId(Kind.CORE, "rest"), "vm", State.RUNNING))
    answer = door.get("/plugin/stop/vm/rest", token=True)
    assert answer.json["description"] == "Component rest doesn't exists on vm"
    assert all_hosts.done == []
