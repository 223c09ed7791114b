"""Asks the same of a server again and again on kept connections, where wrk is not installed.

argv: url, seconds, connections; the body, if any, in BENCH_BODY; prints [rate, count]
"""

from __future__ import annotations

import json
import os
import selectors
import socket
import sys
import time
from urllib.parse import urlsplit


class Connection:
    """One request under way."""

    def __init__(self, address: tuple[str, int], request: bytes) -> None:
        self.sock = socket.create_connection(address)
        self._request = request
        self._length: int | None = None
        self._received = 0
        self.sock.sendall(request)

    def read(self) -> bool:
        """Whether an answer is complete; then the next request is on its way."""
        data = self.sock.recv(262144)
        if not data:
            raise SystemExit("the server closed a connection")
        if self._length is None:
            head, _, data = data.partition(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"not the answer that is measured: {head[:80]!r}")
            length = head.lower().partition(b"content-length:")[2]
            self._length = int(length.partition(b"\r\n")[0])
        self._received += len(data)
        if self._received < self._length:
            return False
        self._length, self._received = None, 0
        self.sock.sendall(self._request)
        return True


def main() -> None:
    url, seconds, connections = urlsplit(sys.argv[1]), float(sys.argv[2]), int(sys.argv[3])
    body = os.environ.get("BENCH_BODY", "").encode()
    request = f"{'POST' if body else 'GET'} {url.path} HTTP/1.1\r\nHost: {url.netloc}\r\n"
    if body:
        request += f"Content-Type: text/xml\r\nContent-Length: {len(body)}\r\n"
    selector = selectors.DefaultSelector()
    for _ in range(connections):
        one = Connection((url.hostname, url.port), request.encode() + b"\r\n" + body)
        selector.register(one.sock, selectors.EVENT_READ, one)
    done = 0
    begin = time.perf_counter()
    while time.perf_counter() < begin + seconds:
        for key, _ in selector.select(0.1):
            done += key.data.read()
    print(json.dumps([done / (time.perf_counter() - begin), done]))


if __name__ == "__main__":
    main()
