"""Figures for Prometheus."""

from __future__ import annotations

import attrs
from prometheus_client.parser import text_string_to_metric_families

from domogik.components.model import State, Usage
from domogik.testing.all_hosts import FakeAllHosts, plugin


def samples(door):
    text = door.get("/metrics").body.decode()
    return {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_components_are_counted_by_state_and_told_one_by_one(door, all_hosts):
    used = attrs.evolve(
        plugin("demo", state=State.ALIVE, restarts=2), usage=Usage(12.5, 1024, 3, 1)
    )
    all_hosts.put(used, plugin("clock", state=State.FAILED))
    found = samples(door)
    assert found["domogik_components", "alive"] == 1
    assert found["domogik_components", "failed"] == 1
    assert found["domogik_component_up", "plugin:demo", "vm"] == 1
    assert found["domogik_component_up", "plugin:clock", "vm"] == 0
    assert found["domogik_component_restarts_total", "plugin:demo", "vm"] == 2
    assert found["domogik_component_memory_bytes", "plugin:demo", "vm"] == 1024
    assert found["domogik_component_cpu_percent", "plugin:demo", "vm"] == 12.5
    assert ("domogik_component_memory_bytes", "plugin:clock", "vm") not in found


def test_figures_of_other_rooms_are_told(make_door):
    door = make_door(FakeAllHosts(), counters=lambda: {"hub forwarded": 17.0})
    assert samples(door)["domogik_hub_forwarded_total",] == 17


def test_requests_are_counted_and_strange_methods_are_one(door):
    door.get("/plugin/list")
    door.get("/api/v1/nothing")
    door.ask("BREW", "/plugin/list")
    door.ask("STEEP", "/plugin/list")
    door.connect().send(b"nonsense\r\n\r\n")
    found = samples(door)
    assert found["domogik_http_requests_total", "200", "GET"] == 1
    assert found["domogik_http_requests_total", "404", "GET"] == 1
    assert found["domogik_http_requests_total", "405", "other"] == 2
    assert found["domogik_http_requests_total", "400", "other"] == 1


def test_what_says_how_it_is_now_is_no_counter(make_door):
    door = make_door(FakeAllHosts(), counters=lambda: {"hub_clients": 3.0, "hub_forwarded": 1.0})
    found = samples(door)
    assert found["domogik_hub_clients",] == 3
    assert ("domogik_hub_clients_total",) not in found
    assert found["domogik_hub_forwarded_total",] == 1
