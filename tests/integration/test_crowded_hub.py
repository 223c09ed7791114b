"""A program that takes all places of the hub for itself: others are served all the same."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import HOST, World, XplClient, wait_until

#: 300 clients in one process: each with a port of its own, and heard again and again
CROWD = r"""
import socket, sys, time
hub = ("127.0.0.1", int(sys.argv[1]))
socks = []
for number in range(300):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind(("127.0.0.1", 0))
    socks.append(sock)
pause = 0.003
while True:
    for number, sock in enumerate(socks):
        text = (
            f"xpl-stat\n{{\nhop=1\nsource=acme-crowd.n{number}\ntarget=*\n}}\nhbeat.app\n{{\n"
            f"interval=5\nport={sock.getsockname()[1]}\nremote-ip=127.0.0.1\n}}\n"
        )
        sock.sendto(text.encode(), hub)
        time.sleep(pause)
    pause = 0.05  # nobody's receive buffer shall overflow while the test is busy
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_plugin("demo")
    made.write_configuration("[plugins]\ndemo = enabled\n")
    yield made
    made.close()


def _clients(world: World) -> list[str]:
    """The sources that the hub has written down."""
    file = world.home / "run" / "hub.json"
    table = json.loads(file.read_text())["clients"] if file.exists() else []
    return [source["source"] for client in table for source in client["sources"]]


def test_one_program_with_hundreds_of_clients_keeps_no_other_from_being_served(
    world: World,
) -> None:
    world.start()
    port = (world.home / "run" / "xpl.port").read_text().strip()
    crowd = subprocess.Popen([sys.executable, "-c", CROWD, port])
    try:
        wait_until(lambda: len(_clients(world)) >= 255, "the hub is full")
        # the newcomer gets its heartbeat back, and then what others send
        with XplClient(world) as newcomer:
            world.post("/api/v1/components/demo/start")
            newcomer.expect(lambda message: message.source == f"domogik-demo.{HOST}")
            wait_until(
                lambda: {newcomer.source, f"domogik-demo.{HOST}"} <= set(_clients(world)),
                "both are clients",
            )
            issues = wait_until(
                lambda: [
                    issue
                    for issue in world.request("/api/v1/issues")[1]["issues"]
                    if issue["check"]["check_id"] == "host-hub-room"
                ],
                "an issue says it",
            )
            assert f"(process {crowd.pid})" in issues[0]["check"]["description"]
            # and keeps its place while the crowd goes on
            for _ in range(50):
                newcomer.expect(lambda message: message.source.startswith("acme-crowd."))
            assert f"domogik-demo.{HOST}" in _clients(world)
    finally:
        crowd.kill()
        crowd.wait()
    assert world.stop() == 0
