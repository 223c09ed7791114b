"""Declared units over HTTP: the paths in Domogik's style, and the rule for polkit."""

from __future__ import annotations

import pytest

from domogik.components.health import DiagnosticCheck, Result
from domogik.components.model import Component, ComponentId, Kind, State
from domogik.errors import NoAnswer, OperationFailed
from domogik.testing.all_hosts import daemon


@pytest.fixture(autouse=True)
def web(all_hosts):
    unit = Component(
        ComponentId(Kind.UNIT, "web"), "vm", State.RUNNING, True, pid=7, technology="systemd"
    )
    all_hosts.put(unit, daemon("web"))


def test_units_are_listed_by_host(door):
    assert door.get("/unit/list/").json["unit"] == [
        {
            "host": "vm",
            "list": [
                {
                    "id": "web",
                    "technology": "systemd",
                    "status": "ON",
                    "type": "unit",
                    "host": "vm",
                }
            ],
        }
    ]


def test_a_detail_has_what_its_section_came_to(door, all_hosts):
    all_hosts.member_values["web"] = (("unit", "nginx"), ("role", "daemon"))
    (item,) = door.get("/unit/detail/vm/web").json["unit"]
    assert item["configuration"] == [
        {"id": 1, "key": "unit", "value": "nginx"},
        {"id": 2, "key": "role", "value": "daemon"},
    ]
    assert (item["state"], item["enabled"]) == ("running", "True")
    values = door.get("/api/v1/components/unit:web/config").json["values"]
    assert values == {"unit": "nginx", "role": "daemon"}


@pytest.mark.parametrize("verb", ["stop", "enable"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_orders_need_the_token(door, all_hosts, verb, method):
    path = f"/unit/{verb}/vm/web/"
    assert door.ask(method, path).status == 401
    assert all_hosts.done == []
    assert door.ask(method, path, token=True).json["status"] == "OK"
    assert all_hosts.done == [(verb, "vm", "web")]


def test_what_systemd_says_is_handed_on(door, all_hosts):
    words = "systemctl stop nginx.service: Access denied"
    all_hosts.failures["stop", "web"] = OperationFailed(words)
    assert door.ask("POST", "/unit/stop/vm/web", token=True).json["description"] == words
    answer = door.ask("POST", "/api/v1/components/unit:web/stop", token=True)
    assert (answer.status, answer.json["detail"]) == (409, words)


def test_another_host_that_is_silent_is_said_in_known_words(door, all_hosts):
    all_hosts.failures["detail", "web"] = NoAnswer("silence")
    said = door.get("/unit/detail/vm/web").json
    assert said["description"] == "No data or timeout on getting unit detail for web"


def test_there_is_no_restart_of_units_in_this_style(door):
    assert door.ask("POST", "/unit/restart/vm/web", token=True).json["status"] == "ERROR"


def test_a_diagnosis_is_a_list_of_checks(door, all_hosts):
    all_hosts.checks["web"] = [
        DiagnosticCheck(
            "daemon-running-nginx",
            "It is running",
            Result.PASSED,
            parameters={},
            component_id="daemon-web",
        )
    ]
    (check,) = door.get("/unit/diagnose/vm/web").json["check"]
    assert (check["check_id"], check["component_id"]) == ("daemon-running-nginx", "daemon-web")


def test_the_rule_for_polkit_is_to_be_had(door):
    assert "domogik" in door.get("/api/v1/units/rule").json["rule"]
    assert "heating" in door.get("/api/v1/units/rule?user=heating").json["rule"]
