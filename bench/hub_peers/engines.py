"""A hub to measure: takes datagrams at one loopback port and passes each on to the given ports.

argv: engine, own port, receive buffer asked for, ports...
SIGUSR1: print how many datagrams came since the last time.

domogik    our hub as it is; its clients are registered by their heartbeats
twisted    DatagramProtocol, transport.write
direct     DatagramProtocol, sendto on the port's own socket
socket     a blocking loop of recvfrom and sendto: no reactor, nothing else is answered
connected  the same with recv_into and send on connected sockets

All but ours pass on whatever comes, without a look at it.
"""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

LOOPBACK = "127.0.0.1"
Target = tuple[str, int]


class Count:
    """Datagrams since the last report."""

    def __init__(self) -> None:
        self.value = 0

    def report(self, *_: object) -> None:
        print(self.value, flush=True)
        self.value = 0


def domogik(port: int, buffer: int, targets: list[Target]) -> None:
    """Our hub; it always asks for the same receive buffer."""
    from twisted.internet import reactor

    from domogik.xpl.hub.forwarding import Hub
    from domogik.xpl.node.port import NetworkSettings

    reported = 0

    def report(*_: object) -> None:
        nonlocal reported
        received = hub.counters["received"]
        print(received - reported, flush=True)
        reported = received

    with TemporaryDirectory() as directory:
        hub = Hub(
            reactor,
            NetworkSettings(bind_interface=LOOPBACK, xpl_port=port),
            Path(directory, "hub.json"),
            Path(directory, "invalid.log"),
            wall_clock=time.time,
        )
        hub.start()
        for address, client_port in targets:
            hub.received(heartbeat(client_port), (address, client_port))
        assert len(hub.clients) == len(targets)
        reported = hub.counters["received"]
        signal.signal(signal.SIGUSR1, report)
        reactor.callWhenRunning(print, "ready", flush=True)
        reactor.run()


def heartbeat(port: int) -> bytes:
    """What a client says to be registered."""
    return (
        f"xpl-stat\n{{\nhop=1\nsource=bench-sink.p{port}\ntarget=*\n}}\nhbeat.app\n{{\n"
        f"interval=5\nport={port}\nremote-ip={LOOPBACK}\n}}\n"
    ).encode()


def twisted(port: int, buffer: int, targets: list[Target]) -> None:
    _twisted(port, buffer, targets, direct=False)


def direct(port: int, buffer: int, targets: list[Target]) -> None:
    _twisted(port, buffer, targets, direct=True)


def _twisted(port: int, buffer: int, targets: list[Target], *, direct: bool) -> None:
    from twisted.internet import reactor
    from twisted.internet.protocol import DatagramProtocol

    count = Count()

    class Forwarder(DatagramProtocol):
        def startProtocol(self) -> None:
            self.send = self.transport.socket.sendto if direct else self.transport.write

        def datagramReceived(self, data: bytes, addr: object) -> None:
            count.value += 1
            send = self.send
            for target in targets:
                send(data, target)

    listening = reactor.listenUDP(port, Forwarder(), interface=LOOPBACK)
    listening.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    signal.signal(signal.SIGUSR1, count.report)
    reactor.callWhenRunning(print, "ready", flush=True)
    reactor.run()


def _bound(port: int, buffer: int) -> tuple[socket.socket, Count]:
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.bind((LOOPBACK, port))
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
    count = Count()
    signal.signal(signal.SIGUSR1, count.report)
    print("ready", flush=True)
    return sock, count


def plain(port: int, buffer: int, targets: list[Target]) -> None:
    sock, count = _bound(port, buffer)
    receive, send = sock.recvfrom, sock.sendto
    while True:
        data, _ = receive(65_507)
        count.value += 1
        for target in targets:
            send(data, target)


def connected(port: int, buffer: int, targets: list[Target]) -> None:
    outs = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in targets]
    for out, target in zip(outs, targets, strict=True):
        out.connect(target)
    sends = [out.send for out in outs]
    sock, count = _bound(port, buffer)
    view = memoryview(bytearray(65_507))
    receive = sock.recv_into
    while True:
        data = view[: receive(view)]
        count.value += 1
        for send in sends:
            send(data)


ENGINES: dict[str, Callable[[int, int, list[Target]], None]] = {
    "domogik": domogik,
    "twisted": twisted,
    "direct": direct,
    "socket": plain,
    "connected": connected,
}

if __name__ == "__main__":
    engine, port, buffer, *ports = sys.argv[1:]
    ENGINES[engine](int(port), int(buffer), [(LOOPBACK, int(port)) for port in ports])
