"""A repository's web server that does as it is told, lies included."""

from __future__ import annotations

import hashlib
from collections.abc import Callable

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults, maybeDeferred
from twisted.internet.protocol import Factory, Protocol
from twisted.protocols.policies import WrappingFactory
from twisted.web.http import Request
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

PNG = b"\x89PNG\r\n\x1a\n and so on"
#: a body, or what makes one out of the request
Page = bytes | Callable[[Request], object]


class Pages(Resource):
    """Pages by path; what was asked for is in `asked`."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.pages: dict[str, Page] = {}
        self.asked: list[str] = []

    def render_GET(self, request: Request) -> object:
        path = request.path.decode()
        self.asked.append(path)
        page = self.pages.get(path)
        if page is None:
            request.setResponseCode(404)
            return b"<html>There is no such page</html>"
        if callable(page):
            return page(request)
        if request.setETag(b'"%s"' % hashlib.sha256(page).hexdigest().encode()) is not None:
            return b""
        return page


class Server:
    """Pages on a port of loopback; `connections` counts all that there ever were.

    `stop` closes what clients keep open too.
    """

    def __init__(self) -> None:
        self.root = Pages()
        self._factory = WrappingFactory(Site(self.root))
        self._factory.noisy = False
        self.connections = 0
        build = self._factory.buildProtocol

        def counted(address: object) -> object:
            self.connections += 1
            return build(address)

        self._factory.buildProtocol = counted
        self._port = reactor.listenTCP(0, self._factory, interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{self._port.getHost().port}"

    async def stop(self) -> None:
        for connection in list(self._factory.protocols):
            connection.transport.abortConnection()
        await maybeDeferred(self._port.stopListening)


class Raw:
    """Answers every request on a port of loopback with bytes, which need not be HTTP."""

    def __init__(self, *pieces: bytes, close: bool = True) -> None:
        connections: list[Protocol] = []
        self._connections = connections

        class Answer(Protocol):
            def connectionMade(self) -> None:
                connections.append(self)

            def dataReceived(self, data: bytes) -> None:
                for piece in pieces:
                    self.transport.write(piece)
                if close:
                    self.transport.loseConnection()

        self._port = reactor.listenTCP(0, Factory.forProtocol(Answer), interface="127.0.0.1")
        self.url = f"http://127.0.0.1:{self._port.getHost().port}"

    async def stop(self) -> None:
        for connection in self._connections:
            connection.transport.abortConnection()
        await maybeDeferred(self._port.stopListening)


def redirect(location: str, status: int = 302) -> Callable[[Request], bytes]:
    """A page that sends elsewhere."""

    def page(request: Request) -> bytes:
        request.setResponseCode(status)
        request.setHeader("Location", location)
        return b"over there"

    return page


def status(code: int) -> Callable[[Request], bytes]:
    """A page that is an error."""

    def page(request: Request) -> bytes:
        request.setResponseCode(code)
        return b"no"

    return page


class BreakingOff:
    """A file that comes in parts: each connection is cut after `pieces` bytes; knows ranges."""

    def __init__(self, content: bytes, pieces: int, etag: str = '"one"') -> None:
        self.content, self.pieces, self.etag = content, pieces, etag
        self.ranges: list[str | None] = []

    def __call__(self, request: Request) -> object:
        wanted = request.getHeader("Range")
        self.ranges.append(wanted)
        begin = 0
        request.setHeader("ETag", self.etag)
        if wanted is not None and request.getHeader("If-Range") == self.etag:
            begin = int(wanted.removeprefix("bytes=").removesuffix("-"))
            size = len(self.content)
            request.setResponseCode(206)
            request.setHeader("Content-Range", f"bytes {begin}-{size - 1}/{size}")
        rest = self.content[begin:]
        request.setHeader("Content-Length", str(len(rest)))
        request.write(rest[: self.pieces])
        if len(rest) > self.pieces:
            # a transport with a paused producer would wait for it
            request.channel.transport.unregisterProducer()
            request.channel.transport.loseConnection()
        else:
            request.finish()
        return NOT_DONE_YET


def stopped(*servers: Server | Raw) -> Deferred[object]:
    """Fires when all of them are."""
    return gatherResults([Deferred.fromCoroutine(server.stop()) for server in servers])


DESCRIPTOR = """<package type="{type}">
 <id>{id}</id><technology>service</technology><description>{description}</description>
 <changelog>c</changelog><version>{release}</version><documentation>http://x/</documentation>
 <author>a</author><author-email>a@example.org</author-email>
 <configuration-keys/><files/><dependencies/><udev-rules/>
 <device_technology><id>service</id><name>S</name><description>S</description></device_technology>
 <device_types/><device_feature_models/>
</package>"""


def descriptor(
    id: str, release: str = "1.0", type: str = "plugin", description: str = "something"
) -> bytes:
    """A descriptor in XML."""
    text = DESCRIPTOR.format(type=type, id=id, release=release, description=description)
    return text.encode()


def listed(server: Server, name: str, *packages: tuple[str, str]) -> None:
    """A repository of the older generation at `<url>/<name>`."""
    pages = server.root.pages
    lines = [f"plugin/{id}/{release}" for id, release in packages]
    pages[f"/{name}/"] = "\n".join(["Domogik Repository", *lines, ""]).encode()
    for (id, release), line in zip(packages, lines, strict=True):
        pages[f"/{name}/xml/{line}"] = descriptor(id, release)
        pages[f"/{name}/icon/{line}"] = PNG
        pages[f"/{name}/download/{line}"] = f"the archive of {line}".encode()
