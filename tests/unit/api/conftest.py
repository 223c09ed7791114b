"""REST without a network: bytes go into the real server and its bytes come out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import LogEvent, globalLogPublisher

from domogik.api.access import Access
from domogik.api.settings import RestSettings
from domogik.api.site import Site, make_site
from domogik.testing.all_hosts import FakeAllHosts
from domogik.testing.packages import FakePackages

TOKEN = "the-token"


@attrs.define
class Response:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


@attrs.define(eq=False)
class Connection:
    """One client, who may leave."""

    channel: object
    transport: StringTransport

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    @property
    def received(self) -> bytes:
        return self.transport.value()

    @property
    def dropped(self) -> bool:
        return self.transport.disconnecting or self.transport.disconnected

    def leave(self) -> None:
        from twisted.internet.error import ConnectionDone
        from twisted.python.failure import Failure

        self.channel.connectionLost(Failure(ConnectionDone()))

    def response(self) -> Response:
        return parse(self.received)


@attrs.define(eq=False)
class Door:
    all_hosts: FakeAllHosts
    clock: Clock
    site: Site
    packages: FakePackages | None = None

    def connect(self, peer: str = "127.0.0.1", here: str = "127.0.0.1") -> Connection:
        transport = StringTransport(
            hostAddress=IPv4Address("TCP", here, 40405),
            peerAddress=IPv4Address("TCP", peer, 50000),
        )
        channel = self.site.buildProtocol(transport.getPeer())
        channel.makeConnection(transport)
        return Connection(channel, transport)

    def open(
        self,
        method: str,
        path: str | bytes,
        headers: dict[str, str] | None = None,
        body: bytes = b"",
        token: bool = False,
        peer: str = "127.0.0.1",
        here: str = "127.0.0.1",
    ) -> Connection:
        """Send one request; the answer may still be coming."""
        connection = self.connect(peer, here)
        raw = path if isinstance(path, bytes) else path.encode("latin-1")
        lines = {"Host": "localhost:40405", **(headers or {})}
        if token:
            lines["Authorization"] = f"Bearer {TOKEN}"
        if body:
            lines["Content-Length"] = str(len(body))
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        connection.send(method.encode() + b" " + raw + b" HTTP/1.1\r\n" + head.encode("latin-1"))
        connection.send(b"\r\n" + body)
        return connection

    def ask(self, method: str, path: str | bytes, **given) -> Response:
        connection = self.open(method, path, **given)
        response = parse(connection.received, head_only=method == "HEAD")
        connection.leave()
        return response

    def get(self, path: str | bytes, **given) -> Response:
        return self.ask("GET", path, **given)

    def post(self, path: str | bytes, **given) -> Response:
        given.setdefault("token", True)
        return self.ask("POST", path, **given)


def parse(data: bytes, head_only: bool = False) -> Response:
    """A whole response; every promise about form is checked here."""
    head, separator, body = data.partition(b"\r\n\r\n")
    assert separator, f"no response: {data!r}"
    status_line, *lines = head.decode("latin-1").split("\r\n")
    version, status, _ = status_line.split(" ", 2)
    assert version in ("HTTP/1.1", "HTTP/1.0")
    headers = {}
    for line in lines:
        name, colon, value = line.partition(": ")
        assert colon
        headers[name.lower()] = value
    if headers.get("transfer-encoding") == "chunked":
        body = unchunk(body)
    elif status not in ("204", "304") and not head_only:
        assert len(body) == int(headers["content-length"])
    return Response(int(status), headers, body)


def unchunk(body: bytes) -> bytes:
    """What came so far of a chunked body."""
    found = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        length = int(size, 16)
        found, body = found + body[:length], body[length + 2 :]
    return found


@pytest.fixture
def make_door() -> Callable[..., Door]:
    def make(
        all_hosts: FakeAllHosts | None = None,
        counters=dict,
        token: str = TOKEN,
        packages: FakePackages | None = None,
        uploads: Path | None = None,
        **settings,
    ) -> Door:
        all_hosts = FakeAllHosts() if all_hosts is None else all_hosts
        clock = Clock()
        access = Access.from_settings(
            RestSettings(**settings), token, frozenset({"localhost", "vm", "vm.example"})
        )
        site = make_site(
            all_hosts,
            access,
            reactor=clock,
            version="9.8.7",
            counters=counters,
            packages=packages,
            uploads=uploads,
        )
        return Door(all_hosts, clock, site, packages)

    return make


@pytest.fixture
def door(make_door) -> Door:
    return make_door()


@pytest.fixture
def package_access(make_door, tmp_path) -> Door:
    """A door to a house with packages, whose uploads lie in `uploads`."""
    all_hosts = FakeAllHosts()
    (tmp_path / "uploads").mkdir()
    return make_door(
        all_hosts,
        packages=FakePackages(events=all_hosts.events, queue=all_hosts.queue),
        uploads=tmp_path / "uploads",
    )


@pytest.fixture
def all_hosts(door) -> FakeAllHosts:
    return door.all_hosts


@pytest.fixture
def logged() -> Iterator[list[LogEvent]]:
    """Every event that is logged while the test runs."""
    events: list[LogEvent] = []
    globalLogPublisher.addObserver(events.append)
    yield events
    globalLogPublisher.removeObserver(events.append)


@pytest.fixture
def failures(logged) -> Callable[[], list[LogEvent]]:
    """The failures among them."""
    return lambda: [event for event in logged if event.get("log_failure") is not None]
