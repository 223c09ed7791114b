"""A plugin that puts itself into the background, as scripts of 2012 do, is kept like any other."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from hostile import DAEMON, left_of
from world import World, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_plugin("old", DAEMON)
    made.write_configuration("[supervision]\nbackoff_first = 0.05\n[plugins]\nold = enabled\n")
    made.start()
    yield made
    made.close()


def _alive_as(world: World, before: int | None = None) -> int:
    """Its pid once it is alive, with another than `before`: that of the one process there is."""

    def found() -> Any:
        told = world.component("old")
        return told["state"] == "alive" and told["pid"] != before and told

    pid = int(wait_until(found, "alive")["pid"])
    assert [process.pid for process in world.processes()] == [pid]
    assert os.getsid(pid) != pid
    return pid


def test_it_is_started_restarted_and_stopped(world: World) -> None:
    world.post("/api/v1/components/old/start")
    first = _alive_as(world)
    world.post("/api/v1/components/old/restart")
    second = _alive_as(world, first)
    psutil.Process(second).kill()
    _alive_as(world, second)
    assert world.component("old")["restarts"] == 1
    world.post("/api/v1/components/old/stop")
    assert world.component("old")["state"] == "stopped"
    assert world.processes() == []
    world.post("/api/v1/components/old/start")
    assert world.stop() == 0
    assert left_of(world.home) == []


def test_it_outlives_an_upgrade_and_the_death_of_the_manager(world: World) -> None:
    world.post("/api/v1/components/old/start")
    pid = _alive_as(world)
    is_back = world.listens_anew()
    assert world.manager is not None
    world.manager.send_signal(signal.SIGUSR2)
    wait_until(is_back, "the new manager")
    assert _alive_as(world) == pid
    world.kill()
    world.start()
    assert _alive_as(world) == pid
    assert world.component("old")["restarts"] == 0
    psutil.Process(pid).kill()
    _alive_as(world, pid)
    assert world.stop() == 0
    assert left_of(world.home) == []
