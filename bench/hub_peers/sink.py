"""Counts the datagrams that arrive at the given ports; SIGUSR1 prints and resets.

It looks every millisecond and takes many at a time, so that it leaves the processors to what is
measured.
"""

from __future__ import annotations

import json
import signal
import socket
import sys
import time

from bench.hub_peers.mmsg import Batch, drain


def count(ports: list[int]) -> None:
    """Count for ever."""
    sockets = []
    for port in ports:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind(("127.0.0.1", port))
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
        sockets.append(sock)
    batch = Batch(bytes(2048))
    counts = [0] * len(sockets)
    asked = False

    def ask(*_: object) -> None:
        nonlocal asked
        asked = True

    signal.signal(signal.SIGUSR1, ask)
    print("ready", flush=True)
    while True:
        for index, sock in enumerate(sockets):
            counts[index] += drain(sock, batch)
        if asked:
            asked = False
            print(json.dumps(counts), flush=True)
            counts = [0] * len(sockets)
        time.sleep(0.001)


if __name__ == "__main__":
    count([int(port) for port in sys.argv[1:]])
