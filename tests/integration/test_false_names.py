"""Who says that it is one of ours: other hosts and other programs do not become plugins."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespaces import DistantWorld, Namespace, join, namespaces
from world import HOST, PATIENCE, wait_until

HERE, THERE = "10.79.0.1", "10.79.0.2"


@pytest.fixture
def network() -> Iterator[tuple[Namespace, Namespace]]:
    with namespaces(2) as (one, other):
        join(one, f"{HERE}/24", other, f"{THERE}/24")
        yield one, other


@pytest.fixture
def world(tmp_path: Path, network: tuple[Namespace, Namespace]) -> Iterator[DistantWorld]:
    """A host with the plugins demo and lamp, both enabled."""
    made = DistantWorld(tmp_path / "one", network[0], HERE)
    for name in ("demo", "lamp"):
        made.add_plugin(name)
    (made.home / "domogik.cfg").write_text(
        f"[domogik]\nhostname = {HOST}\nbind_interface = {HERE}\nsrc_prefix = {made.source}\n"
        f"[rest]\nrest_server_ip = {HERE}\n[plugins]\ndemo = enabled\nlamp = enabled\n"
    )
    yield made
    made.close()


def beat(name: str, port: int, ip: str = HERE) -> bytes:
    return (
        f"xpl-stat\n{{\nhop=1\nsource=domogik-{name}.{HOST}\ntarget=*\n}}\nhbeat.app\n{{\n"
        f"interval=5\nport={port}\nremote-ip={ip}\nstatus=2\n}}\n"
    ).encode()


def names_issue(world: DistantWorld) -> str:
    """What the issue about names says; empty without one."""
    for issue in world.request("/api/v1/issues")[1]["issues"]:
        if issue["check"]["check_id"] == "host-names":
            return str(issue["check"]["description"])
    return ""


@contextlib.contextmanager
def said_again_and_again(*said: tuple[socket.socket, bytes]) -> Iterator[None]:
    """Each is sent to the hub of the host, 20 times a second."""
    done = threading.Event()

    def speak() -> None:
        while not done.wait(0.05):
            for sock, data in said:
                sock.sendto(data, (HERE, 3865))

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        yield
    finally:
        done.set()
        speaker.join()


def test_neighbours_and_other_programs_do_not_speak_for_our_plugins(
    world: DistantWorld, network: tuple[Namespace, Namespace]
) -> None:
    here, there = network
    world.start("-p", "-t", "1", "-w", "0.5")
    world.post("/api/v1/components/demo/start")
    pid = world.component("demo")["pid"]
    with there.udp(THERE) as neighbour, here.udp(HERE) as stranger:
        port = stranger.getsockname()[1]
        forged = [
            (neighbour, beat("demo", neighbour.getsockname()[1], THERE)),
            (stranger, beat("demo", port)),
            # no process on this host is a plugin that speaks from another one
            (neighbour, beat("lamp", 50001)),
        ]
        with said_again_and_again(*forged):
            os.kill(pid, signal.SIGSTOP)
            try:
                world.wait_state("demo", "not-responding")
                # it stays so over several pings more
                seen = {world.component("demo")["state"] for _ in range(100)}
                assert seen == {"not-responding"}
            finally:
                os.kill(pid, signal.SIGCONT)
            world.wait_state("demo", "alive")
            assert world.component("lamp")["state"] == "stopped"
            world.post("/api/v1/components/lamp/start")
            assert world.component("lamp")["state"] == "alive"
        world.post("/api/v1/components/lamp/stop")
        # but one that a person starts on this host is heard
        stranger.sendto(beat("lamp", port), (HERE, 3865))
        wait_until(lambda: world.component("lamp")["reason"] == "started by hand", "by hand")
    assert world.stop() == 0


def test_nobody_keeps_the_manager_rest_or_dbmgr_from_starting_by_their_name(
    world: DistantWorld, network: tuple[Namespace, Namespace]
) -> None:
    here, there = network
    with there.udp(THERE) as neighbour, here.udp(HERE) as stranger:
        port = stranger.getsockname()[1]
        forged = [
            said
            for role in ("manager", "rest", "dbmgr")
            for said in ((neighbour, beat(role, 50001, THERE)), (stranger, beat(role, port)))
        ]
        with said_again_and_again(*forged):
            world.start("-d", "-t", "1")
            for role in ("manager", "rest", "dbmgr"):
                assert world.component(f"core:{role}")["state"] == "running"
            text = wait_until(lambda: names_issue(world), "an issue says it")
            for role in ("manager", "rest", "dbmgr"):
                assert f"domogik-{role}.{HOST} speaks from {THERE}:50001 too" in text
            assert f"{HERE}:{port}" in text
    assert world.stop() == 0


def test_two_hosts_of_one_name_both_start_and_both_say_so(
    world: DistantWorld, network: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    other = DistantWorld(tmp_path / "other", network[1], THERE)
    (other.home / "domogik.cfg").write_text(
        f"[domogik]\nhostname = {HOST}\nbind_interface = {THERE}\nsrc_prefix = {other.source}\n"
        f"[rest]\nrest_server_ip = {THERE}\n"
    )
    try:
        world.start("-t", "1")
        other.start("-t", "1")
        said = f"domogik-manager.{HOST} speaks from"
        wait_until(lambda: f"{said} {THERE}" in names_issue(world), "the first says it")
        wait_until(lambda: f"{said} {HERE}" in names_issue(other), "the second says it")
        assert other.stop() == 0
        assert world.stop() == 0
    finally:
        other.close()


def test_a_second_manager_of_this_host_is_refused_as_before(
    world: DistantWorld, network: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    second = DistantWorld(tmp_path / "second", network[0], HERE)
    (second.home / "domogik.cfg").write_text(
        f"[domogik]\nhostname = {HOST}\nbind_interface = {HERE}\nsrc_prefix = {second.source}\n"
        f"[rest]\nrest_server_port = 0\n"
    )
    world.start("-t", "1")
    done = subprocess.run(
        second.command("-f"), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert f"domogik-manager.{HOST} already speaks from {HERE}:" in done.stderr
    assert names_issue(world) == ""
    assert world.stop() == 0
