"""The hub, dbmgr and REST each in a process of its own, beside a manager that has none of them."""

from __future__ import annotations

import json
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
from commands import run as dmg
from hostile import left_of
from world import HOST, World, XplClient, free_port, wait_until

from domogik.xpl.codec.message import CMND, Message

#: asks dbmgr for a value, as a plugin of another language would, and says what it was told
ASKS = r"""
import os, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.bind((os.environ["XPL_ADDRESS"], 0))
sock.settimeout(0.3)
hub = (os.environ["XPL_BROADCAST"], int(os.environ["XPL_PORT"]))
name, host = os.environ["DOMOGIK_NAME"], os.environ["DOMOGIK_HOST"]
def say(kind, schema, *body):
    lines = "".join(f"{line}\n" for line in body)
    head = f"hop=1\nsource=domogik-{name}.{host}\ntarget=*\n"
    sock.sendto(f"{kind}\n{{\n{head}}}\n{schema}\n{{\n{lines}}}\n".encode(), hub)
answer = ""
while True:
    say("xpl-stat", "hbeat.app", "interval=5", f"port={sock.getsockname()[1]}",
        f"remote-ip={sock.getsockname()[0]}", "status=2")
    if not answer:
        say("xpl-cmnd", "domogik.config", f"technology={name}", f"hostname={host}", "key=interval")
        say("xpl-cmnd", "domogik.config", f"technology={name}", f"hostname={host}", "key=password")
    try:
        while True:
            data = sock.recv(65536).decode()
            if "\nhbeat.request\n" in data:
                break
            if not answer and "\ndomogik.config\n" in data and "\ninterval=" in data:
                answer = data.split("\ninterval=")[1].split("\n")[0]
                print("interval is", answer, flush=True)
            if "\ndomogik.config\n" in data and "\npassword=sesame\n" in data:
                print("the password is told", flush=True)
    except TimeoutError:
        pass
"""


class Beside(World):
    """Another daemon in the home of a world: no manager, so the plugins are none of its own."""

    autostart = True

    def __init__(self, world: World, name: str) -> None:
        self.home, self.source = world.home, world.source
        self.manager = None
        self._output = world.home.parent / f"{name}.out"


#: the key that only `asks` declares
PASSWORD = """<key><order-id>2</order-id><name>password</name><type>password</type>
<description>Secret</description><default-value/></key>"""

Run = Callable[..., Beside]


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_plugin("demo")
    made.add_plugin("asks", ASKS, keys=PASSWORD)
    made.write_configuration(
        "[plugins]\ndemo = enabled\nasks = enabled\n",
        xpl_port=str(free_port(socket.SOCK_DGRAM)),
        hub="external",
    )
    yield made
    made.close()


@pytest.fixture
def run(world: World) -> Iterator[Run]:
    """Starts a daemon of the home and waits until it is ready."""
    made: list[Beside] = []

    def start(name: str, command: list[str] | None = None) -> Beside:
        daemon = Beside(world, f"{name}{len(made)}")
        made.append(daemon)
        daemon._start(command=command or world.daemon(name, "-f"))
        return daemon

    yield start
    for daemon in made:
        daemon.close()


def _twistd(world: World, name: str, *options: str) -> list[str]:
    return [
        str(Path(sys.executable).parent / "twistd"),
        "-n",
        f"--pidfile={world.home / name}.pid",
        f"domogik-{name}",
        f"--home={world.home}",
        *options,
    ]


def _rinor(world: World, path: str) -> tuple[str, str]:
    status, body = world.request(path)
    assert status == 200, body
    return body["status"], body["description"]


def _statuses(world: World) -> dict[str, str]:
    return {
        entry["id"]: entry["status"]
        for host in world.request("/plugin/list/")[1]["plugin"]
        for entry in host["list"]
    }


def _set(world: World, key: str, value: str, said: str = "") -> None:
    """As Domogik's own programs tell dbmgr a value; `said` is what it repeats."""
    with XplClient(world) as client:
        body = (("technology", "asks"), ("hostname", HOST), ("key", key), ("value", value))
        client.send(Message(CMND, client.source, "*", schema="domogik.config", body=body))
        client.expect(
            lambda message: (
                message.schema == "domogik.config" and message.get("value") == (said or value)
            )
        )


def _wait_said(world: World, line: str) -> None:
    log = world.home / "log" / "plugin-asks.log"
    wait_until(lambda: log.exists() and line in log.read_text().splitlines(), line)


def test_each_role_works_in_a_process_of_its_own(world: World, run: Run) -> None:
    hub = run("hub", _twistd(world, "hub"))
    run("dbmgr", _twistd(world, "dbmgr"))
    world.start(command=world.command("-f"))
    rest = run("rest", _twistd(world, "rest"))
    wait_until(lambda: _statuses(world) == {"demo": "OFF", "asks": "OFF"}, "REST knows them")
    _set(world, "interval", "7")
    _set(world, "password", "sesame", said="********")
    # REST alone drives the manager, dbmgr alone answers the plugin
    assert _rinor(world, f"/plugin/start/{HOST}/asks/")[0] == "OK"
    _wait_said(world, "interval is 7")
    # dbmgr, whose every question comes by way of the hub, finds the plugin's own port
    _wait_said(world, "the password is told")
    assert _rinor(world, f"/plugin/start/{HOST}/demo/")[0] == "OK"
    wait_until(lambda: _statuses(world) == {"demo": "ON", "asks": "ON"}, "both run")
    (detail,) = world.request(f"/plugin/detail/{HOST}/demo/")[1]["plugin"]
    assert (detail["id"], detail["status"]) == ("demo", "ON")
    status, words = _rinor(world, f"/plugin/start/{HOST}/demo/")
    assert (status, "is already running" in words) == ("ERROR", True)
    # the hub dies and comes back: nobody has to be started again
    hub.kill()
    run("hub", _twistd(world, "hub"))
    assert _rinor(world, f"/plugin/stop/{HOST}/demo/")[0] == "OK"
    assert _rinor(world, f"/plugin/disable/{HOST}/demo/")[0] == "OK"
    assert "demo = disabled" in (world.home / "domogik.cfg").read_text()
    status, words = _rinor(world, f"/plugin/start/{HOST}/demo/")
    assert (status, "demo" in words) == ("ERROR", True)
    assert _rinor(world, f"/plugin/enable/{HOST}/demo/")[0] == "OK"
    assert _rinor(world, f"/plugin/start/{HOST}/demo/")[0] == "OK"
    # what only a manager's own process can do is refused, not waited for
    status, body = world.request(f"/plugin/config/list/by-name/{HOST}/demo/")
    assert (status, body["status"]) == (200, "ERROR")
    assert rest.stop() == 0
    assert world.stop() == 0
    assert [command for command in left_of(world.home) if "demo.py" in command] == []


@pytest.mark.parametrize("port", ["0", "fixed"])
def test_what_runs_already_is_not_started_again(world: World, run: Run, port: str) -> None:
    if port == "fixed":
        file = world.home / "domogik.cfg"
        file.write_text(file.read_text().replace("server_port = 0", f"server_port = {free_port()}"))
    run("hub")
    run("dbmgr")
    rest = run("rest")
    before = world.rest_port
    _set(world, "interval", "3")
    world.start("-d", "-t", "30")
    assert "Manager started with -d, but a database manager is already running" in world.output()
    assert "Manager started with -r, but a REST manager is already running" in world.output()
    assert world.rest_port == before
    assert world.manager is not None
    assert [
        connection
        for connection in psutil.Process(world.manager.pid).net_connections("tcp")
        if connection.status == psutil.CONN_LISTEN
    ] == []
    wait_until(lambda: _statuses(world) == {"demo": "OFF", "asks": "OFF"}, "REST knows them")
    assert _rinor(world, f"/plugin/start/{HOST}/asks/")[0] == "OK"
    _wait_said(world, "interval is 3")
    assert world.stop() == 0
    assert world.rest_port == before
    assert rest.manager is not None
    assert rest.manager.poll() is None


def test_what_another_process_had_is_taken_over_when_that_has_ended(world: World, run: Run) -> None:
    run("hub")
    dbmgr, rest = run("dbmgr"), run("rest")
    _set(world, "interval", "3")
    world.start("-d", "-t", "1")

    def states() -> list[str]:
        done = dmg(world, "dmg_ctl", "--json", "status", "core:rest", "core:dbmgr")
        return [one["state"] for one in json.loads(done.stdout)]

    assert states() == ["alive", "alive"]
    assert rest.stop() == 0
    assert dbmgr.stop() == 0
    wait_until(lambda: states() == ["running", "running"], "it has taken over")
    assert world.request(f"/plugin/config/list/by-name/{HOST}/demo/")[1]["status"] == "OK"
    assert world.stop() == 0


def test_with_an_external_hub_none_is_started_and_its_absence_is_told(world: World) -> None:
    world.start("-t", "0.3")
    hub = world.component("core:hub")
    assert hub["state"] == "not-responding"
    assert "dmg_hub" in hub["reason"]
    world.stop()
