"""Programs that talk over real sockets of 127.0.0.1, with the real hub or a lossy one."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from pathlib import Path
from random import Random

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.xpl.codec.codec import decode
from domogik.xpl.codec.message import CMND, TRIG
from domogik.xpl.hub.forwarding import Hub
from domogik.xpl.node.bus import Bus
from domogik.xpl.node.datagrams import DatagramSocket
from domogik.xpl.node.identity import NoReply
from domogik.xpl.node.port import CannotBind, NetworkSettings, Port

LOOPBACK = "127.0.0.1"
LONG = tuple((f"line{number}", "x" * 100) for number in range(32))
A_READING = (
    b"xpl-trig\n{\nhop=1\nsource=acme-meter.hall\ntarget=*\n}\n"
    b"sensor.basic\n{\ndevice=meter\ncurrent=1\n}\n"
)


class Program:
    """A process of ours: a port, its bus, and what the bus delivered."""

    def __init__(self, case: TestCase, hub_port: int) -> None:
        self.bus = Bus()
        settings = NetworkSettings(LOOPBACK, xpl_port=hub_port)
        self.port = Port(reactor, settings, self.bus, Random(1))
        self.port.start()
        case.addCleanup(self.port.stop)

    def next(self, **wanted) -> Deferred:
        """The next (message, origin) of that kind."""
        waiting = Deferred()

        def heard(message, origin):
            subscription.cancel()
            waiting.callback((message, origin))

        subscription = self.bus.subscribe(heard, **wanted)
        return waiting


class LossyHub:
    """Forwards everything to the ports it is told, but for what `loses` says."""

    def __init__(self, case: TestCase, loses=lambda message: False) -> None:
        self.socket = DatagramSocket.open(reactor, (LOOPBACK, 0), self.forward)
        self.loses = loses
        self.clients: list[Program] = []
        case.addCleanup(self.socket.close)

    @property
    def port(self) -> int:
        return self.socket.address[1]

    def forward(self, data: bytes, sender: tuple[str, int]) -> None:
        if not self.loses(decode(data)):
            for client in self.clients:
                self.socket.send(data, client.port.address)


def found(presence) -> Deferred:
    waiting: Deferred = Deferred()
    presence.on_hub(lambda: waiting.callback(None))
    return waiting


async def until(condition) -> None:
    while not condition():
        await deferLater(reactor, 0.01)


class WithTheHub(TestCase):
    def setUp(self) -> None:
        directory = Path(self.mktemp())
        directory.mkdir()
        self.hub = Hub(
            reactor,
            NetworkSettings(LOOPBACK, xpl_port=0),
            directory / "hub.json",
            directory / "invalid.log",
            wall_clock=time.time,
        )
        self.hub.start()
        self.addCleanup(self.hub.stop)

    async def test_a_program_finds_the_hub(self):
        clock = Program(self, self.hub.port).port.identity("clock", "vm")
        clock.presence.start()
        await found(clock.presence)
        self.assertEqual(clock.presence.status, 1)
        await until(lambda: clock.presence.last_echo is not None)

    async def test_the_process_of_the_hub_finds_it_too(self):
        program = Program(self, self.hub.port)
        self.hub.attach(program.port)
        manager = program.port.identity("manager", "vm")
        manager.presence.start()
        await found(manager.presence)

    async def test_a_question_is_answered_through_the_hub(self):
        asking, answering = Program(self, self.hub.port), Program(self, self.hub.port)
        rest = asking.port.identity("rest", "vm")
        manager = answering.port.identity("manager", "vm")

        def answer(message, origin):
            if manager.is_for_me(message):
                manager.send(TRIG, "domogik.system", (*message.body, ("error", "")))

        answering.bus.subscribe(answer, type=CMND, schema="domogik.system")
        for identity in (rest, manager):
            identity.presence.start()
            await found(identity.presence)
        answered = await rest.request(
            "domogik.system",
            [("command", "start"), ("host", "vm")],
            answer=lambda message: message.type == TRIG and message.get("command") == "start",
            target=manager.source,
            timeout=30,
            repeat=5,
        )
        self.assertEqual(answered.source, "domogik-manager.vm")

    async def test_what_another_program_says_in_parts_is_heard_whole(self):
        here, there = Program(self, self.hub.port), Program(self, self.hub.port)
        speaker = here.port.identity("manager", "vm")
        listener = there.port.identity("rest", "vm")
        listener.presence.start()
        await found(listener.presence)
        waiting = there.next(schema="domogik.system")
        speaker.send(TRIG, "domogik.system", LONG)
        message, _ = await waiting
        self.assertEqual(message.body, LONG)
        self.assertEqual(here.port.counters.sent, 3)

    async def test_the_end_of_a_program_is_told(self):
        here, there = Program(self, self.hub.port), Program(self, self.hub.port)
        leaver, listener = here.port.identity("clock", "vm"), there.port.identity("rest", "vm")
        for identity in (leaver, listener):
            identity.presence.start()
            await found(identity.presence)
        _, port = here.port.address
        waiting = there.next(schema="hbeat.end", source="domogik-clock.vm")
        await here.port.stop()
        message, _ = await waiting
        self.assertEqual(message.get("port"), str(port))


class WithoutAHub(TestCase):
    async def test_the_manager_pings_a_plugin_and_hears_it_with_no_hub_at_all(self):
        nowhere = LossyHub(self, loses=lambda message: True)
        here, there = Program(self, nowhere.port), Program(self, nowhere.port)
        manager = here.port.identity("manager", "vm")
        clock = there.port.identity("clock", "vm")
        clock.presence.start()
        clock.presence.ready()
        answer = await manager.request(
            "hbeat.request",
            [("command", "request")],
            answer=lambda message: message.source == clock.source,
            target=clock.source,
            to=there.port.address,
            timeout=30,
            repeat=1,
        )
        self.assertEqual((answer.schema, answer.get("status")), ("hbeat.app", "2"))

    async def test_a_question_to_nobody_ends(self):
        nowhere = LossyHub(self)
        manager = Program(self, nowhere.port).port.identity("manager", "vm")
        with self.assertRaises(NoReply):
            await manager.request("domogik.system", (), answer=bool, timeout=0.05, repeat=0.01)

    async def test_a_part_that_is_lost_is_asked_for_and_comes(self):
        losses = iter([True])

        def loses(message):
            is_second = (message.get("partid") or "").startswith("2/")
            return is_second and next(losses, False)

        hub = LossyHub(self, loses)
        here, there = Program(self, hub.port), Program(self, hub.port)
        hub.clients = [here, there]
        there.port.identity("rest", "vm")
        waiting = there.next(schema="domogik.system")
        here.port.identity("manager", "vm").send(TRIG, "domogik.system", LONG)
        message, _ = await waiting
        self.assertEqual(message.body, LONG)
        self.assertEqual(here.port.counters.sent, 4)

    def test_an_address_of_no_interface_is_one_clear_line(self):
        for address in ("192.0.2.1", "localhost"):
            port = Port(reactor, NetworkSettings(address), Bus(), Random(1))
            with self.assertRaises(CannotBind) as caught:
                port.start()
            self.assertIn(address, str(caught.exception))

    async def test_what_cannot_be_sent_is_counted_and_raises_nothing(self):
        port = Program(self, LossyHub(self).port).port
        manager = port.identity("manager", "vm")
        for to in (("example.invalid", 3865), (LOOPBACK, 0), (LOOPBACK, 70000), ("\0", 1)):
            manager.send(CMND, "hbeat.request", (), to=to)
        self.assertEqual(port.counters.unsent, 4)

    async def test_bound_to_every_interface_it_announces_one_address(self):
        port = Port(reactor, NetworkSettings("0.0.0.0", "127.255.255.255"), Bus(), Random(1))
        port.start()
        self.addCleanup(port.stop)
        self.assertEqual(port.address[0], LOOPBACK)


class Flooded(TestCase):
    timeout = 120

    async def flood(self, datagrams: list[bytes]) -> None:
        """Datagrams come as fast as they can be sent, until 25 timers had their turn."""
        program = Program(self, LossyHub(self).port)
        address = program.port.address
        enough = threading.Event()

        def send() -> None:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                for count, data in enumerate(itertools.cycle(datagrams)):
                    if count >= 20_000 and enough.is_set():
                        return
                    sender.sendto(data, address)

        sending = deferToThread(send)
        try:
            await until(lambda: program.port.counters.received >= 100)
            for _ in range(25):
                await deferLater(reactor, 0.005)
        finally:
            enough.set()
            await sending
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            heard = program.next(schema="sensor.basic")
            while not heard.called:  # the first ones may find the receive buffer still full
                sender.sendto(A_READING, address)
                await deferLater(reactor, 0.01)
        await heard

    def test_timers_go_on_in_a_flood_of_messages(self):
        message = (
            b"xpl-trig\n{\nhop=1\nsource=acme-button.hall\ntarget=*\n}\n"
            b"control.basic\n{\ndevice=button\ncurrent=on\n}\n"
        )
        return Deferred.fromCoroutine(self.flood([message]))

    def test_timers_go_on_in_a_flood_of_junk_and_of_nothing(self):
        return Deferred.fromCoroutine(self.flood([b"", b"x", b"xpl-cmnd\n{\n", b"\xff" * 1400]))
