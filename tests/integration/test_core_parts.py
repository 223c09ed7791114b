"""dbmgr and rest are started and stopped while the manager runs: over xPL, REST, by the tools."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import run
from world import HOST, World, XplClient, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_plugin("demo")
    made.write_configuration("[plugins]\ndemo = enabled\n")
    made.start("-d")
    yield made
    made.close()


def is_closed(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.connect()
    except ConnectionRefusedError:
        return True
    finally:
        connection.close()
    return False


def test_dbmgr_is_stopped_and_started_over_xpl(world: World) -> None:
    with XplClient(world) as client:
        client.order("stop", "dbmgr")
        client.expect(
            lambda one: (one.schema, one.source) == ("hbeat.end", f"domogik-dbmgr.{HOST}")
        )
        assert "error" not in client.answer("stop")
        assert world.component("core:dbmgr")["state"] == "stopped"
        status, problem = world.request("/api/v1/components/demo/config")
        assert (status, problem["detail"]) == (409, "There is no database here, dbmgr is stopped")
        client.order("stop", "dbmgr")
        assert client.answer("stop")["error"] == f"Component dbmgr is not running on {HOST}"
        client.order("start", "dbmgr")
        client.expect(
            lambda one: (one.schema, one.source) == ("hbeat.app", f"domogik-dbmgr.{HOST}")
        )
        assert "error" not in client.answer("start")
        assert world.component("core:dbmgr")["state"] == "running"
        assert world.request("/api/v1/components/demo/config")[0] == 200
        client.order("start", "dbmgr")
        assert client.answer("start")["error"] == f"Component dbmgr is already running on {HOST}"


def test_rest_answers_the_order_to_stop_before_it_closes_and_tools_start_it_again(
    world: World,
) -> None:
    announced, port = world.home / "run" / "rest.port", world.rest_port
    assert world.post("/api/v1/components/core:rest/stop")["state"] == "stopped"
    assert not announced.exists()
    assert is_closed(port)
    done = run(world, "dmg_ctl", "stop", "core:rest")
    assert f"rest is not running on {HOST}" in done.stderr
    for command in ("start", "restart"):
        done = run(world, "dmg_ctl", command, "core:rest")
        assert (done.returncode, done.stderr) == (0, "")
        assert announced.exists()
        assert world.component("core:rest")["state"] == "running"
    assert world.post("/api/v1/components/core:rest/restart")["state"] == "running"
    with XplClient(world) as client:
        client.order("stop", "rest")
        assert "error" not in client.answer("stop")
    wait_until(lambda: not announced.exists(), "it is closed")
    assert run(world, "dmg_ctl", "start", "core:rest").returncode == 0
    assert run(world, "dmg_ctl", "restart", "core:dbmgr").returncode == 0
    assert world.stop() == 0
