"""`dmg_pkgmgr` where no manager runs: it works on the home under its lock."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from world import World, is_gone, wait_until

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
PROGRAM = "import sys; from domogik.app.commands.start import pkgmgr; sys.exit(pkgmgr())"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.write_configuration(src_prefix="", package_path="packages")
    yield made
    made.close()


def pkgmgr(world: World, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", PROGRAM, "--home", str(world.home), *words],
        env={key: value for key, value in os.environ.items() if not key.startswith("DOMOGIK_")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=world.home.parent,
    )


def test_a_package_is_installed_listed_and_removed_without_a_manager(world: World) -> None:
    made = pkgmgr(world, "create", str(EXAMPLES / "clock"))
    assert made.returncode == 0, made
    archive = next(world.home.parent.glob("plugin-clock-*.tgz"))
    installed = pkgmgr(world, "install", str(archive))
    assert installed.returncode == 0, installed
    assert (world.home / "packages" / "plugins" / "clock.xml").is_symlink()
    assert "plugin-clock" in pkgmgr(world, "list", "--installed").stdout
    assert pkgmgr(world, "uninstall", "clock").returncode == 0
    assert not (world.home / "packages" / "plugins" / "clock.xml").exists()
    assert list((world.home / "packages" / "store").iterdir()) == []
    assert world.processes() == []
    assert not (world.home / "run" / "rest.port").exists()


def test_plugins_that_a_crashed_manager_left_are_neither_stopped_nor_doubled(world: World) -> None:
    assert pkgmgr(world, "create", str(EXAMPLES / "clock")).returncode == 0
    archive = next(world.home.parent.glob("plugin-clock-*.tgz"))
    assert pkgmgr(world, "install", str(archive)).returncode == 0
    world.start("-d")
    world.post("/api/v1/components/clock/enable")
    world.post("/api/v1/components/clock/start")
    pid = world.component("clock")["pid"]
    world.stop(signal.SIGKILL)
    assert "yes" in pkgmgr(world, "list", "--installed").stdout
    refused = pkgmgr(world, "uninstall", "clock")
    assert refused.returncode == 1
    assert "is running" in refused.stderr
    assert psutil.pid_exists(pid)
    world.start("-d")
    assert world.wait_state("clock", "alive")["pid"] == pid
    assert world.stop() == 0
    assert world.processes() == []


def test_what_cannot_start_is_said_in_one_line(world: World) -> None:
    (world.home / "domogik.cfg").write_text("[domogik]\nhub = sometimes\n")
    refused = pkgmgr(world, "list")
    assert refused.returncode == 1
    assert "domogik.cfg:2" in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.parametrize("signum", [signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_the_manager_that_works_for_a_command_ends_with_it_however_that_ends(
    world: World, signum: int
) -> None:
    command = [sys.executable, "-c", PROGRAM, "--home", str(world.home), "update-cache"]
    with subprocess.Popen(command, start_new_session=True) as process:
        lock = world.home / "run" / "manager.lock"
        wait_until(lambda: lock.exists() and lock.read_text().strip(), "it works in the home")
        pid = int(lock.read_text())
        assert pid != process.pid
        process.send_signal(signum)
    wait_until(lambda: is_gone(pid), "nothing of it is left")


def test_a_home_that_is_not_there_is_not_made(world: World) -> None:
    world.home = world.home.parent / "elsewhere"
    done = pkgmgr(world, "list")
    assert done.returncode != 0
    assert f"there is no home {world.home}" in done.stderr
    assert not world.home.exists()
