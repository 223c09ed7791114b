"""Every manager answers its owner's tools on a socket in its home, whether REST runs or not."""

from __future__ import annotations

import json
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import run
from world import World, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    deep = tmp_path / ("long" * 30) / "way"
    deep.mkdir(parents=True)
    made = World(deep)
    made.add_plugin("demo")
    made.write_configuration("[plugins]\ndemo = enabled\n")
    made.autostart = True
    yield made
    made.close()


def test_a_manager_without_rest_answers_its_tools_even_where_its_path_is_long(world: World) -> None:
    # the test's own notification socket would be too long: the tools tell when it is ready
    world.manager = subprocess.Popen(
        world.command("-f"), stdin=subprocess.DEVNULL, cwd=world.home.parent, start_new_session=True
    )
    wait_until((world.home / "run" / "manager.sock").exists, "it answers")
    assert stat.S_IMODE((world.home / "run" / "manager.sock").stat().st_mode) == 0o600
    assert not (world.home / "run" / "rest.port").exists()

    def state() -> str:
        done = run(world, "dmg_ctl", "--json", "status", "demo")
        assert done.returncode == 0, done.stderr
        return str(json.loads(done.stdout)[0]["state"])

    wait_until(lambda: state() == "alive", "it is started")
    done = run(world, "dmg_ctl", "stop", "demo")
    assert (done.returncode, done.stderr) == (0, "")
    assert state() == "stopped"
    assert world.stop() == 0
    assert not (world.home / "run" / "manager.sock").exists()
    done = run(world, "dmg_ctl", "status")
    assert "no manager runs in" in done.stderr


def test_what_a_killed_manager_left_behind_is_no_obstacle(world: World, tmp_path: Path) -> None:
    deep, world.home = world.home, tmp_path / "home"
    deep.rename(world.home)
    world.start()
    world.kill()
    assert (world.home / "run" / "manager.sock").exists()
    assert (world.home / "run" / "rest.port").exists()
    assert "nothing answers" in run(world, "dmg_ctl", "status").stderr
    world.start(command=world.command("-f"))
    assert not (world.home / "run" / "rest.port").exists()  # nothing listens there
    assert run(world, "dmg_ctl", "status").returncode == 0
    assert world.stop() == 0
