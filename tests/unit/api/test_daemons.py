"""Managed daemons over HTTP: the old paths, the new ones, and who is told a password."""

from __future__ import annotations

import pytest

from domogik.components.health import DiagnosticCheck, Result
from domogik.components.model import State
from domogik.errors import NoAnswer
from domogik.testing.all_hosts import daemon, plugin

ONE = "/api/v1/components/daemon:cache"


@pytest.fixture(autouse=True)
def cache(all_hosts):
    all_hosts.put(
        daemon("cache", state=State.ALIVE, pid=7), daemon("far", "kitchen"), plugin("demo")
    )


def test_daemons_are_listed_by_host(door):
    assert door.get("/daemon/list/").json == {
        "status": "OK",
        "code": 0,
        "description": "None",
        "daemon": [
            {
                "host": "vm",
                "list": [
                    {
                        "id": "cache",
                        "technology": "redis",
                        "status": "ON",
                        "type": "daemon",
                        "host": "vm",
                    }
                ],
            },
            {
                "host": "kitchen",
                "list": [
                    {
                        "id": "far",
                        "technology": "redis",
                        "status": "OFF",
                        "type": "daemon",
                        "host": "kitchen",
                    }
                ],
            },
        ],
    }


def test_a_detail_has_what_it_was_configured_with(door, all_hosts):
    all_hosts.member_values["cache"] = (("port", "6379"), ("password", "set"))
    (item,) = door.get("/daemon/detail/vm/cache").json["daemon"]
    assert item["configuration"] == [
        {"id": 1, "key": "port", "value": "6379"},
        {"id": 2, "key": "password", "value": "set"},
    ]
    assert (item["pid"], item["state"]) == (7, "alive")
    values = door.get(f"{ONE}/config").json["values"]
    assert values == {"port": "6379", "password": "set"}


@pytest.mark.parametrize("verb", ["stop", "restart"])
@pytest.mark.parametrize("method", ["GET", "POST", "PUT"])
def test_orders_need_the_token(door, all_hosts, verb, method):
    path = f"/daemon/{verb}/vm/cache/"
    assert door.ask(method, path).status == 401
    assert all_hosts.done == []
    answer = door.ask(method, path, token=True)
    assert answer.json == {"status": "OK", "code": 0, "description": "None"}
    assert all_hosts.done == [(verb, "vm", "cache")]


def test_a_script_may_have_it(door):
    assert door.get("/daemon/list?callback=f").body.startswith(b"f ({")


@pytest.mark.parametrize("path", ["start/vm/demo", "start/vm/ghost", "detail/attic/cache"])
def test_what_is_no_daemon_is_said_in_the_envelope(door, path):
    answer = door.get(f"/daemon/{path}", token=True)
    assert answer.status == 200
    assert answer.json["code"] == 999
    assert "doesn't exists on" in answer.json["description"]


def test_a_silent_host_is_named(door, all_hosts):
    all_hosts.failures["start", "far"] = NoAnswer("No answer")
    answer = door.get("/daemon/start/kitchen/far", token=True)
    assert answer.json["description"] == "No data or timeout on start daemon far"


def test_checks_are_shown_by_both_faces(door, all_hosts):
    check = DiagnosticCheck(
        "daemon-ready", "It is {what}", Result.PASSED, parameters={"what": "well"}
    )
    all_hosts.checks["cache"] = [check]
    shown = check.to_json()
    assert door.get("/daemon/diagnose/vm/cache").json["check"] == [{**shown, "component_id": ""}]
    answer = door.post(f"{ONE}/diagnose").json
    assert answer == {"id": "daemon:cache", "host": "vm", "checks": [shown]}


def test_its_password_is_told_for_the_token_alone(make_door, all_hosts):
    door = make_door(all_hosts, trusted_clients=())
    assert door.get(f"{ONE}/credentials").status == 401
    assert door.get(f"{ONE}/credentials", headers={"Origin": "http://evil"}, token=True).status in (
        401,
        403,
    )
    answer = door.get(f"{ONE}/credentials", token=True)
    assert answer.json["url"] == "redis://:secret@127.0.0.1:6379/cache"
    assert answer.headers["cache-control"] == "no-store"


def test_backups_are_written_listed_and_put_back(door):
    made = door.post(f"{ONE}/backup?file=one.backup").json
    assert made == {"file": "one.backup", "size_bytes": 7, "written": "1970-01-01T00:16:40.000Z"}
    assert door.get(f"{ONE}/backups").json == {"backups": [made]}
    assert door.post(f"{ONE}/restore?file=one.backup").json["id"] == "daemon:cache"
    assert door.post(f"{ONE}/restore?file=two.backup").status == 409
    assert door.post(f"{ONE}/restore").status == 400


@pytest.mark.parametrize("verb", ["backup", "reload"])
def test_only_daemons_of_this_host_can_do_it(door, verb):
    assert door.post(f"/api/v1/components/plugin:demo/{verb}").status == 409
    answer = door.post(f"/api/v1/components/daemon:far/{verb}?host=kitchen")
    assert answer.status == 409
    assert answer.json["detail"] == "Not available from another host"
