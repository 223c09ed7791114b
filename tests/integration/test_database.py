"""A database that cannot be used: it is said, nothing is claimed, and it is tried again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from commands import run
from world import World, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_plugin("demo")
    made.write_configuration(
        "[supervision]\nbackoff_first = 0.1\nbackoff_max = 0.2\nslow_retry = 0.3\n"
    )
    yield made
    made.close()


def put(world: World, value: str) -> tuple[int, Any]:
    path = "/plugin/config/set/hostname/vm/id/demo/key/interval/value/"
    answer = world.request(f"{path}{value}/")[1]
    return answer["status"], answer["description"]


def dbmgr(world: World) -> dict[str, Any]:
    return world.component("core:dbmgr")


def fails(world: World) -> dict[str, Any]:
    return wait_until(
        lambda: (found := dbmgr(world))["state"] in ("backoff", "failed") and found, "it fails"
    )


def issues(world: World) -> list[str]:
    return [one["component"] for one in world.request("/api/v1/issues")[1]["issues"]]


def test_one_that_is_locked_at_the_start_is_opened_once_it_is_free(world: World) -> None:
    path = world.home / "data" / "domogik.db"
    path.parent.mkdir()
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        world.start("-d")
        assert "locked" in fails(world)["reason"]
        status, why = put(world, "7")
        assert status == "ERROR"
        assert "locked" in why
        wait_until(lambda: "core:dbmgr" in issues(world), "an issue")
        other.execute("ROLLBACK")
    world.wait_state("core:dbmgr", "running")
    assert put(world, "7")[0] == "OK"
    wait_until(lambda: "core:dbmgr" not in issues(world), "no issue")


def test_one_that_is_deleted_takes_nothing_until_it_is_back(world: World) -> None:
    world.start("-d")
    world.wait_state("core:dbmgr", "running")
    assert put(world, "7")[0] == "OK"
    path = world.home / "data" / "domogik.db"
    aside = world.home / "data" / "aside.db"
    path.rename(aside)
    status, why = put(world, "8")
    assert status == "ERROR"
    assert f"{path} is gone" in why
    assert str(path) in fails(world)["reason"]
    wait_until(lambda: "core:dbmgr" in issues(world), "an issue")
    wait_until(lambda: "put it back" in dbmgr(world)["reason"], "it says what to do")
    assert not path.exists()
    aside.rename(path)
    world.wait_state("core:dbmgr", "running")
    assert put(world, "9")[0] == "OK"


def test_one_that_was_replaced_is_opened_anew(world: World) -> None:
    world.start("-d")
    world.wait_state("core:dbmgr", "running")
    path = world.home / "data" / "domogik.db"
    path.with_suffix(".new").write_bytes(b"")
    path.with_suffix(".new").replace(path)
    assert put(world, "8")[0] == "ERROR"
    world.wait_state("core:dbmgr", "running")
    assert put(world, "9")[0] == "OK"


def test_one_with_a_corrupt_table_does_not_count_as_running(world: World) -> None:
    world.start("-d")
    world.wait_state("core:dbmgr", "running")
    for number in range(60):
        put(world, str(number))
    world.stop()
    path = world.home / "data" / "domogik.db"
    with closing(sqlite3.connect(path)) as connection:
        for number in range(400):
            connection.execute(
                "INSERT INTO plugin_config VALUES ('vm', 'p', ?, ?, 0)", (f"k{number}", "x" * 50)
            )
        connection.commit()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with path.open("r+b") as file:
        file.seek(4096)
        file.write(b"\xff" * 4096)
    world.start("-d")
    found = fails(world)
    assert "malformed" in found["reason"] or "is damaged: " in found["reason"]
    assert "***" not in found["reason"]
    wait_until(lambda: "core:dbmgr" in issues(world), "an issue")
    # a person removes it and has an empty one made: at once, though the broken one is open
    (issue,) = [
        one["id"]
        for one in world.request("/api/v1/issues")[1]["issues"]
        if one["component"] == "core:dbmgr"
    ]
    for one in path.parent.glob("domogik.db*"):
        one.unlink()
    done = run(world, "dmg_ctl", "repair", issue)
    assert (done.returncode, done.stderr) == (0, "")
    assert put(world, "9")[0] == "OK"
