"""Diagnosis, issues and repair over HTTP, on both faces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.components.model import HostInfo, Kind
from domogik.errors import NoAnswer, OperationFailed
from domogik.manager.health.centre import Health
from domogik.manager.registry import Kinds
from domogik.testing.all_hosts import plugin
from domogik.testing.local_host import START_TIME, checked_kind
from domogik.threads import at_once

LAMP = "plugin:lamp"


class Checker:
    """One plugin, whose one check is as the test says."""

    result = Result.FAILED
    fails = ""

    def subjects(self):
        return (LAMP,)

    async def examine(self, component_id):
        start = Suggestion("start", "Start it")
        return [DiagnosticCheck("runs", "{x} runs", self.result, {"x": 1}, LAMP, [start])]

    async def repair(self, component_id, check, action):
        if self.fails:
            raise OperationFailed(self.fails)
        self.result = Result.PASSED


@pytest.fixture
def checker(door, all_hosts, tmp_path: Path) -> Checker:
    health = Health(
        clock=door.clock,
        wall_clock=lambda: START_TIME,
        events=all_hosts.events,
        jobs=all_hosts.queue,
        kinds=Kinds("vm"),
        state=tmp_path / "health.json",
        in_thread=at_once,
    )
    made = Checker()
    health.kinds.register(checked_kind(Kind.PLUGIN, made))
    all_hosts.health = health
    all_hosts.put(plugin("lamp"))
    all_hosts.others.append(HostInfo("kitchen", True, False, "192.0.2.1", 300.0, START_TIME))
    return made


def answered(door, method: str, path: str, **given):
    """The answer, once the reactor has gone round."""
    given.setdefault("token", True)
    connection = door.open(method, path, **given)
    for _ in range(20):
        door.clock.advance(0)
    return connection.response()


def diagnose(door):
    return answered(door, "POST", "/api/v1/diagnosis").json


def issue(door) -> str:
    (one,) = door.get("/api/v1/issues").json["issues"]
    return one["id"]


def test_everything_is_looked_at(door, checker):
    document = diagnose(door)
    assert document["host"] == "vm"
    assert document["taken"] == "2027-01-15T08:00:00.000Z"
    (check,) = document["checks"]
    assert check == {
        "__class__": "DiagnosticCheck",
        "check_id": "runs",
        "description": "1 runs",
        "template": "{x} runs",
        "result": "failed",
        "parameters": {"x": 1},
        "component_id": LAMP,
        "suggestions": [{"action": "start", "sentence": "Start it", "repairable": True}],
        "finding": "1 runs",
    }
    assert door.get("/api/v1/diagnosis").json == document


def test_before_the_first_look_nothing_is_known(door, checker):
    assert door.get("/api/v1/diagnosis").json == {"host": "vm", "taken": None, "checks": []}


def test_who_does_not_wait_gets_the_job(door, checker):
    response = answered(door, "POST", "/api/v1/diagnosis?wait=no")
    assert response.status == 202
    assert (response.json["kind"], response.json["subject"]) == ("diagnose", "host:vm")


def test_the_old_face_spells_booleans_as_its_clients_know_them(door, checker):
    document = answered(door, "GET", "/diagnose/vm", token=False).json
    assert (document["status"], document["code"]) == ("OK", 0)
    (check,) = document["check"]
    assert check["suggestions"][0]["repairable"] == "True"
    assert check["description"] == "1 runs"


@pytest.mark.parametrize("name", ["lamp", "plugin:lamp", "host:vm", "repository:http%3A%2F%2Fp/x"])
def test_one_component_is_looked_at_by_both_faces(door, all_hosts, name):
    all_hosts.put(plugin("lamp"))
    found = DiagnosticCheck("c", "d", Result.PASSED)
    all_hosts.checks |= {"lamp": [found], "vm": [found], "http://p/x": [found]}
    assert len(answered(door, "GET", f"/diagnose/vm/{name}").json["check"]) == 1
    path = f"/api/v1/components/{name.replace('/', '%2F')}/diagnose"
    assert len(answered(door, "POST", path).json["checks"]) == 1


def test_another_host_is_asked(door, all_hosts, checker):
    all_hosts.checks["x"] = [DiagnosticCheck("c", "d", Result.PASSED, component_id="plugin:x")]
    document = answered(door, "POST", "/api/v1/diagnosis?host=kitchen").json
    assert (document["host"], document["taken"], len(document["checks"])) == ("kitchen", None, 1)
    all_hosts.failures["diagnose", "kitchen"] = NoAnswer("silent")
    assert answered(door, "POST", "/api/v1/diagnosis?host=kitchen").status == 504
    assert answered(door, "GET", "/diagnose/kitchen").json == {
        "status": "ERROR",
        "code": 999,
        "description": "No data or timeout on diagnose host kitchen",
        "check": [],
    }


@pytest.mark.parametrize("path", ["/diagnose/attic", "/diagnose/vm/ghost", "/diagnose/vm/host:x"])
def test_what_is_not_there_is_an_error(door, checker, path):
    assert door.get(path).json["status"] == "ERROR"


def test_an_issue_is_listed_and_repaired(door, checker):
    diagnose(door)
    (one,) = door.get("/api/v1/issues").json["issues"]
    assert (one["component"], one["check"]["result"]) == (LAMP, "failed")
    body = json.dumps({"action": "start"}).encode()
    response = answered(door, "POST", f"/api/v1/issues/{one['id']}/repair", body=body)
    assert response.json == {"id": one["id"], "closed": True, "issue": None}
    assert door.get("/api/v1/issues").json["issues"] == []


def test_a_repair_that_fails_says_why(door, checker):
    diagnose(door)
    checker.fails = "no such file"
    response = answered(door, "POST", f"/api/v1/issues/{issue(door)}/repair", body=b"{}")
    assert (response.status, response.json["detail"]) == (409, "no such file")


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b'{"action": "dance"}', 409),
        (b'{"action": 1}', 400),
        (b'{"actoin": "start"}', 400),
        (b"[]", 400),
        (b"x", 400),
    ],
)
def test_nonsense_repairs_nothing(door, checker, body, status):
    diagnose(door)
    path = f"/api/v1/issues/{issue(door)}/repair"
    assert answered(door, "POST", path, body=body).status == status
    assert checker.result is Result.FAILED


def test_an_issue_that_nobody_has_is_404(door, checker):
    assert answered(door, "POST", "/api/v1/issues/nope/repair", body=b"{}").status == 404


def test_who_has_no_token_changes_nothing(door, checker):
    assert answered(door, "POST", "/api/v1/diagnosis", token=False).status == 401
    assert answered(door, "POST", "/api/v1/issues/x/repair", token=False).status == 401


def test_open_issues_are_counted(door, checker):
    diagnose(door)
    text = door.get("/metrics").body.decode()
    assert 'domogik_issues{result="failed"} 1.0' in text
    assert 'domogik_issues{result="warning"} 0.0' in text


@pytest.mark.parametrize("path", ["/api/v1/issues", "/api/v1/diagnosis"])
def test_rest_without_a_manager_says_so(door, path):
    response = door.get(path)
    assert response.status == 409
    assert "runs here without one" in response.json["detail"]


def test_a_whole_house_is_answered_in_portions(door, all_hosts):
    """Between them others have their turn."""
    many = [DiagnosticCheck(f"c{n}", "d", Result.PASSED) for n in range(450)]
    all_hosts.put(plugin("many"))
    all_hosts.checks["many"] = many
    connection = door.open("POST", "/api/v1/components/plugin:many/diagnose", token=True)
    assert connection.received == b""
    door.clock.advance(0)
    checks = connection.response().json["checks"]
    assert [check["check_id"] for check in checks] == [f"c{n}" for n in range(450)]
