"""Clients that ask for too much or too slowly; a real manager goes on answering others."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator

import pytest
from world import HOST, World, XplClient, wait_until

from domogik.xpl.codec.message import CMND, Message

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    made = World(tmp_path_factory.mktemp("limits"))
    made.start()
    yield made
    made.close()


def open_connection(world: World, address: str) -> socket.socket:
    return socket.create_connection(("127.0.0.1", world.rest_port), 60, (address, 0))


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.2"])
def test_five_hundred_slow_clients_lock_the_owner_out_of_nothing(
    world: World, address: str
) -> None:
    with contextlib.ExitStack() as stack:
        slow = [stack.enter_context(open_connection(world, address)) for _ in range(500)]
        for one in slow:
            one.sendall(b"GET / HTTP/1.1\r\nHost: local")
        for number in range(10):
            assert world.request("/", token=False)[0] == 200
            assert world.request("/api/v1/components")[0] == 200
            slow[number].setblocking(False)
            with contextlib.suppress(OSError):
                slow[number].sendall(b"h")


def answered(world: World) -> int:
    """How many requests of the kind GET were answered with 200, as the server counts."""
    connection = world.connect()
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    found = re.search(r'domogik_http_requests_total\{method="GET",status="200"\} (\S+)', text)
    return int(float(found[1])) if found else 0


def test_a_thousand_requests_at_once_on_one_connection_hold_nobody_up(world: World) -> None:
    """Each needs time and much room; others are answered between them, on HTTP and xPL."""
    answered(world)
    before = answered(world)
    request = b"GET /api/v1/openapi.json HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with XplClient(world) as client, open_connection(world, "127.0.0.1") as sock:
        sock.sendall(request * 1300)
        wait_until(lambda: answered(world) > before + 1, "the first of them are answered")
        body = (("command", "list"), ("host", HOST))
        client.send(Message(CMND, client.source, "*", schema="domogik.system", body=body))
        client.answer("list")
        # who reads nothing is not answered further than the buffers of the network reach
        assert answered(world) < before + 650
        # and who reads is answered to the end
        sock.settimeout(60)
        received, left = 0, b""
        while received < 1300:
            data = sock.recv(1 << 20)
            assert data, f"closed after {received} answers"
            received += (left + data).count(b"HTTP/1.1 200 OK\r\n")
            left = (left + data)[-16:]
