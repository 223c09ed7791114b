"""What a saved file changes at once, what waits, and what tools do where it cannot be read."""

from __future__ import annotations

import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World, free_port, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_plugin("demo")
    yield made
    made.close()


def dmg_ctl(world: World, *arguments: str) -> subprocess.CompletedProcess[str]:
    program = "import sys; from domogik.app.commands.ctl import ctl; sys.exit(ctl())"
    return subprocess.run(
        [sys.executable, "-c", program, "--home", str(world.home), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_rest_moves_or_stays_where_it_is_and_says_why(world: World) -> None:
    world.start()
    first = world.rest_port
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = other.getsockname()[1]
        text = (world.home / "domogik.cfg").read_text()
        (world.home / "domogik.cfg").write_text(
            text.replace("rest_server_port = 0", f"rest_server_port = {taken}")
        )
        wait_until(lambda: "is taken" in world.component("core:rest")["reason"], "it says why")
        assert world.rest_port == first
        wait_until(
            lambda: (
                "core-address"
                in [
                    one["check"]["check_id"] for one in world.request("/api/v1/issues")[1]["issues"]
                ]
            ),
            "an issue",
        )
    wanted = free_port()
    (world.home / "domogik.cfg").write_text(
        text.replace("rest_server_port = 0", f"rest_server_port = {wanted}")
    )
    wait_until(lambda: world.rest_port == wanted, "it listens elsewhere")
    assert world.component("core:rest")["reason"] == ""


def test_tools_go_on_where_the_file_cannot_be_read_and_the_manager_is_well(world: World) -> None:
    world.start()
    file = world.home / "domogik.cfg"
    file.write_text(f"{file.read_text()}[plugins\n")
    line = file.read_text().count("\n")
    wait_until(lambda: world.component("core:manager")["reason"], "it says so")
    for command in (["status"], ["diagnose", "core:hub"], ["issues"]):
        done = dmg_ctl(world, *command)
        assert done.returncode == 0, done.stderr
        assert done.stderr.startswith(f"Warning: {file}:{line}: expected [section]")
    checked = dmg_ctl(world, "check-config")
    assert checked.returncode == 1
    assert checked.stdout.startswith(f"{file}:{line}: expected [section]")
    assert world.component("core:manager")["reason"].startswith(f"{file}:{line}: ")


def test_a_wrong_section_refuses_itself_at_the_start_and_a_wrong_address_the_start(
    world: World,
) -> None:
    world.write_configuration("[daemon:cache]\nkind = reddis\n")
    world.start()
    refused = world.component("daemon:cache")
    assert refused["state"] == "failed"
    assert f"{world.home}/domogik.cfg:8: kind in [daemon:cache] must be" in refused["reason"]
    world.stop()
    world.write_configuration("trusted_clients = everybody\n")
    done = subprocess.run(
        [*world.daemon("manager"), "-f"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "trusted_clients in [rest] must be addresses" in done.stderr


def test_a_new_repository_is_asked_when_sources_list_is_saved(world: World) -> None:
    world.write_configuration(src_prefix="")
    world.start()
    repository = world.home.parent / "repository"
    repository.mkdir()
    (world.home / "sources.list").write_text(f"10 file://{repository}\n")

    def asked() -> bool:
        found = world.request("/api/v1/repositories")[1]["repositories"]
        return any(
            one["url"].startswith(f"file://{repository}") and (one["error"] or one["as_of"])
            for one in found
        )

    wait_until(asked, "it was asked, and is no repository")
