"""Networks of their own: the ports everybody uses, and who is refused what."""

from __future__ import annotations

import http.client
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hostile import left_of
from namespaces import DistantWorld, Namespace, join, namespaces
from world import HOST, PATIENCE, World, XplClient, wait_until

#: what nobody has to write down
DEFAULTS = "[domogik]\nhostname = {host}\nsrc_prefix = {source}\n{text}"


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    with namespaces(1) as (made,):
        yield made


def _with_defaults(world: World, host: str = HOST, text: str = "") -> None:
    """A configuration that names no port."""
    (world.home / "domogik.cfg").write_text(
        DEFAULTS.format(host=host, source=world.source, text=text)
    )


def _ask(
    world: DistantWorld,
    path: str,
    method: str = "GET",
    *,
    at: Namespace | None = None,
    **headers: str,
) -> tuple[int, str]:
    """Status and body of a request without a token; `at`: where the asker is."""
    connection = (at or world.namespace).http(world.address, world.rest_port)
    try:
        connection.request(method, path, headers=headers)
        reply = connection.getresponse()
        return reply.status, reply.read().decode()
    finally:
        connection.close()


def test_the_usual_ports_need_no_configuration(tmp_path: Path, namespace: Namespace) -> None:
    world = DistantWorld(tmp_path / "one", namespace)
    _with_defaults(world, text="[plugins]\ndemo = enabled\n")
    world.add_plugin("demo")
    try:
        world.start("-d")
        assert (world.rest_port, (world.home / "run" / "xpl.port").read_text()) == (40405, "3865\n")
        world.post("/api/v1/components/demo/start")
        assert world.component("demo")["state"] == "alive"
        with XplClient(world, sock=namespace.udp("127.0.0.1")) as client:
            client.order("stop", "demo")
            assert client.answer("stop") == {"command": "stop", "host": HOST, "plugin": "demo"}
        assert world.stop() == 0
        assert left_of(world.home) == []
    finally:
        world.close()


def test_two_managers_share_a_hub_but_never_a_name(tmp_path: Path, namespace: Namespace) -> None:
    first = DistantWorld(tmp_path / "one", namespace)
    second = DistantWorld(tmp_path / "two", namespace)
    _with_defaults(first)
    second.add_plugin("demo")
    _with_defaults(second, text="[rest]\nrest_server_port = 0\n")
    try:
        first.start()
        done = subprocess.run(
            second.command("-f"), capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert done.returncode == 1
        (line,) = done.stderr.splitlines()
        assert f"domogik-manager.{HOST}" in line
        assert "127.0.0.1:" in line
        assert "hostname" in line
        _with_defaults(second, "other", "[rest]\nrest_server_port = 0\n[plugins]\ndemo = enabled\n")
        second.start("-t", "0.5")
        hub = second.component("core:hub")
        assert (hub["state"], hub["reason"]) == ("alive", "another program's")
        second.post("/api/v1/components/demo/start")
        hosts = wait_until(
            lambda: len(found := first.request("/api/v1/hosts")[1]["hosts"]) == 2 and found,
            "they know each other",
        )
        assert {host["id"] for host in hosts} == {HOST, "other"}
        assert first.component("core:manager")["state"] == "running"
        assert second.stop() == 0
        assert first.stop() == 0
    finally:
        second.close()
        first.close()


#: the manager in a hurry: its minute is a second, and it speaks every second, not every 5 minutes
IMPATIENT = (
    "import domogik.app.parts.xpl_node as xpl_node, domogik.xpl.node.heartbeats as heartbeats\n"
    "xpl_node.LOOK_EVERY = 1.0\n"
    "heartbeats.ECHO_TIMEOUT = 0.5\n"
    "heartbeats.Heartbeats._pause = lambda self: 1.0\n"
    "from domogik.app.commands.start import by_name; by_name()"
)


def test_who_joined_a_hub_takes_its_place_when_it_is_gone(
    tmp_path: Path, namespace: Namespace
) -> None:
    hub = DistantWorld(tmp_path / "hub", namespace)
    world = DistantWorld(tmp_path / "manager", namespace)
    world.add_plugin("demo")
    _with_defaults(hub)
    _with_defaults(world, text="[plugins]\ndemo = enabled\n")
    command = world.command("-f", "-r", "-p", "-t", "0.5", "-w", "0.2")
    place = command.index("-m")
    command[place : place + 2] = ["-c", IMPATIENT]
    try:
        hub.start(command=hub.daemon("hub", "-f"))
        world.start(command=command)
        world.wait_state("core:hub", "alive")
        world.post("/api/v1/components/demo/start")
        pid = world.component("demo")["pid"]
        hub.kill()
        world.wait_state("core:hub", "running")
        assert world.wait_state("demo", "alive")["pid"] == pid
        with XplClient(world, sock=namespace.udp("127.0.0.1")) as client:
            client.order("stop", "demo")
            assert client.answer("stop")["plugin"] == "demo"
        assert world.stop() == 0
    finally:
        world.close()
        hub.close()


OUTSIDE = "10.77.2.2"


@pytest.fixture
def network() -> Iterator[tuple[Namespace, Namespace]]:
    """A host at 10.77.1.1, and behind a router's address another that is not of its network."""
    with namespaces(2) as (inside, outside):
        join(inside, "10.77.1.1/24", outside, "10.77.1.2/24")
        outside.ip("address", "add", f"{OUTSIDE}/32", "dev", "lo")
        inside.ip("route", "add", f"{OUTSIDE}/32", "via", "10.77.1.2")
        yield inside, outside


def _order(sock: socket.socket, host: str, command: str) -> None:
    text = (
        "xpl-cmnd\n{\nhop=1\nsource=acme-far.away\ntarget=*\n}\n"
        f"domogik.system\n{{\ncommand={command}\nhost={HOST}\nplugin=demo\n}}\n"
    )
    sock.sendto(text.encode(), (host, 3865))


@pytest.mark.parametrize("trusted", ["", OUTSIDE, "10.77.2.0/24", "*"])
def test_orders_from_outside_the_network_need_trust(
    tmp_path: Path, network: tuple[Namespace, Namespace], trusted: str
) -> None:
    inside, outside = network
    world = DistantWorld(tmp_path / "one", inside)
    world.add_plugin("demo")
    _with_defaults(
        world,
        text=f"bind_interface = 10.77.1.1\nxpl_trusted = {trusted}\n[plugins]\ndemo = enabled\n",
    )
    try:
        world.start("-t", "0.3")
        listener = XplClient(world, sock=inside.udp("10.77.1.1"), hub="10.77.1.1")
        with listener, outside.udp(OUTSIDE) as far, outside.udp("10.77.1.2") as near:
            _order(far, "10.77.1.1", "start")
            answer = listener.answer("start")
            if trusted:
                assert "error" not in answer
                assert world.component("demo")["state"] == "alive"
            else:
                assert answer["error"] == f"Not allowed from {OUTSIDE}"
                assert world.component("demo")["state"] == "stopped"
                _order(near, "10.77.1.1", "start")
                assert "error" not in listener.answer("start")
        assert world.stop() == 0
    finally:
        world.close()


def test_another_host_reads_and_changes_with_the_token_only(
    tmp_path: Path, network: tuple[Namespace, Namespace]
) -> None:
    inside, outside = network
    world = DistantWorld(tmp_path / "one", inside, "10.77.1.1")
    world.add_plugin("demo")
    _with_defaults(world, text="[plugins]\ndemo = enabled\n[rest]\nrest_server_ip = 10.77.1.1\n")
    try:
        world.start()
        bearer = f"Bearer {(world.home / 'admin.token').read_text().strip()}"
        start = f"/plugin/start/{HOST}/demo/"
        for path in ("/plugin/list/", "/api/v1/components", start):
            assert _ask(world, path, at=outside)[0] == 401, path
            assert _ask(world, path, at=outside, Authorization="Bearer wrong")[0] == 401, path
        assert _ask(world, "/plugin/list/", at=outside, Authorization=bearer)[0] == 200
        assert world.component("demo")["state"] == "stopped"
        status, body = _ask(world, start, at=outside, Authorization=bearer)
        assert (status, json.loads(body)["status"]) == (200, "OK")
        assert world.component("demo")["state"] == "alive"
        # an address that this host was given while the manager runs
        inside.ip("address", "add", "10.77.1.9/24", "dev", "lo")
        second = http.client.HTTPConnection(
            "10.77.1.1", world.rest_port, timeout=PATIENCE, source_address=("10.77.1.9", 0)
        )
        inside.do(second.connect)
        second.request("GET", "/plugin/list/")
        assert second.getresponse().status == 200
        second.close()
    finally:
        world.close()


def test_a_page_of_another_site_changes_and_learns_nothing(
    tmp_path: Path, namespace: Namespace
) -> None:
    world = DistantWorld(tmp_path / "one", namespace)
    world.add_plugin("demo")
    _with_defaults(world, text="[plugins]\ndemo = enabled\n")
    try:
        world.start()
        bearer = f"Bearer {(world.home / 'admin.token').read_text().strip()}"
        start = f"/plugin/start/{HOST}/demo/"
        # reading is open on this host, changing is not, by whatever method
        assert _ask(world, "/plugin/list/")[0] == 200
        for method in ("GET", "POST", "PUT"):
            assert _ask(world, start, method)[0] == 401
        # a name of another site that points here (DNS rebinding), and pages of other sites
        for headers in (
            {"Host": "evil.example:40405"},
            {"Host": "127.0.0.1:40405", "Origin": "http://evil.example"},
            {"Host": "127.0.0.1:40405", "Referer": "http://evil.example/page"},
            {"Host": "127.0.0.1:40405", "Sec-Fetch-Site": "cross-site"},
        ):
            assert _ask(world, start, Authorization=bearer, **headers)[0] == 403, headers
        assert _ask(world, "/plugin/list/", Host="evil.example:40405")[0] == 403
        status, body = _ask(world, "/plugin/list/?callback=take", Origin="http://evil.example")
        assert status == 403
        assert "take(" not in body
        assert world.component("demo")["state"] == "stopped"
    finally:
        world.close()
