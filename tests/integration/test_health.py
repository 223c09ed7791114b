"""Health of a real manager: asked for on a terminal, over HTTP and over xPL, and repaired."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from commands import on_a_terminal, run
from world import HOST, PLUGIN, World, XplClient, wait_until

from domogik.xpl.codec.message import CMND, Message

TOKEN_MODE = 0o600


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    """A manager with a plugin that is enabled and stopped."""
    made = World(tmp_path)
    made.add_plugin("demo", PLUGIN)
    made.write_configuration("[plugins]\ndemo = enabled\n")
    made.start("-d", "-E")
    yield made
    made.close()


def checks(world: World, *names: str) -> dict[str, Any]:
    """What `--json diagnose` says of them."""
    done = run(world, "dmg_ctl", "--json", "diagnose", *names)
    return {check["check_id"]: check for check in json.loads(done.stdout)}


def issues(world: World) -> dict[str, Any]:
    found = json.loads(run(world, "dmg_ctl", "issues", "--json").stdout)
    return {issue["check"]["check_id"]: issue for issue in found}


def test_a_plugin_that_runs_is_well(world: World) -> None:
    world.post("/api/v1/components/plugin:demo/start")
    done = run(world, "dmg_ctl", "diagnose", "demo", "core:dbmgr")
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[0].split() == [
        "COMPONENT",
        "RESULT",
        "DESCRIPTION",
        "WHAT",
        "TO",
        "DO",
    ]
    assert "demo is heard" in done.stdout
    assert "The database can be read through" in done.stdout
    assert "9 checks: 9 passed" in done.stdout


def test_memory_and_cpu_are_told_though_nobody_looked_at_them(world: World) -> None:
    world.post("/api/v1/components/plugin:demo/start")

    def memory() -> list[str]:
        name = 'domogik_component_memory_bytes{component="plugin:demo"'
        connection = world.connect()
        try:
            connection.request("GET", "/metrics")
            text = connection.getresponse().read().decode()
        finally:
            connection.close()
        return [one for one in text.splitlines() if one.startswith(name)]

    (line,) = wait_until(memory, "the first sample")
    assert float(line.split()[-1]) > 1e6
    shown = run(world, "dmg_ctl", "status", "plugin:demo").stdout.splitlines()
    assert shown[0].split()[-3:-1] == ["CPU", "MEM"]
    assert shown[1].split()[-1].endswith("M")


def test_a_plugin_whose_script_is_gone_is_an_issue(world: World) -> None:
    world.post("/api/v1/components/plugin:demo/start")
    (world.source / "demo/src/domogik_packages/xpl/bin/demo.py").unlink()
    done = run(world, "dmg_ctl", "diagnose", "--problems", "demo")
    assert done.returncode == 1
    assert "The script of demo is missing: " in done.stdout
    assert "sends its heartbeat" not in done.stdout
    assert issues(world)["plugin-script"]["component"] == "plugin:demo"


def test_what_one_call_can_do_is_done_and_looked_at_again(world: World) -> None:
    token = world.home / "admin.token"
    token.chmod(0o644)
    assert checks(world, f"host:{HOST}")["host-permissions"]["result"] == "failed"
    issue = issues(world)["host-permissions"]
    shown = run(world, "dmg_ctl", "issues").stdout
    assert f"(dmg_ctl repair {issue['id']})" in shown
    done = run(world, "dmg_ctl", "repair", issue["id"])
    assert (done.returncode, done.stdout) == (0, f"{issue['id']}: closed\n")
    assert token.stat().st_mode & 0o777 == TOKEN_MODE
    assert "host-permissions" not in issues(world)
    again = run(world, "dmg_ctl", "repair", issue["id"])
    assert again.returncode == 1
    assert "there is no open issue" in again.stderr


def test_issues_outlive_the_manager(world: World) -> None:
    (world.home / "admin.token").chmod(0o644)
    checks(world, f"host:{HOST}")
    before = issues(world)["host-permissions"]
    assert world.stop() == 0
    world.start("-d", "-E")
    after = issues(world)["host-permissions"]
    assert (after["id"], after["opened"]) == (before["id"], before["opened"])


def test_everything_is_looked_at_with_a_line_that_says_how_far_it_is(world: World) -> None:
    shown = on_a_terminal(world, "dmg_ctl", ["diagnose"])
    assert "core:manager" in shown
    assert f"host:{HOST}" in shown
    assert " checks: " in shown
    status, document = world.request("/api/v1/diagnosis")
    assert status == 200
    assert document["taken"] is not None
    assert {"plugin:demo", "core:hub", f"host:{HOST}"} <= {
        check["component_id"] for check in document["checks"]
    }


def test_the_hub_gives_our_heartbeat_back(world: World) -> None:
    wait_until(
        lambda: checks(world, f"host:{HOST}")["host-hub"]["result"] == "passed", "the hub is found"
    )


def test_domogiks_own_clients_and_xpl_get_the_same(world: World) -> None:
    status, document = world.request(f"/diagnose/{HOST}/core:manager", token=False)
    assert (status, document["status"]) == (200, "OK")
    results = {check["check_id"]: check["result"] for check in document["check"]}
    assert results == {"core-running": "passed", "core-configuration": "passed"}
    body = (("command", "diagnose"), ("host", HOST), ("type", "core"), ("plugin", "core:manager"))
    with XplClient(world) as client:
        client.send(Message(CMND, client.source, "*", schema="domogik.system", body=body))
        answer = client.expect(
            lambda message: message.get("command") == "diagnose" and message.get("checks")
        )
    found = {answer.get(f"check{n}-id"): answer.get(f"check{n}-result") for n in range(2)}
    assert found == results


def test_a_broken_configuration_is_told_with_its_line(world: World) -> None:
    with (world.home / "domogik.cfg").open("a", encoding="utf-8") as file:
        file.write("nonsense\n")
    document = world.post("/api/v1/components/core:manager/diagnose")
    (failed,) = [check for check in document["checks"] if check["result"] == "failed"]
    assert "domogik.cfg:" in failed["description"]


def test_what_is_not_there_is_complained_about(world: World) -> None:
    done = run(world, "dmg_ctl", "diagnose", "ghost", "core:hub")
    assert done.returncode == 1
    assert "ghost" in done.stderr
    assert "core:hub" in done.stdout
