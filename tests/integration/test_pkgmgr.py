"""`dmg_pkgmgr` as its users meet it: a real manager, a real repository, a real terminal."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from commands import command, environment, on_a_terminal, run
from storerooms import BROKEN, Repository, package_world, tree
from world import HOST, PATIENCE, World

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repo")


@pytest.fixture
def world(tmp_path: Path, repository: Repository) -> Iterator[World]:
    """A home whose repository is a directory; the manager runs."""
    repository.publish_example("diskfree", "1.0")
    made = package_world(tmp_path, str(repository.path))
    made.start("-d")
    yield made
    made.close()


def said(home: World | Path, *arguments: str) -> str:
    """What a command that succeeds writes."""
    done = run(home, "dmg_pkgmgr", *arguments)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def refused(home: World | Path, *arguments: str) -> str:
    """The one line of a command that fails."""
    done = run(home, "dmg_pkgmgr", *arguments)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1), done
    return done.stderr


def releases(world: World) -> dict[str, str]:
    found = json.loads(said(world, "list", "--installed", "--json"))
    return {package["id"]: package["release"] for package in found}


def test_from_the_repository_to_a_running_plugin_there_and_back(
    world: World, repository: Repository
) -> None:
    before = tree(world.home / "packages")
    assert str(repository.path) in said(world, "update-cache")
    assert "plugin-diskfree" in said(world, "list")
    assert f"plugin-diskfree 1.0 is installed on {HOST}" in said(world, "install", "diskfree")
    run(world, "dmg_ctl", "enable", "diskfree")
    run(world, "dmg_ctl", "start", "diskfree")
    assert "is running" in refused(world, "uninstall", "diskfree")

    repository.publish_example("diskfree", "1.1", BROKEN)
    said(world, "update-cache")
    assert "diskfree 1.1 did not start: " in refused(world, "update", "diskfree")
    assert releases(world) == {"diskfree": "1.0"}
    said(world, "hold", "diskfree")
    assert "diskfree 1.1 failed here before" in said(world, "update")
    said(world, "unhold", "diskfree")

    repository.publish_example("diskfree", "1.2")
    said(world, "update-cache")
    assert said(world, "update") == f"plugin-diskfree 1.2 is installed on {HOST}\n"
    assert said(world, "rollback", "diskfree") == "diskfree is back from 1.2 to 1.0\n"
    status = run(world, "dmg_ctl", "status", "diskfree", "--json").stdout
    assert json.loads(status)[0]["state"] == "alive"

    run(world, "dmg_ctl", "stop", "diskfree")
    said(world, "uninstall", "diskfree", "--with-data")
    assert tree(world.home / "packages") == before


def test_on_a_terminal_it_is_shown_how_far_it_is(world: World) -> None:
    shown = on_a_terminal(world, "dmg_pkgmgr", ["update-cache"])
    assert "refresh repositories" in shown
    shown = on_a_terminal(world, "dmg_pkgmgr", ["install", "diskfree"])
    assert "install plugin-diskfree" in shown
    assert shown.rstrip().endswith("dmg_ctl start diskfree")
    assert releases(world) == {"diskfree": "1.0"}
    assert "install plugin" not in on_a_terminal(
        world, "dmg_pkgmgr", ["rollback", "diskfree"], TERM="dumb"
    )


def test_a_file_is_installed_and_offered_from_then_on(world: World, tmp_path: Path) -> None:
    archive = said(world, "create", str(ROOT / "examples" / "clock"), "-o", str(tmp_path)).strip()
    assert "plugin-clock" in said(world, "install", archive)
    shown = json.loads(said(world, "show", "clock", "--json"))
    assert [offer["priority"] for offer in shown["offers"]] == [0]
    broken = tmp_path / "broken.tgz"
    broken.write_bytes(b"nonsense")
    assert "broken.tgz" in refused(world, "upload", str(broken))


def test_who_may_not_upload_hears_why_although_much_was_sent(world: World, tmp_path: Path) -> None:
    archive = tmp_path / "large.tgz"
    archive.write_bytes(bytes(20_000_000))
    url = f"http://127.0.0.1:{(world.home / 'run' / 'rest.port').read_text().strip()}"
    told = refused(tmp_path, "upload", str(archive), "--url", url)
    assert "Changing needs 'Authorization: Bearer <token>'" in told


def test_without_a_manager_it_is_said_what_to_start(tmp_path: Path) -> None:
    for arguments in (["update-cache"], ["install", "x"], ["uninstall", "x"], ["list"]):
        assert f"dmg_manager --home {tmp_path} (on the main host with -d" in refused(
            tmp_path, *arguments
        )


def test_it_starts_without_twisted(tmp_path: Path) -> None:
    program = (
        "import sys; from domogik.cli.pkgmgr.commands import _options; _options(); "
        "sys.exit('twisted' in sys.modules or 'lxml' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], timeout=PATIENCE, check=False)
    assert done.returncode == 0
    assert command("dmg_pkgmgr")


def test_the_home_of_make_run_offers_the_examples(tmp_path: Path) -> None:
    home = tmp_path / "home"
    for _ in range(2):
        subprocess.run(
            [sys.executable, "tools/first_home.py", str(home), str(ROOT / "examples")],
            cwd=ROOT,
            env=environment(home),
            timeout=PATIENCE,
            check=True,
        )
    assert (home / "sources.list").read_text().count("500 file://") == 1
    offered = (home / "examples" / "index.html").read_text().splitlines()
    assert [line.rpartition("/")[0] for line in offered[1:]] == [
        f"plugin/{name}" for name in ("clock", "diskfree", "ping", "script")
    ]
