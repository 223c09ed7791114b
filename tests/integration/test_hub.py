"""The hub on real sockets of 127.0.0.1, at a port that is free."""

from __future__ import annotations

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.xpl.codec.codec import decode
from domogik.xpl.hub import sockets as hubsocket
from domogik.xpl.hub.forwarding import Hub
from domogik.xpl.hub.sockets import CannotListen, HubPortTaken, LocalAddresses
from domogik.xpl.node.bus import Bus
from domogik.xpl.node.datagrams import READS_PER_TURN
from domogik.xpl.node.port import NetworkSettings, Port

HERE = "127.0.0.1"
MESSAGE = (
    b"xpl-trig\n{\nhop=1\nsource=acme-button.hall\ntarget=*\n}\n"
    b"sensor.basic\n{\ndevice=button\ncurrent=on\n}\n"
)


def presence(port: int, schema: str = "hbeat.app", instance: str = "one", ip: str = HERE) -> bytes:
    return (
        f"xpl-stat\n{{\nhop=1\nsource=acme-lamp.{instance}\ntarget=*\n}}\n{schema}\n{{\n"
        f"interval=5\nport={port}\nremote-ip={ip}\n}}\n"
    ).encode()


class Client:
    """A program on a plain socket. Reading waits for the datagram, in a thread."""

    def __init__(self, case: TestCase, hub_port: int, ip: str = HERE) -> None:
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((ip, 0))
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        self.socket.settimeout(20)
        self.port: int = self.socket.getsockname()[1]
        self.hub_port = hub_port
        case.addCleanup(self.socket.close)

    def say(self, data: bytes, ip: str = HERE) -> None:
        self.socket.sendto(data, (ip, self.hub_port))

    def hear(self) -> Deferred[bytes]:
        return self.hear_from().addCallback(lambda heard: heard[0])

    def hear_from(self) -> Deferred[tuple[bytes, tuple[str, int]]]:
        return deferToThread(self.socket.recvfrom, 65_535)

    async def join(self, instance: str = "one") -> None:
        beat = presence(self.port, instance=instance)
        self.say(beat)
        while await self.hear() != beat:
            pass


class HubTests(TestCase):
    @pytest.fixture(autouse=True)
    def own_directory(self, tmp_path: Path) -> None:
        self.directory = tmp_path

    def hub(self, interface: str = HERE, port: int = 0, *, start: bool = True) -> Hub:
        hub = Hub(
            reactor,
            NetworkSettings(bind_interface=interface, xpl_port=port),
            self.directory / "hub.json",
            self.directory / "invalid.log",
            wall_clock=time.time,
        )
        if start:
            hub.start()
        self.addCleanup(hub.stop)
        return hub

    async def test_a_client_finds_the_hub_by_its_echo_and_then_hears_everyone(self) -> None:
        hub = self.hub()
        lamp, button = Client(self, hub.port), Client(self, hub.port)
        await lamp.join("one")
        await button.join("two")
        self.assertEqual(await lamp.hear(), presence(button.port, instance="two"))
        button.say(MESSAGE)
        for client in (lamp, button):
            data, sender = await client.hear_from()
            self.assertEqual((data, sender), (MESSAGE, (HERE, hub.port)))

    async def test_a_message_to_the_broadcast_address_of_loopback_is_heard(self) -> None:
        hub = self.hub()
        client = Client(self, hub.port)
        await client.join()
        client.say(MESSAGE, "127.255.255.255")
        self.assertEqual(await client.hear(), MESSAGE)

    async def test_the_largest_datagram_there_is_arrives_whole(self) -> None:
        hub = self.hub()
        client = Client(self, hub.port)
        await client.join()
        large = MESSAGE.replace(b"=on", b"=" + b"x" * (65_507 - len(MESSAGE) + 2))
        self.assertEqual(len(large), 65_507)
        client.say(large)
        self.assertEqual(await client.hear(), large)

    async def test_a_client_that_ended_hears_nothing_more(self) -> None:
        hub = self.hub()
        lamp, button = Client(self, hub.port), Client(self, hub.port)
        await lamp.join("one")
        await button.join("two")
        lamp.say(presence(lamp.port, "hbeat.end", "one"))
        self.assertEqual(await button.hear(), presence(lamp.port, "hbeat.end", "one"))
        button.say(MESSAGE)
        self.assertEqual(await button.hear(), MESSAGE)
        self.assertEqual(await lamp.hear(), presence(button.port, instance="two"))
        lamp.socket.setblocking(False)
        self.assertRaises(BlockingIOError, lamp.socket.recv, 65_535)

    async def test_dead_and_impossible_clients_stop_delivery_to_nobody(self) -> None:
        hub = self.hub()
        first, dead, last = (Client(self, hub.port) for _ in range(3))
        await first.join("one")
        await dead.join("two")
        dead.socket.close()
        first.say(presence(70_000, instance="three"))
        first.say(presence(hub.port, instance="four"))
        await last.join("five")
        for _ in range(20):
            first.say(MESSAGE)
            self.assertEqual(await last.hear(), MESSAGE)
        self.assertEqual(
            [client.port for client in hub.clients], [first.port, dead.port, last.port]
        )

    async def test_junk_is_written_down_with_its_sender_and_the_hub_goes_on(self) -> None:
        hub = self.hub()
        client = Client(self, hub.port)
        client.say(b"junk\n")
        client.say(b"")
        await client.join()
        await hub.stop()
        lines = (self.directory / "invalid.log").read_text().splitlines()
        self.assertEqual(len(lines), 2)
        self.assertIn(f" {HERE}:{client.port} ", lines[0])
        self.assertIn(r"junk\n", lines[0])

    async def test_the_next_hub_knows_the_clients_of_one_that_was_killed(self) -> None:
        program = (
            "import sys, time, pathlib\n"
            "from twisted.internet import reactor\n"
            "from domogik.xpl.hub.forwarding import Hub\n"
            "from domogik.xpl.node.port import NetworkSettings\n"
            "home = pathlib.Path(sys.argv[1])\n"
            "hub = Hub(reactor, NetworkSettings(xpl_port=0), home / 'hub.json',\n"
            "          home / 'invalid.log', wall_clock=time.time)\n"
            "hub.start()\n"
            "print(hub.port, flush=True)\n"
            "reactor.run()\n"
        )
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(self.directory)], stdout=subprocess.PIPE, text=True
        )
        self.addCleanup(process.stdout.close)
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        port = int(await deferToThread(process.stdout.readline))
        client = Client(self, port)
        await client.join()
        while not (self.directory / "hub.json").exists():
            await deferLater(reactor, 0.02)
        os.kill(process.pid, signal.SIGKILL)
        await deferToThread(process.wait)

        hub = self.hub(port=port)
        self.assertEqual([client.port for client in hub.clients], [client.port])
        request = decode(await client.hear())
        self.assertEqual((request.type, request.schema), ("xpl-cmnd", "hbeat.request"))
        other = Client(self, port)
        other.say(MESSAGE)
        self.assertEqual(await client.hear(), MESSAGE)

    async def test_a_port_of_this_process_hears_through_its_hub_once_and_with_the_sender(
        self,
    ) -> None:
        hub = self.hub()
        bus = Bus()
        port = Port(reactor, NetworkSettings(xpl_port=hub.port), bus)
        port.start()
        self.addCleanup(port.stop)
        hub.attach(port)
        heard: list[tuple[str, object]] = []
        bus.subscribe(lambda message, origin: heard.append((message.source, origin.address)))
        stranger = Client(self, hub.port)
        stranger.say(presence(port.address[1], instance="port"))
        stranger.say(MESSAGE)
        await stranger.join("stranger")
        sources = [source for source, _ in heard]
        self.assertEqual(sources, ["acme-lamp.port", "acme-button.hall", "acme-lamp.stranger"])
        self.assertEqual({address for _, address in heard}, {(HERE, stranger.port)})

    async def test_a_flood_leaves_the_rest_of_the_program_its_turn(self) -> None:
        hub = self.hub()
        client = Client(self, hub.port)
        await client.join()
        program = (
            "import socket\n"
            "out = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n"
            f"out.connect(('{HERE}', {hub.port}))\n"
            f"for _ in range(50_000): out.send({MESSAGE!r})\n"
        )
        flood = subprocess.Popen([sys.executable, "-c", program])
        self.addCleanup(flood.wait)
        self.addCleanup(flood.kill)
        turns = 0
        # a timer that is always due, while the flood lasts and until its end is through
        while flood.poll() is None or len(hub.clients[0].sources) < 2:
            await deferLater(reactor, 0)
            turns += 1
            if flood.poll() is not None:
                client.say(presence(client.port, instance="afterwards"))
        received = hub.counters["received"]
        self.assertGreater(received + hub.counters["dropped"], 50_000)
        self.assertGreaterEqual(turns, received // (2 * READS_PER_TURN))
        self.assertEqual(hub.counters["invalid"], 0)
        self.assertEqual(hub.clients[0].forwarded, received)


class ListeningTests(TestCase):
    """Where the hub binds, and what it says when it cannot."""

    def bind(self, interface: str = HERE, port: int = 0) -> hubsocket.HubSockets:
        sockets = hubsocket.bind(NetworkSettings(bind_interface=interface, xpl_port=port))
        self.addCleanup(sockets.close)
        return sockets

    def taken(self, ip: str, port: int) -> bool:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind((ip, port))
            except OSError as error:
                return error.errno == errno.EADDRINUSE
        return False

    def test_on_loopback_it_has_the_address_and_its_broadcast_and_no_other(self) -> None:
        port = self.bind().port
        self.assertTrue(self.taken(HERE, port))
        self.assertTrue(self.taken("127.255.255.255", port))
        self.assertFalse(self.taken("127.0.0.3", port))

    def test_otherwise_it_has_all_addresses(self) -> None:
        port = self.bind("0.0.0.0").port
        self.assertTrue(self.taken("127.0.0.3", port))

    def test_a_second_hub_is_refused_in_one_line_that_names_the_first(self) -> None:
        for interface in (HERE, "0.0.0.0"):
            first = self.bind(interface)
            error = self.assertRaises(HubPortTaken, self.bind, interface, first.port)
            self.assertIn(f"UDP port {first.port}", str(error))
            self.assertIn(f"(pid {os.getpid()})", str(error))
            self.assertNotIn("\n", str(error))

    def test_a_taken_broadcast_address_is_refused_and_nothing_stays_bound(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
            other.bind(("127.255.255.255", 0))
            port = other.getsockname()[1]
            self.assertRaises(HubPortTaken, self.bind, HERE, port)
            self.assertFalse(self.taken(HERE, port))

    def test_a_program_that_asks_for_reuse_cannot_share_the_port(self) -> None:
        port = self.bind().port
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as thief:
            thief.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            error = self.assertRaises(OSError, thief.bind, (HERE, port))
            self.assertEqual(error.errno, errno.EADDRINUSE)

    def test_the_receive_buffer_is_larger_than_the_default_where_the_kernel_allows(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as plain:
            usual = plain.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)
        self.assertGreaterEqual(self.bind().receive_buffer_bytes, usual)

    def test_datagrams_that_the_kernel_drops_are_counted(self) -> None:
        sockets = self.bind()
        sockets._sockets[0].setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            for _ in range(100):
                out.sendto(bytes(1000), (HERE, sockets.port))
        self.assertGreater(sockets.dropped, 50)

    def test_taken_and_impossible_are_both_reasons_not_to_listen(self) -> None:
        self.assertTrue(issubclass(HubPortTaken, CannotListen))

    def test_only_addresses_of_interfaces_are_this_computers(self) -> None:
        local = LocalAddresses()
        self.assertTrue(local(HERE))
        for address in ("127.0.0.2", "127.255.255.255", "0.0.0.0", "192.0.2.1", "", "localhost"):
            self.assertFalse(local(address), address)
