"""REST on a real port, asked over real connections."""

from __future__ import annotations

import json
import os
import shutil
import socket
import tempfile
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, connectProtocol
from twisted.internet.error import ConnectionAborted, ConnectionDone, ConnectionLost
from twisted.internet.protocol import Protocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from domogik.api.access import Access, names_of_this_host
from domogik.api.settings import RestSettings
from domogik.api.site import BadCertificate, RestPortTaken, listen, make_site
from domogik.components.model import State
from domogik.testing.all_hosts import FakeAllHosts, plugin

pytestmark = pytest.mark.integration
TOKEN = "the-token"


class Client(Protocol):
    """Keeps what came, and tells when something is there that is waited for."""

    def __init__(self) -> None:
        self.received = b""
        self.closed: Deferred[bytes] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self._waiting: list[tuple[bytes, Deferred[bytes]]] = []

    def dataReceived(self, data: bytes) -> None:
        self.received += data
        for wanted, deferred in tuple(self._waiting):
            if wanted in self.received:
                self._waiting.remove((wanted, deferred))
                deferred.callback(self.received)

    def until(self, wanted: bytes) -> Deferred[bytes]:
        deferred: Deferred[bytes] = Deferred()
        self._waiting.append((wanted, deferred))
        self.dataReceived(b"")
        return deferred

    def connectionLost(self, reason: Failure = Failure(ConnectionDone())) -> None:  # noqa: B008
        reason.trap(ConnectionDone, ConnectionLost, ConnectionAborted)
        self.closed.callback(self.received)
        self.gone.callback(None)


class RestOnARealPort(TestCase):
    async def setUp(self) -> None:
        self.all_hosts = FakeAllHosts().put(plugin("demo", state=State.ALIVE))
        self.settings = RestSettings(port=0)
        access = Access.from_settings(self.settings, TOKEN, names_of_this_host())
        self.site = make_site(self.all_hosts, access, reactor=reactor, version="1")
        self.port = await listen(reactor, self.site, self.settings)
        self.number = self.port.getHost().port
        self.clients: list[Client] = []

    async def tearDown(self) -> None:
        await maybeDeferred(self.port.stopListening)
        for client in self.clients:
            client.transport.abortConnection()
        await gatherResults([client.gone for client in self.clients])
        await self._until_the_server_let_go()

    async def _until_the_server_let_go(self) -> None:
        from twisted.internet.task import deferLater

        while self.site.channels:
            await deferLater(reactor, 0.01)

    async def connect(self) -> Client:
        endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", self.number)
        client = await connectProtocol(endpoint, Client())
        self.clients.append(client)
        return client

    async def ask(self, method: str, path: str, *headers: str) -> tuple[int, bytes]:
        client = await self.connect()
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.number}"]
        lines += [*headers, "Connection: close", "", ""]
        client.transport.write("\r\n".join(lines).encode())
        head, _, body = (await client.closed).partition(b"\r\n\r\n")
        return int(head.split(b" ")[1]), body

    async def test_both_faces_tell_of_the_same_plugin(self) -> None:
        status, body = await self.ask("GET", "/plugin/list/")
        self.assertEqual(status, 200)
        (host,) = json.loads(body)["plugin"]
        self.assertEqual(host["list"][0]["status"], "ON")
        status, body = await self.ask("GET", "/api/v1/components/demo")
        self.assertEqual(json.loads(body)["state"], "alive")

    async def test_a_plugin_is_stopped_with_the_token_only(self) -> None:
        stop = ("POST", "/api/v1/components/demo/stop")
        status, _ = await self.ask(*stop)
        self.assertEqual(status, 401)
        status, body = await self.ask(*stop, f"Authorization: Bearer {TOKEN}")
        self.assertEqual((status, json.loads(body)["state"]), (200, "stopped"))

    async def test_events_arrive_while_they_happen_and_the_stream_ends_with_the_server(
        self,
    ) -> None:
        client = await self.connect()
        client.transport.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.until(b"retry:")
        self.all_hosts.put(plugin("demo", state=State.FAILED))
        await client.until(b'"state": "failed"')
        await self.port.stopListening()
        self.assertTrue((await client.closed).endswith(b"\r\n0\r\n\r\n"))

    async def test_a_kept_connection_is_closed_when_the_server_stops(self) -> None:
        client = await self.connect()
        client.transport.write(b"GET /host/ HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.until(b"}")
        await self.port.stopListening()
        self.assertEqual((await client.closed).count(b"HTTP/1.1"), 1)

    async def test_a_client_that_does_not_read_is_dropped(self) -> None:
        client = await self.connect()
        client.transport.write(b"GET /api/v1/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        await client.until(b"retry:")
        client.transport.pauseProducing()
        subscribers = len(self.all_hosts.events._receivers)
        for _ in range(40):
            if len(self.all_hosts.events._receivers) < subscribers:
                break
            for _ in range(200):
                self.all_hosts.events.publish("configuration.refused", error="x" * 2000)
            await self.ask("GET", "/host/")  # the others are served meanwhile
        self.assertEqual(len(self.all_hosts.events._receivers), subscribers - 1)
        client.transport.resumeProducing()

    async def test_what_cannot_be_read_is_answered_before_the_connection_closes(self) -> None:
        cannot_become_ready = (
            (b"\x00\xff\xfe\r\n\r\n", b"400"),
            (b"GET /" + b"x" * 100_000, b"414"),
            (b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"y" * 100_000, b"431"),
            (b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n", b"413"),
            (b"GET / HTTP/1.1\r\nHost\r\n\r\n", b"400"),
        )
        for data, status in cannot_become_ready:
            client = await self.connect()
            client.transport.write(data)
            received = await client.until(b"}")
            self.assertEqual(received.split(b" ")[1], status)
            self.assertIn(b"application/problem+json", received)
        status, _ = await self.ask("GET", "/")
        self.assertEqual(status, 200)

    async def test_a_refused_upload_can_be_read_although_it_goes_on(self) -> None:
        client = await self.connect()
        client.transport.write(
            b"PUT / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4000000\r\n\r\n"
        )
        client.transport.write(b"x" * 4_000_000)
        received = await client.until(b"}")
        self.assertTrue(received.startswith(b"HTTP/1.1 413 "))

    async def test_a_taken_port_is_said_in_one_line(self) -> None:
        taken = RestSettings(port=self.number)
        with self.assertRaises(RestPortTaken) as caught:
            await listen(reactor, self.site, taken)
        self.assertIn(f"port {self.number} of 127.0.0.1 is taken", str(caught.exception))
        self.assertIn("rest_server_port", str(caught.exception))
        self.assertNotIn("\n", str(caught.exception))

    async def test_an_address_of_another_host_is_said_in_one_line(self) -> None:
        with self.assertRaises(RestPortTaken) as caught:
            await listen(reactor, self.site, RestSettings(ip="192.0.2.1", port=0))
        self.assertIn("rest_server_ip", str(caught.exception))

    async def test_ipv6_loopback_is_loopback(self) -> None:
        if not _has_ipv6():
            return  # nothing to promise on a host without IPv6
        port = await listen(reactor, self.site, RestSettings(ip="::1", port=0))
        self.addCleanup(port.stopListening)
        endpoint = TCP6ClientEndpoint(reactor, "::1", port.getHost().port)
        client = await connectProtocol(endpoint, Client())
        self.clients.append(client)
        client.transport.write(b"GET /host/ HTTP/1.1\r\nHost: [::1]\r\nConnection: close\r\n\r\n")
        self.assertIn(b" 200 OK", await client.closed)


class Certificates(TestCase):
    def directory(self) -> Path:
        directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, directory)
        return directory

    def listening(self, pem):
        site = make_site(
            FakeAllHosts(),
            Access.from_settings(RestSettings(), TOKEN, frozenset()),
            reactor=reactor,
            version="1",
        )
        return listen(reactor, site, RestSettings(port=0, use_ssl=True, certificate=pem))

    async def test_a_certificate_that_cannot_be_used_is_said_in_one_line(self) -> None:
        directory = self.directory()
        for name, text in (("nothing.pem", None), ("bad.pem", "no certificate at all")):
            pem = directory / name
            if text is not None:
                pem.write_text(text)
            with self.assertRaises(BadCertificate) as caught:
                await self.listening(pem)
            self.assertIn(os.fspath(pem), str(caught.exception))

    async def test_a_good_certificate_serves_https(self) -> None:
        pem = _self_signed(self.directory())
        port = await self.listening(pem)
        try:
            reply = await _https_get(port.getHost().port, pem)
        finally:
            await port.stopListening()
        self.assertIn(b"200 OK", reply)


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as tried:
            tried.bind(("::1", 0))
    except OSError:
        return False
    return True


def _self_signed(directory: Path) -> Path:
    """A key and a certificate for 127.0.0.1 in one file."""
    import datetime
    import ipaddress

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False
        )
        .sign(key, hashes.SHA256())
    )
    pem = directory / "rest.pem"
    pem.write_bytes(
        certificate.public_bytes(serialization.Encoding.PEM)
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    return pem


async def _https_get(port: int, trusted) -> bytes:
    """In a thread, with the standard library: somebody else's TLS."""
    import ssl

    from twisted.internet.threads import deferToThread

    def get() -> bytes:
        context = ssl.create_default_context(cafile=os.fspath(trusted))
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="127.0.0.1") as secure,
        ):
            secure.sendall(b"GET / HTTP/1.0\r\n\r\n")
            return secure.recv(4096)

    return await deferToThread(get)
