"""Who says that it is one of ours: other hosts and other programs do not become plugins."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from namespaces import DistantWorld, Namespace, join, namespaces
from world import HOST, wait_until

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
