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
from commands import run
from namespaces import DistantWorld, Namespace, join, namespaces
from world import HOST, PATIENCE, XplClient, wait_until

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
    world.start("-d", "-t", "1")
    done = subprocess.run(
        second.command("-f"), capture_output=True, text=True, timeout=PATIENCE, check=False
    )
    assert done.returncode == 1
    assert f"domogik-manager.{HOST} already speaks from {HERE}:" in done.stderr
    assert f"with the home {world.home}: stop that program" in done.stderr
    for role in ("dbmgr", "rest"):  # one of them alone is no second one either
        done = subprocess.run(
            second.daemon(role, "-f"), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 1
        assert f"domogik-{role}.{HOST} already speaks from {HERE}:" in done.stderr
    done = run(second, "dmg_ctl", "status")
    assert f"no manager runs in {second.home}" in done.stderr
    assert f"one runs with another home: --home {world.home}" in done.stderr
    assert names_issue(world) == ""
    assert world.stop() == 0


#: asks dbmgr for its password, and writes down what it is told, and what everybody is
ASKS = r"""
import os, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
sock.bind((os.environ["XPL_ADDRESS"], 0))
sock.settimeout(0.3)
hub = (os.environ["XPL_BROADCAST"], int(os.environ["XPL_PORT"]))
name, host = os.environ["DOMOGIK_NAME"], os.environ["DOMOGIK_HOST"]
def say(kind, schema, *body):
    lines = "".join(f"{line}\n" for line in body)
    head = f"hop=1\nsource=domogik-{name}.{host}\ntarget=*\n"
    sock.sendto(f"{kind}\n{{\n{head}}}\n{schema}\n{{\n{lines}}}\n".encode(), hub)
def beat():
    say("xpl-stat", "hbeat.app", "interval=5", f"port={sock.getsockname()[1]}",
        f"remote-ip={sock.getsockname()[0]}", "status=2")
while True:
    beat()
    say("xpl-cmnd", "domogik.config", f"technology={name}", f"hostname={host}", "key=password")
    try:
        while True:
            data = sock.recv(65536).decode()
            if "hbeat.request" in data:
                beat()
            if "\ndomogik.config\n" in data and "\npassword=" in data:
                print("told", data.split("\npassword=")[1].split("\n")[0], flush=True)
    except TimeoutError:
        pass
"""


def _ask_for_password(sock: socket.socket, hub: str) -> None:
    text = (
        f"xpl-cmnd\n{{\nhop=1\nsource=domogik-asks.{HOST}\ntarget=*\n}}\ndomogik.config\n{{\n"
        f"technology=asks\nhostname={HOST}\nkey=password\n}}\n"
    )
    sock.sendto(text.encode(), (hub, 3865))


def _add_asks(world: DistantWorld) -> None:
    """Its descriptor declares the key that it asks for."""
    world.add_plugin("asks", ASKS)
    descriptor = world.source / "asks/src/share/domogik/plugins/asks.xml"
    key = "<key><order-id>2</order-id><name>password</name><type>password</type></key>"
    end = "</configuration-keys>"
    descriptor.write_text(descriptor.read_text().replace(end, key + end))


def _wait_told(world: DistantWorld, what: str) -> None:
    log = world.home / "log" / "plugin-asks.log"
    wait_until(lambda: log.exists() and f"told {what}" in log.read_text().splitlines(), what)


def test_a_password_reaches_the_plugin_and_nobody_who_listens(
    world: DistantWorld, network: tuple[Namespace, Namespace], tmp_path: Path
) -> None:
    here, there = network
    _add_asks(world)
    file = world.home / "domogik.cfg"
    file.write_text(file.read_text() + "asks = enabled\n")
    # the secondary has the plugin too, and its values are the main host's
    cellar = DistantWorld(tmp_path / "cellar", there, THERE)
    _add_asks(cellar)
    (cellar.home / "domogik.cfg").write_text(
        f"[domogik]\nhostname = cellar\nbind_interface = {THERE}\nsrc_prefix = {cellar.source}\n"
        f"[rest]\nrest_server_ip = {THERE}\n[plugins]\nasks = enabled\n"
    )
    try:
        world.start("-d", "-t", "1")
        for host in (HOST, "cellar"):
            path = f"/plugin/config/set/hostname/{host}/id/asks/key/password/value/sesame-{host}/"
            assert world.request(path)[1]["status"] == "OK"
        with XplClient(world, sock=here.udp(HERE), hub=HERE) as stranger:
            for _ in range(2):
                _ask_for_password(stranger.sock, HERE)
                answer = stranger.expect(lambda message: message.get("password"))
                assert answer.get("password") == "********"
            world.post("/api/v1/components/asks/start")
            _wait_told(world, f"sesame-{HOST}")
            cellar.start("-t", "1")
            cellar.post("/api/v1/components/asks/start")
            _wait_told(cellar, "sesame-cellar")
            # all that went to everybody until now
            stranger.sock.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                while True:
                    assert b"sesame" not in stranger.sock.recv(65536)
        assert cellar.stop() == 0
        assert world.stop() == 0
    finally:
        cellar.close()
