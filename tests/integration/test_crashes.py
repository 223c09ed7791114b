"""The manager dies, is told to stop at a bad moment, or finds what another left behind."""

from __future__ import annotations

import http.client
import json
import os
import random
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from hostile import RELUCTANT, left_of
from world import PATIENCE, PLUGIN, World, free_port, wait_until

_SETTLED = ("alive", "stopped", "failed", "disabled")
#: how often the manager is killed at a bad moment; more at night
_CRASHES = int(os.environ.get("DOMOGIK_CRASHES", "5"))


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def _enabled(*names: str) -> str:
    return "[plugins]\n" + "".join(f"{name} = enabled\n" for name in names)


def _demo(world: World, text: str = "", **keys: str) -> None:
    world.add_plugin("demo")
    world.write_configuration(text + _enabled("demo"), **keys)


def _pids(world: World, name: str) -> list[int]:
    """The first processes of a plugin that live."""
    found = []
    for process in world.processes():
        with suppress(psutil.Error, ProcessLookupError):
            if process.environ().get("DOMOGIK_NAME") == name and os.getsid(process.pid) == (
                process.pid
            ):
                found.append(process.pid)
    return found


class _Restless(threading.Thread):
    """Somebody who orders this and that from a plugin until the manager dies."""

    def __init__(self, world: World, name: str, seed: int) -> None:
        super().__init__()
        self._world = world
        self._name = name
        self._random = random.Random(seed)

    def run(self) -> None:
        with suppress(OSError, ValueError, http.client.HTTPException):
            while True:
                verb = self._random.choice(("start", "stop", "restart"))
                self._world.request(f"/api/v1/components/{self._name}/{verb}", "POST")


def test_crashes_at_bad_moments_lose_and_double_nothing(world: World) -> None:
    restless = ("rest1", "rest2", "rest3")
    names = ("steady", "ended", "quiet", *restless)
    for name in names:
        world.add_plugin(name)
    world.write_configuration(
        "[supervision]\nstart_timeout = 10\nbackoff_first = 0.05\n" + _enabled(*names)
    )
    world.start()
    world.post("/api/v1/components/steady/start")
    world.post("/api/v1/components/ended/start")
    world.post("/api/v1/components/ended/stop")
    pid = world.component("steady")["pid"]
    moments = random.Random(20)
    for crash in range(_CRASHES):
        threads = [_Restless(world, name, 10 * crash + i) for i, name in enumerate(restless)]
        for thread in threads:
            thread.start()
        # the moment of the crash is what is tried here; nothing waits for it
        threading.Event().wait(moments.uniform(0.02, 0.6))
        world.kill()
        for thread in threads:
            thread.join(PATIENCE)
        world.start()
    settled = {
        name: wait_until(
            lambda name=name: (  # type: ignore[misc]
                (found := world.component(name))["state"] in _SETTLED and found
            ),
            f"{name} settles",
        )
        for name in names
    }
    assert settled["steady"]["state"] == "alive"
    assert settled["steady"]["pid"] == pid
    assert settled["ended"]["state"] == settled["quiet"]["state"] == "stopped"
    for name, found in settled.items():
        alive = found["state"] == "alive"
        assert _pids(world, name) == ([found["pid"]] if alive else []), (name, found)
    assert world.stop() == 0
    assert left_of(world.home) == []


def test_a_manager_that_is_killed_while_it_starts_leaves_a_home_that_works(world: World) -> None:
    _demo(world)
    world.start()
    world.post("/api/v1/components/demo/start")
    pid = world.component("demo")["pid"]
    world.kill()
    for pause in (0.05, 0.2, 0.4, 0.6):
        manager = subprocess.Popen(
            world.command("-f", "-r"), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with suppress(subprocess.TimeoutExpired):
            manager.wait(pause)  # again: the moment is what is tried
        manager.kill()
        manager.wait()
    world.start()
    assert world.wait_state("demo", "alive")["pid"] == pid
    assert _pids(world, "demo") == [pid]
    assert world.stop() == 0
    assert left_of(world.home) == []


@pytest.mark.parametrize(
    "damage",
    [b"", b'{"id": "plugin:demo", "run', b"\0" * 4096, b"[" * 100_000],
    ids=["empty", "half", "zeroes", "deep"],
)
def test_a_damaged_record_does_not_double_a_plugin(world: World, damage: bytes) -> None:
    _demo(world)
    world.start()
    world.post("/api/v1/components/demo/start")
    pid = world.component("demo")["pid"]
    world.kill()
    (record,) = (world.home / "run" / "processes").iterdir()
    record.write_bytes(damage)
    world.start()
    demo = world.wait_state("demo", "alive")
    assert _pids(world, "demo") == [demo["pid"]] == [pid]
    assert world.stop() == 0
    assert left_of(world.home) == []


_MINIMAL = """
from domogik.plugin import Plugin, run

run(Plugin)
"""


@pytest.mark.parametrize("script", [PLUGIN, _MINIMAL], ids=["foreign", "ours"])
def test_a_plugin_unknown_to_the_next_hub_is_heard(world: World, script: str) -> None:
    world.add_plugin("demo", script)
    world.write_configuration("[supervision]\nstart_timeout = 300\n" + _enabled("demo"))
    world.start()
    world.post("/api/v1/components/demo/start")
    pid = world.component("demo")["pid"]
    world.kill()
    (world.home / "run" / "hub.json").unlink()
    world.start()
    assert world.wait_state("demo", "alive")["pid"] == pid
    assert _pids(world, "demo") == [pid]
    assert world.stop() == 0
    assert left_of(world.home) == []


def test_without_any_state_file_there_is_still_one_of_each(world: World) -> None:
    # nobody knows where it listens: it has to be started again, once its time is over
    _demo(world, "[supervision]\nstart_timeout = 5\nbackoff_first = 0\n")
    world.start()
    world.post("/api/v1/components/demo/start")
    world.kill()
    for path in (world.home / "run").rglob("*.json"):
        path.write_bytes(b"\0" * 100)
    world.start()
    demo = world.wait_state("demo", "alive")
    assert _pids(world, "demo") == [demo["pid"]]
    assert world.stop() == 0
    assert left_of(world.home) == []


def test_files_of_a_manager_that_is_gone_mean_nothing(world: World) -> None:
    _demo(world)
    world.start()
    world.stop()
    run = world.home / "run"
    (run / "manager.pid").write_text(f"{os.getpid()}\n")
    (run / "manager.lock").write_text(f"{os.getpid()}\n")
    (run / "rest.port").write_text("no number\n")
    (run / "xpl.port").write_text("999999\n")
    (run / "notify.sock").unlink(missing_ok=True)
    (run / "notify.sock").write_text("in the way")
    record = {
        "id": "plugin:demo",
        "run_id": "0" * 32,
        "started": 1.0,
        "wanted": True,
        "process": {"pid": os.getpid(), "started": 1, "boot": "another"},
    }
    (run / "processes" / "plugin-demo.json").write_text(json.dumps(record) + "\n")
    world._crashed = True  # what ran goes on
    world.start()
    assert world.wait_state("demo", "alive")["pid"] != os.getpid()
    assert int((run / "manager.pid").read_text()) != os.getpid()
    assert world.stop() == 0
    assert left_of(world.home) == []


def test_a_hostile_table_of_the_hub_is_no_order_to_send_anywhere(world: World) -> None:
    _demo(world)
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as victim,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as client,
    ):
        victim.bind(("127.0.0.1", 0))
        client.bind(("127.0.0.1", 0))
        client.settimeout(PATIENCE)
        known = {"source": "acme-old.here", "interval": 5, "last_heard": time.time()}
        entries: list[object] = [
            {"address": address, "port": port, "interval": 5, "last_heard": 0, "sources": sources}
            for address, port, sources in (
                ("203.0.113.1", 9, [known]),
                ("255.255.255.255", 3865, [known]),
                ("not an address", 4000, [known]),
                ("127.0.0.1", 0, [known]),
                ("127.0.0.1", 70_000, [known]),
                ("127.0.0.1", victim.getsockname()[1], []),
                ("127.0.0.1", victim.getsockname()[1], [known | {"source": "a\nhop=1"}]),
                ("127.0.0.1", victim.getsockname()[1], [known | {"interval": 1e400}]),
                ("127.0.0.1", client.getsockname()[1], [known]),
            )
        ]
        (world.home / "run").mkdir()
        table = json.dumps({"format": 1, "clients": [*entries, *([None, 7, {}] * 3000)]})
        (world.home / "run" / "hub.json").write_text(table)
        world.start()
        assert b"hbeat.request" in client.recv(65536)
        victim.setblocking(False)
        with pytest.raises(BlockingIOError):
            victim.recv(65536)
    world.post("/api/v1/components/demo/start")
    assert world.component("demo")["state"] == "alive"


def test_two_upgrades_in_a_row_are_one(world: World) -> None:
    _demo(world)
    world.start()
    world.post("/api/v1/components/demo/start")
    pid = world.component("demo")["pid"]
    assert world.manager is not None
    manager = world.manager.pid
    is_new = world.listens_anew()
    os.kill(manager, signal.SIGUSR2)
    os.kill(manager, signal.SIGUSR2)

    def asked_while_it_cannot_listen() -> bool:
        """In the first moments of the new program: nobody there knows of signals yet."""
        os.kill(manager, signal.SIGSTOP)
        os.waitid(os.P_PID, manager, os.WSTOPPED)
        status = Path(f"/proc/{manager}/status").read_text()
        (caught,) = (line.split()[1] for line in status.splitlines() if "SigCgt:" in line)
        is_deaf = not int(caught, 16) >> (signal.SIGUSR2 - 1) & 1
        if is_deaf:
            os.kill(manager, signal.SIGUSR2)
        os.kill(manager, signal.SIGCONT)
        return is_deaf

    wait_until(lambda: asked_while_it_cannot_listen() or is_new(), "it is executed anew")
    wait_until(is_new, "it listens again")
    assert world.wait_state("demo", "alive")["pid"] == pid
    assert _pids(world, "demo") == [pid]
    assert world.stop() == 0
    assert left_of(world.home) == []


def _begin(world: World, *arguments: str) -> tuple[subprocess.Popen[bytes], socket.socket]:
    """A manager whose steps are told to a socket."""
    told = world.home.parent / "told.sock"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    sock.bind(str(told))
    sock.settimeout(PATIENCE)
    manager = subprocess.Popen(
        world.command("-f", "-r", "-d", *arguments),
        env=dict(os.environ, NOTIFY_SOCKET=str(told)),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        cwd=world.home.parent,
    )
    world.manager = manager
    return manager, sock


@pytest.mark.parametrize(
    "step", [b"STATUS=Check if rest", b"STATUS=Check if dbmgr", b"STATUS=plugins", b"READY"]
)
def test_told_to_stop_during_its_start_it_stops(world: World, step: bytes) -> None:
    _demo(world)
    world.start("-d")
    world.post("/api/v1/components/demo/start")
    world.kill()
    manager, told = _begin(world)
    with told:
        while not told.recv(4096).startswith(step):
            pass
    manager.send_signal(signal.SIGTERM)
    assert manager.stderr is not None
    errors = manager.stderr.read().decode()
    manager.stderr.close()
    assert manager.wait(PATIENCE) == 0, errors
    assert "Traceback" not in errors
    assert "Traceback" not in (world.home / "log" / "manager.log").read_text()
    # who was adopted by then went with it; who was not, the next manager finds
    world.manager = None
    world.start("-d")
    assert len(_pids(world, "demo")) <= 1
    assert world.stop() == 0
    assert left_of(world.home) == []


def test_told_to_stop_twice_it_still_stops_everybody(world: World) -> None:
    world.add_plugin("deaf", RELUCTANT)
    world.write_configuration("[supervision]\nstop_timeout = 3000\n" + _enabled("deaf"))
    world.start("-d")
    world.post("/api/v1/components/deaf/start")
    assert world.manager is not None
    world.manager.send_signal(signal.SIGTERM)
    wait_until(lambda: "stopping" in world.output(), "it has heard the first")
    world.manager.send_signal(signal.SIGTERM)
    world.manager.send_signal(signal.SIGINT)
    (world.home / "data" / "plugins" / "gone").touch()
    assert world.manager.wait(PATIENCE) == 0
    world.manager = None
    assert left_of(world.home) == []


def test_a_start_that_fails_in_the_background_is_told_in_one_line(world: World) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        world.write_configuration(xpl_port=str(port), hub="embedded")
        for arguments in (["--wait"], []):
            done = subprocess.run(
                world.command("-r", *arguments),
                capture_output=True,
                text=True,
                timeout=PATIENCE,
                check=False,
            )
            assert done.returncode == 1
            (line,) = done.stderr.splitlines()
            assert str(port) in line
    wait_until(lambda: left_of(world.home) == [], "nobody is left")


def test_a_start_that_fails_late_is_told_to_who_waits(world: World) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        file = world.home / "domogik.cfg"
        file.write_text(file.read_text().replace("server_port = 0", f"server_port = {port}"))
        done = subprocess.run(
            world.command("-r", "-t", "0.2", "--wait"),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
    assert done.returncode == 1
    assert f"port {port}" in done.stderr.splitlines()[-1]
    wait_until(lambda: left_of(world.home) == [], "it is gone")


def test_without_wait_it_is_in_the_background_at_once(world: World) -> None:
    _demo(world, xpl_port=str(free_port(socket.SOCK_DGRAM)))
    done = subprocess.run(
        world.command("-r", "-d"), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    said = [line.split(":")[0] for line in done.stdout.splitlines()]
    assert said == ["address", "log", "to stop"]
    wait_until((world.home / "run" / "rest.port").exists, "it listens")
    pid = int((world.home / "run" / "manager.pid").read_text())
    assert os.getsid(pid) != os.getsid(0)
    assert Path(f"/proc/{pid}/fd/1").readlink() == Path(os.devnull)
    wait_until(lambda: world.request("/")[0] == 200, "it answers")
    world.post("/api/v1/components/demo/start")
    os.kill(pid, signal.SIGTERM)
    wait_until(lambda: left_of(world.home) == [], "nobody is left")
