"""Fetching from servers that work, and from servers that lie, stall and break off."""

from __future__ import annotations

import gzip
import hashlib
import os
import subprocess
import sys
from pathlib import Path

import attrs
import pytest
from certificate import self_signed
from twisted.internet import reactor, ssl
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThread
from twisted.protocols.policies import WrappingFactory
from twisted.trial.unittest import TestCase
from twisted.web.client import BrowserLikePolicyForHTTPS
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site
from twisted.web.static import Data
from webserver import BreakingOff, Raw, Server, redirect, status, stopped

from domogik.errors import FetchFailed
from domogik.packages.http.fetch import Fetcher
from domogik.packages.http.response import FetchLimits, Unreachable

pytestmark = pytest.mark.integration
KB = 1024
HEAD = b"HTTP/1.1 200 OK\r\n"


class Case(TestCase):
    def setUp(self) -> None:
        self.server = Server()
        self.pages = self.server.root.pages
        self.fetcher = self.make()
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir()
        self.target = self.directory / "archive.tgz"
        self.addCleanup(lambda: stopped(self.server))

    def make(self, limits: FetchLimits | None = None, **other: object) -> Fetcher:
        limits = attrs.evolve(limits or FetchLimits(), first_pause_s=0.01)
        fetcher = Fetcher(reactor, deferToThread, limits, **other)
        self.addCleanup(fetcher.close)
        return fetcher

    def raw(self, *pieces: bytes, close: bool = True) -> str:
        server = Raw(*pieces, close=close)
        self.addCleanup(lambda: stopped(server))
        return server.url

    async def failure(self, work: object, kind: type[FetchFailed] = FetchFailed) -> str:
        with pytest.raises(kind) as caught:
            await work
        assert caught.type is kind
        return str(caught.value)

    def left_behind(self) -> list[str]:
        return sorted(path.name for path in self.directory.iterdir())


class Getting(Case):
    async def test_the_answer_is_whole_with_what_to_ask_next_time(self) -> None:
        self.pages["/a"] = b"hello"
        reply = await self.fetcher.get(f"{self.server.url}/a", limit_bytes=KB)
        assert (reply.status, reply.body) == (200, b"hello")
        again = await self.fetcher.get(
            f"{self.server.url}/a", limit_bytes=KB, conditions=reply.conditions
        )
        assert again.is_unchanged
        assert again.body == b""

    async def test_an_address_may_have_letters_that_http_has_not(self) -> None:
        self.pages["/d%C3%A9p%C3%B4t%20un"] = b"hello"
        for path in ("/dépôt un", "/d%C3%A9p%C3%B4t%20un"):
            reply = await self.fetcher.get(self.server.url + path, limit_bytes=KB)
            assert reply.body == b"hello"

    async def test_an_error_page_is_an_answer_and_no_content(self) -> None:
        self.pages["/busy"] = status(503)
        missing = await self.fetcher.get(f"{self.server.url}/missing", limit_bytes=KB)
        assert missing.status == 404
        with pytest.raises(FetchFailed, match="status 404"):
            missing.content()
        busy = await self.fetcher.get(f"{self.server.url}/busy", limit_bytes=KB)
        with pytest.raises(Unreachable, match="status 503"):
            busy.content()

    async def test_connections_are_kept_and_used_again(self) -> None:
        self.pages["/a"] = b"hello"
        for _ in range(5):
            await self.fetcher.get(f"{self.server.url}/a", limit_bytes=KB)
        assert self.server.connections == 1

    async def test_a_host_has_no_more_connections_than_it_may(self) -> None:
        fetcher = self.make(FetchLimits(connections_per_host=2))
        self.pages["/a"] = b"hello"
        url = f"{self.server.url}/a"
        work = [Deferred.fromCoroutine(fetcher.get(url, limit_bytes=KB)) for _ in range(20)]
        await gatherResults(work)
        assert self.server.connections <= 2

    async def test_nobody_there_is_told_with_the_address(self) -> None:
        url = self.server.url
        await stopped(self.server)
        assert url in await self.failure(self.fetcher.get(url, limit_bytes=KB), Unreachable)

    async def test_what_is_no_address_is_told(self) -> None:
        for url in ("http://", "gopher://127.0.0.1/", "http://127.0.0.1:x/"):
            await self.failure(self.fetcher.get(url, limit_bytes=KB))


class Redirected(Case):
    async def get(self, path: str) -> bytes:
        return (await self.fetcher.get(self.server.url + path, limit_bytes=KB)).content()

    async def test_within_the_host_it_goes_where_it_is_sent(self) -> None:
        self.pages |= {"/a": redirect("/b/", 301), "/b/": redirect("c", 307), "/b/c": b"here"}
        reply = await self.fetcher.get(f"{self.server.url}/a", limit_bytes=KB)
        assert (reply.body, reply.url) == (b"here", f"{self.server.url}/b/c")

    async def test_a_loop_ends(self) -> None:
        self.pages |= {"/a": redirect("/b"), "/b": redirect("/a")}
        assert "5 times" in await self.failure(self.get("/a"))

    async def test_elsewhere_is_refused_and_named(self) -> None:
        other = Server()
        self.addCleanup(lambda: stopped(other))
        for place in (
            f"{other.url}/x",
            "http://localhost/x",
            "//example.org/x",
            "file:///etc/passwd",
            "ftp://127.0.0.1/x",
            f"http://user:pw@{self.server.url.removeprefix('http://')}/x",
            "http://[::1/",
            "http://127.0.0.1:99999/",
        ):
            self.pages["/a"] = redirect(place)
            assert "sends us" in await self.failure(self.get("/a"))
        assert other.root.asked == []

    async def test_from_https_it_never_goes_to_http(self) -> None:
        pem = self_signed(self.directory, "localhost")
        root = Server()
        self.addCleanup(lambda: stopped(root))
        context = ssl.DefaultOpenSSLContextFactory(str(pem), str(pem))

        class Down(Resource):
            isLeaf = True

            def render_GET(self, request: Request) -> bytes:
                if request.path == b"/plain":
                    return b"over TLS"
                return redirect(root.url.replace("127.0.0.1", "localhost"))(request)

        port = reactor.listenSSL(0, Site(Down()), context, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        known = ssl.Certificate.loadPEM(pem.read_bytes())
        policy = BrowserLikePolicyForHTTPS(ssl.trustRootFromCertificates([known]))
        trusting = self.make(tls_policy=policy)
        url = f"https://localhost:{port.getHost().port}"
        assert (await trusting.get(f"{url}/plain", limit_bytes=KB)).body == b"over TLS"
        assert "where we do not go" in await self.failure(trusting.get(url, limit_bytes=KB))
        assert root.root.asked == []
        await trusting.close()
        # and whoever does not know the certificate gets nothing
        assert "certificate" in (
            await self.failure(self.fetcher.get(url, limit_bytes=KB), Unreachable)
        )


class Certificates(Case):
    """Servers that are not who they should be; each is told in a sentence."""

    def serve(self, name: str, days: int = 1) -> tuple[str, BrowserLikePolicyForHTTPS]:
        """Its address, and a policy that trusts its certificate."""
        pem = self_signed(self.directory, name, days)
        context = ssl.DefaultOpenSSLContextFactory(str(pem), str(pem))
        port = reactor.listenSSL(0, Site(Data(b"x", "text/plain")), context, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        known = ssl.Certificate.loadPEM(pem.read_bytes())
        policy = BrowserLikePolicyForHTTPS(ssl.trustRootFromCertificates([known]))
        return f"https://127.0.0.1:{port.getHost().port}/", policy

    async def said(self, url: str, policy: BrowserLikePolicyForHTTPS | None = None) -> str:
        fetcher = self.make(tls_policy=policy)
        sentence = await self.failure(fetcher.get(url, limit_bytes=KB), Unreachable)
        return sentence.removeprefix(f"{url}: ")

    async def test_one_that_nobody_trusts_is_told_in_a_sentence(self) -> None:
        url, _ = self.serve("localhost")
        assert await self.said(url.replace("127.0.0.1", "localhost")) == (
            "no answer: its certificate is out of date, or of an authority that is not trusted here"
        )

    async def test_one_that_is_out_of_date_is_told_in_a_sentence(self) -> None:
        url, policy = self.serve("localhost", days=-1)
        assert await self.said(url.replace("127.0.0.1", "localhost"), policy) == (
            "no answer: its certificate is out of date, or of an authority that is not trusted here"
        )

    async def test_one_for_another_name_is_told_in_a_sentence(self) -> None:
        url, policy = self.serve("cellar")
        other = "no answer: its certificate is for another name"
        assert await self.said(url, policy) == other
        assert await self.said(url.replace("127.0.0.1", "localhost"), policy) == other

    async def test_a_server_without_tls_is_told_in_a_sentence(self) -> None:
        url = self.raw(b"HTTP/1.1 400 Bad Request\r\n\r\n").replace("http:", "https:")
        assert (await self.said(f"{url}/")).startswith("no answer: no TLS: ")


WITHOUT_TLS = """
import sys
from pathlib import Path

class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("OpenSSL", "service_identity"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing())
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread
from domogik.packages.http.fetch import Fetcher, FetchFailed

async def ask(url):
    fetcher = Fetcher(reactor, deferToThread)
    digest = {"sha256": "0" * 64, "accept_any_certificate": True}
    for work in (
        fetcher.get(url, limit_bytes=9),
        fetcher.download(url, Path("archive"), limit_bytes=9),
        fetcher.download(url, Path("archive"), limit_bytes=9, **digest),
    ):
        try:
            await work
        except FetchFailed as error:
            print(error)

react(lambda reactor: Deferred.fromCoroutine(ask("https://localhost:1/x")))
"""


def test_where_tls_is_not_installed_it_is_said_what_to_install(tmp_path: Path) -> None:
    command = [sys.executable, "-c", WITHOUT_TLS]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    sentence = (
        "https://localhost:1/x: https needs TLS for Python, which is not installed here: "
        "pip install 'domogik[tls]'\n"
    )
    assert (done.returncode, done.stdout) == (0, sentence * 3), done.stderr


class AnyCertificate(Case):
    """Another host of the house, with a certificate that it made itself, and an order."""

    def setUp(self) -> None:
        super().setUp()
        self.content = os.urandom(300 * KB)
        pem = self_signed(self.directory, "cellar")
        root = Resource()
        root.putChild(b"a", Data(self.content, "application/gzip"))
        context = ssl.DefaultOpenSSLContextFactory(str(pem), str(pem))
        self.connections = WrappingFactory(Site(root))
        port = reactor.listenSSL(0, self.connections, context, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.addCleanup(self.hang_up)
        self.url = f"https://127.0.0.1:{port.getHost().port}/a"

    def hang_up(self) -> None:
        for connection in list(self.connections.protocols):
            connection.transport.abortConnection()

    def download(self, **given: object) -> object:
        return self.fetcher.download(self.url, self.target, limit_bytes=1024 * KB, **given)

    async def test_a_digest_that_is_trusted_is_proof_enough(self) -> None:
        digest = hashlib.sha256(self.content).hexdigest()
        await self.download(sha256=digest, accept_any_certificate=True)
        assert self.target.read_bytes() == self.content

    async def test_another_content_is_refused_all_the_same(self) -> None:
        other = "0" * 64
        assert other in await self.failure(self.download(sha256=other, accept_any_certificate=True))
        assert not self.target.exists()

    async def test_without_a_digest_the_certificate_has_to_be_good(self) -> None:
        await self.failure(self.download(accept_any_certificate=True), Unreachable)
        assert not self.target.exists()

    async def test_a_digest_that_only_a_repository_says_is_no_proof(self) -> None:
        digest = hashlib.sha256(self.content).hexdigest()
        await self.failure(self.download(sha256=digest), Unreachable)

    async def test_what_was_not_checked_serves_nothing_else(self) -> None:
        digest = hashlib.sha256(self.content).hexdigest()
        await self.download(sha256=digest, accept_any_certificate=True)
        await self.failure(self.fetcher.get(self.url, limit_bytes=1024 * KB), Unreachable)


class Lying(Case):
    async def test_less_than_promised_is_told(self) -> None:
        url = self.raw(HEAD + b"Content-Length: 100\r\n\r\n", b"x" * 40)
        said = await self.failure(self.fetcher.get(url, limit_bytes=KB), Unreachable)
        assert "broke off after 40 of 100 bytes" in said

    async def test_more_than_allowed_is_refused_before_it_is_read(self) -> None:
        url = self.raw(HEAD + b"Content-Length: 999999999999\r\n\r\n", close=False)
        said = await self.failure(self.fetcher.get(url, limit_bytes=KB))
        assert "999999999999 bytes" in said
        assert "at most 1024" in said

    async def test_an_answer_without_end_is_cut(self) -> None:
        def endless(request: Request) -> object:
            class More:
                def resumeProducing(self) -> None:
                    request.write(b"x" * 4096)

                def stopProducing(self) -> None:
                    """It was cut."""

            request.registerProducer(More(), False)
            return NOT_DONE_YET

        self.pages["/a"] = endless
        url = f"{self.server.url}/a"
        assert "does not end" in await self.failure(self.fetcher.get(url, limit_bytes=100 * KB))
        work = self.fetcher.download(url, self.target, limit_bytes=1024 * KB)
        assert "does not end" in await self.failure(work)

    async def test_a_compressed_answer_is_not_unpacked(self) -> None:
        bomb = gzip.compress(bytes(1000 * KB))

        def page(request: Request) -> bytes:
            request.setHeader("Content-Encoding", "gzip")
            assert request.getHeader("Accept-Encoding").startswith("identity")
            return bomb

        self.pages["/a"] = page
        reply = await self.fetcher.get(f"{self.server.url}/a", limit_bytes=10 * KB)
        assert reply.body == bomb

    async def test_what_is_no_http_is_told(self) -> None:
        for answer in (
            b"SSH-2.0-OpenSSH\r\n",
            b"\0" * 100,
            b"HTTP/1.1 200 OK\r\nX: " + b"x" * 99999,
        ):
            await self.failure(self.fetcher.get(self.raw(answer), limit_bytes=KB), Unreachable)

    async def test_whoever_takes_forever_is_left(self) -> None:
        for pieces in ((), (HEAD,), (HEAD + b"Content-Length: 100\r\n\r\nx",)):
            url = self.raw(*pieces, close=False)
            work = self.fetcher.get(url, limit_bytes=KB, timeout_s=0.2)
            assert "longer than 0.2 seconds" in await self.failure(work, Unreachable)


class Downloading(Case):
    def download(self, path: str = "/a", **other: object) -> object:
        other.setdefault("limit_bytes", 10_000 * KB)
        return self.fetcher.download(self.server.url + path, self.target, **other)

    async def test_a_file_appears_whole_and_alone(self) -> None:
        content = os.urandom(3000 * KB)
        self.pages["/a"] = content
        seen: list[tuple[int, int | None]] = []
        await self.download(
            size=len(content),
            sha256=hashlib.sha256(content).hexdigest().upper(),
            progress=lambda received, total: seen.append((received, total)),
        )
        assert self.target.read_bytes() == content
        assert self.left_behind() == ["archive.tgz"]
        assert seen[-1] == (len(content), len(content))
        assert seen == sorted(seen)

    async def test_what_breaks_off_goes_on_where_it_stopped(self) -> None:
        page = BreakingOff(os.urandom(1000 * KB), 400 * KB)
        self.pages["/a"] = page
        await self.download(sha256=hashlib.sha256(page.content).hexdigest())
        assert self.target.read_bytes() == page.content
        assert page.ranges == [None, f"bytes={400 * KB}-", f"bytes={800 * KB}-"]

    async def test_a_later_try_goes_on_too(self) -> None:
        page = BreakingOff(os.urandom(1000 * KB), 100 * KB)
        self.pages["/a"] = page
        await self.failure(self.download(), Unreachable)
        assert not self.target.exists()
        page.pieces = 10_000 * KB
        await self.download()
        assert page.ranges[-1] == f"bytes={400 * KB}-"
        assert self.target.read_bytes() == page.content

    async def test_two_versions_are_never_joined(self) -> None:
        page = BreakingOff(b"a" * 1000 * KB, 100 * KB)
        self.pages["/a"] = page
        await self.failure(self.download(), Unreachable)
        page.content, page.etag, page.pieces = b"b" * 1000 * KB, '"two"', 10_000 * KB
        await self.download()
        assert self.target.read_bytes() == page.content

    async def test_a_server_without_ranges_starts_anew(self) -> None:
        content = os.urandom(500 * KB)
        page = BreakingOff(content, 100 * KB)
        self.pages["/a"] = page
        await self.failure(self.download(), Unreachable)
        self.pages["/a"] = content
        await self.download()
        assert self.target.read_bytes() == content

    async def test_another_part_than_asked_for_is_not_taken(self) -> None:
        page = BreakingOff(os.urandom(500 * KB), 100 * KB)
        self.pages["/a"] = page
        await self.failure(self.download(), Unreachable)

        def wrong(request: Request) -> object:
            if request.getHeader("Range") is None:
                return page.content
            request.setResponseCode(206)
            request.setHeader("Content-Range", "bytes 0-9/10")
            return b"0123456789"

        self.pages["/a"] = wrong
        await self.download()
        assert self.target.read_bytes() == page.content

    async def test_another_digest_or_size_leaves_nothing(self) -> None:
        self.pages["/a"] = b"x" * 100
        digest = hashlib.sha256(b"y" * 100).hexdigest()
        assert digest in await self.failure(self.download(sha256=digest))
        assert "should be 101" in await self.failure(self.download(size=101))
        assert "at most 99" in await self.failure(self.download(size=99))
        assert self.left_behind() == []

    async def test_an_error_page_is_no_file(self) -> None:
        assert "status 404" in await self.failure(self.download("/missing"))
        assert self.left_behind() == []

    async def test_whoever_sends_a_byte_now_and_then_is_left(self) -> None:
        self.fetcher = self.make(FetchLimits(minimum_rate=10_000, rate_window_s=0.1))
        url = self.raw(HEAD + b"Content-Length: 100000\r\n\r\nxx", close=False)
        work = self.fetcher.download(url, self.target, limit_bytes=1000 * KB)
        assert "only " in await self.failure(work, Unreachable)
        assert not self.target.exists()

    async def test_a_disk_that_takes_no_more_is_told(self) -> None:
        self.pages["/a"] = b"x" * 1000 * KB
        self.target = self.directory / "missing" / "archive.tgz"
        with pytest.raises(FileNotFoundError):
            await self.download()

    async def test_a_file_of_a_directory_is_copied_and_checked(self) -> None:
        source = self.directory / "source"
        source.write_bytes(b"x" * 100)
        url = source.as_uri()
        await self.fetcher.download(url, self.target, limit_bytes=KB, size=100)
        assert self.target.read_bytes() == source.read_bytes()
        await self.failure(self.fetcher.download(url, self.target, limit_bytes=99))
        await self.failure(self.fetcher.download(f"{url}x", self.target, limit_bytes=KB))
