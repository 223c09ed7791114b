"""`twistd domogik-...` to the background: ready, its log written, ended by its pid file."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import PATIENCE, World, free_port, is_gone, wait_until


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path, xpl_port=str(free_port(socket.SOCK_DGRAM)))
    yield made
    made.close()


@pytest.mark.parametrize("name", ["manager", "hub", "dbmgr", "rest"])
def test_each_daemon_runs_in_the_background_of_twistd_and_ends_by_its_pid_file(
    world: World, name: str
) -> None:
    pid_file, log = world.home.parent / "twistd.pid", world.home.parent / "twistd.log"
    ready = world.home.parent / "ready.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
        sock.bind(str(ready))
        sock.settimeout(PATIENCE)
        done = subprocess.run(
            [
                str(Path(sys.executable).parent / "twistd"),
                f"--pidfile={pid_file}",
                "-l",
                str(log),
                f"domogik-{name}",
                f"--home={world.home}",
            ],
            env=dict(os.environ, NOTIFY_SOCKET=str(ready)),
            cwd=world.home.parent,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert (done.returncode, done.stderr) == (0, "")
        pid = int(pid_file.read_text())
        try:
            while (said := sock.recv(4096)) != b"READY=1":
                assert not said.startswith(b"ERROR"), said
            assert log.read_text()
        finally:
            os.kill(pid, signal.SIGTERM)
        wait_until(lambda: is_gone(pid), "it has ended")
    assert not pid_file.exists()
