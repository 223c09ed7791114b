"""What was asked before the manager died: the manager that follows carries it out."""

from __future__ import annotations

import contextlib
import http.client
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import PLUGIN, World, is_gone, wait_until

#: hears no TERM
DEAF = PLUGIN.replace("signal.signal(signal.SIGTERM, leave)", "signal.signal(15, signal.SIG_IGN)")


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_plugin("deaf", DEAF)
    made.write_configuration(
        "[plugins]\ndeaf = enabled\n[component:plugin:deaf]\nstop_timeout = 2\n"
    )
    try:
        made.start("-d")
        made.post("/api/v1/components/deaf/start")
        yield made
    finally:
        made.close()


def _die_while(world: World, order: str) -> int:
    """Kill the manager in the middle of an order; the number of the plugin, which lives on."""
    pid = int(world.component("deaf")["pid"])

    def ask() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            world.post(f"/api/v1/components/deaf/{order}")

    asking = threading.Thread(target=ask)
    asking.start()
    world.wait_state("deaf", "stopping")
    world.kill()
    asking.join()
    assert not is_gone(pid)
    return pid


def test_a_stop_is_carried_out_by_the_manager_that_follows(world: World) -> None:
    pid = _die_while(world, "stop")
    world.start("-d")
    wait_until(lambda: is_gone(pid), "the plugin has ended")
    stopped = world.wait_state("deaf", "stopped")
    assert stopped["enabled"]
    assert stopped["restarts"] == 0
    _, issues = world.request("/api/v1/issues")
    assert "plugin:deaf" not in str(issues)
    # and a stop that was done before a crash is not undone by it either
    world.kill()
    world.start("-d")
    world.wait_state("deaf", "stopped")


def test_a_restart_is_a_restart_still(world: World) -> None:
    pid = _die_while(world, "restart")
    world.start("-d")
    wait_until(lambda: is_gone(pid), "the plugin has ended")
    again = world.wait_state("deaf", "alive")
    assert again["pid"] != pid
    assert again["restarts"] == 0


def test_a_manager_killed_while_it_stops_is_followed_by_one_that_runs_everything(
    world: World,
) -> None:
    pid = int(world.component("deaf")["pid"])
    assert world.manager is not None
    world.manager.terminate()
    record = world.home / "run" / "processes" / "plugin-deaf.json"
    wait_until(lambda: b'"ending": true' in record.read_bytes(), "the plugin is told to end")
    world.kill()
    world.start("-d")
    wait_until(lambda: is_gone(pid), "the plugin has ended")
    world.wait_state("deaf", "alive")
