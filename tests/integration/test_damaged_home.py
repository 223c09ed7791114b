"""What lies in the home is damaged, not ours to touch, or changes while the manager runs."""

from __future__ import annotations

import contextlib
import os
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import left_of, mortal
from namespaces import need_root
from world import HOST, PATIENCE, World, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def _enabled(*names: str) -> str:
    return "[plugins]\n" + "".join(f"{name} = enabled\n" for name in names)


def _refusal(world: World, *arguments: str) -> str:
    """The one line with which the manager does not start."""
    done = subprocess.run(
        world.command("-f", *arguments),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, done
    (line,) = done.stderr.splitlines()
    return line


def _make_newer(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA user_version = 999")


def _make_garbage(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + b"\xa5" * 8192)


def _make_foreign(path: Path) -> None:
    with contextlib.closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE recipes (soup TEXT)")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (_make_newer, "has schema number 999"),
        (_make_garbage, "domogik.db"),
        (_make_foreign, "another program's database"),
        (Path.mkdir, "Is a directory"),
    ],
    ids=["newer", "garbage", "foreign", "directory"],
)
def test_without_its_database_the_plugins_run_and_the_reason_is_told(
    world: World, damage: object, words: str
) -> None:
    world.add_plugin("demo")
    world.write_configuration(_enabled("demo"))
    database = world.home / "data" / "domogik.db"
    database.parent.mkdir()
    assert callable(damage)
    damage(database)
    before = database.read_bytes() if database.is_file() else b""
    world.start("-d")
    dbmgr = world.component("core:dbmgr")
    assert dbmgr["state"] == "failed"
    assert words in dbmgr["reason"]
    assert "\n" not in dbmgr["reason"]
    status, answer = world.request(f"/plugin/config/list/by-name/{HOST}/demo/")
    assert (status, answer["status"]) == (200, "ERROR")
    world.post("/api/v1/components/demo/start")
    assert world.component("demo")["state"] == "alive"
    assert world.stop() == 0
    assert (database.read_bytes() if database.is_file() else b"") == before
    assert left_of(world.home) == []


def test_a_home_that_cannot_be_written_is_said_in_one_line(world: World) -> None:
    world.prefix = mortal()
    world.home.chmod(0o500)
    try:
        line = _refusal(world)
    finally:
        world.home.chmod(0o700)
    assert str(world.home) in line
    assert "Permission denied" in line


def test_a_home_on_a_disk_that_is_read_only_is_said_in_one_line(world: World) -> None:
    need_root("a disk that is read-only")
    world.start()
    world.stop()
    mount = (
        f"mount --bind '{world.home}' '{world.home}' && "
        f"mount -o remount,bind,ro '{world.home}' && exec \"$@\""
    )
    world.prefix = ("unshare", "--mount", "sh", "-c", mount, "sh")
    logs_elsewhere = f"log_dir_path = {world.home.parent}/logs"
    for text in ("", logs_elsewhere):
        file = world.home / "domogik.cfg"
        file.write_text(file.read_text().replace("[rest]", f"{text}\n[rest]"))
        line = _refusal(world)
        assert str(world.home) in line
        assert "Read-only file system" in line


def test_a_token_that_cannot_be_read_is_said_in_one_line(world: World) -> None:
    world.start()
    world.stop()
    world.prefix = mortal()
    token = world.home / "admin.token"
    token.chmod(0)
    assert str(token) in _refusal(world, "-r", "-t", "0.2")
    token.chmod(0o600)
    token.write_bytes(b"")
    assert "empty" in _refusal(world, "-r", "-t", "0.2")


def test_a_home_may_have_any_name(tmp_path: Path) -> None:
    world = World(tmp_path, home="la maison 'de' é\u4e2d $HOME;%s")
    try:
        world.add_plugin("demo")
        world.write_configuration(_enabled("demo"))
        world.start("-d")
        world.post("/api/v1/components/demo/start")
        path = f"/plugin/config/set/hostname/{HOST}/id/demo/key/interval/value/7/"
        assert world.request(path)[1]["status"] == "OK"
        pid = world.component("demo")["pid"]
        world.kill()
        world.start("-d")
        assert world.wait_state("demo", "alive")["pid"] == pid
        assert world.stop() == 0
        assert left_of(world.home) == []
    finally:
        world.close()


def test_a_computer_with_an_empty_etc_is_enough(world: World) -> None:
    need_root("an /etc that is empty")
    world.add_plugin("demo")
    world.write_configuration(_enabled("demo"))
    world.prefix = ("unshare", "--mount", "sh", "-c", 'mount -t tmpfs none /etc && exec "$@"', "sh")
    world.start("-d")
    world.post("/api/v1/components/demo/start")
    assert world.component("demo")["state"] == "alive"
    assert world.stop() == 0


def _renamed_over(path: Path, text: str) -> None:
    """As most editors save a file."""
    draft = path.with_name(path.name + "~")
    draft.write_text(text)
    draft.replace(path)


def test_edits_of_any_kind_take_effect_and_touch_nobody_else(world: World) -> None:
    for name in ("demo", "other"):
        world.add_plugin(name)
    world.write_configuration(_enabled("demo"))
    world.start()
    world.post("/api/v1/components/demo/start")
    pid = world.component("demo")["pid"]
    file = world.home / "domogik.cfg"
    without = file.read_text()
    with_other = without + "other = enabled\n"

    def other_is(enabled: bool) -> None:
        wait_until(
            lambda: world.component("other")["enabled"] is enabled, f"other enabled: {enabled}"
        )

    # an editor that renames
    _renamed_over(file, with_other)
    other_is(True)
    # many edits at once, the last of which counts
    for number in range(50):
        _renamed_over(file, (without if number % 2 else with_other) + f"# edit {number}\n")
    other_is(False)
    for number in range(50):
        file.write_text((with_other if number % 2 else without) + f"# edit {number}\n")
    other_is(True)
    # all but the ports gone, and there again: without a file, REST moves to its own port
    file.write_text(without.partition("[plugins]")[0])
    other_is(False)
    file.write_text(with_other)
    other_is(True)
    # an order in the midst of edits loses neither
    _renamed_over(file, with_other + "# the last edit\n")
    world.post("/api/v1/components/other/disable")
    other_is(False)
    assert "# the last edit" in file.read_text()
    demo = world.component("demo")
    assert (demo["pid"], demo["state"], demo["restarts"]) == (pid, "alive", 0)
    assert "Traceback" not in world.output()
    assert world.stop() == 0


def test_a_hang_up_re_reads_what_nobody_noticed(world: World) -> None:
    for name in ("demo", "other"):
        world.add_plugin(name)
    world.write_configuration(_enabled("demo"))
    # a link: the directory that is watched is not the one in which the file changes
    file = world.home / "domogik.cfg"
    elsewhere = world.home.parent / "elsewhere"
    elsewhere.mkdir()
    file.rename(elsewhere / "real.cfg")
    file.symlink_to(elsewhere / "real.cfg")
    world.start()
    (elsewhere / "real.cfg").write_text((elsewhere / "real.cfg").read_text() + "other = enabled\n")
    assert world.manager is not None
    os.kill(world.manager.pid, signal.SIGHUP)
    wait_until(lambda: world.component("other")["enabled"], "re-read")
    world.post("/api/v1/components/other/disable")
    assert file.is_symlink()
    assert "other = disabled" in (elsewhere / "real.cfg").read_text()
    assert world.stop() == 0
