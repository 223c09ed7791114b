"""The HTTP server: what is accepted from the wire before any path is looked at.

A stranger may send anything: what cannot be read is answered with a status and a problem document,
never with a connection that just closes. A request has to come within a time; how long its answer
takes is not limited here, for some have no end.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Callable
from io import BytesIO
from urllib.parse import unquote

from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.protocols.basic import LineReceiver
from twisted.python.failure import Failure
from twisted.web.http import HTTPChannel, datetimeToString
from twisted.web.http import Request as HTTPRequest
from twisted.web.server import Request as TwistedRequest
from twisted.web.server import Site as TwistedSite

from domogik.api.access import Access
from domogik.api.http.connections import ConnectionLimits, limited_as
from domogik.api.http.counting import Requests
from domogik.api.http.problems import CONTENT_TYPE, Problem, problem_of
from domogik.api.http.root import Root
from domogik.api.http.uploads import MAX_UPLOAD, UPLOAD_TIMEOUT, Upload, Uploads
from domogik.errors import DomogikError

#: bytes; nothing that is sent to us is larger, but for archives of packages
MAX_BODY = 64 * 1024
#: seconds a connection may be silent between requests
IDLE_TIMEOUT = 60.0
#: seconds from the first byte of a request to the end of its headers, and that it is waited for
HEAD_TIMEOUT = 20.0
#: within so many seconds so many bytes of a body come, or its end
BODY_PERIOD = 15.0
BODY_PORTION = 15 * 1024
#: seconds a refused client is listened to, so that it can read the refusal before the reset
LINGER = 2.0
#: so many at a time; further ones are closed at once
MAX_LINGERING = 100

_TOO_MANY = "Too many connections are open"
_STORED = re.compile(r"(?is)(/config/set/|/account/auth/[^/]*/).*")


class RequestPhase(enum.Enum):
    """Where a connection is."""

    IDLE = "between two requests"
    HEAD = "the head of a request is coming"
    BODY = "its body is coming"
    ANSWER = "it is being answered"


class Channel(HTTPChannel):
    """One connection. HTTP/1.1 with keep-alive; HTTP/2 would gain these clients nothing.

    Of requests that are sent without waiting for answers one is read in each turn of the reactor,
    and none while the client does not read: the others' turn comes between them.
    """

    totalHeadersSize = 16 * 1024
    maxHeaders = 100
    refused = False
    address = ""
    is_local = False
    is_proven = False
    length: int | None
    site: Site
    _phase = RequestPhase.IDLE
    _came = 0
    _turn: IDelayedCall | None = None

    @property
    def is_waiting(self) -> bool:
        """Its request is not whole."""
        return self._phase is not RequestPhase.ANSWER

    def connectionMade(self) -> None:
        super().connectionMade()
        assert self.transport is not None
        peer = str(getattr(self.transport.getPeer(), "host", ""))
        # a client without an address came by the local socket
        self.address = limited_as(peer)
        self.is_local = not peer or self.site.access.is_local(peer)
        self.setTimeout(HEAD_TIMEOUT)
        if not self.site.places.enter(self):
            self.refuse(503, _TOO_MANY)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.site.places.leave(self)
        if self._turn is not None:
            self._turn.cancel()
            self._turn = None
        super().connectionLost(reason)

    def give_way(self) -> None:
        """Close, for another one's sake."""
        if self._phase is RequestPhase.IDLE:
            self.refused = True
            assert self.transport is not None
            self.transport.loseConnection()
        else:
            self.refuse(503, _TOO_MANY)

    def leave(self) -> None:
        """Close, now or once the request that is being worked on is answered."""
        self.persistent = 0
        if not self.requests:
            assert self.transport is not None
            self.transport.loseConnection()

    def dataReceived(self, data: bytes) -> None:
        if self.refused:
            return
        if self._phase is RequestPhase.IDLE:
            self._phase = RequestPhase.HEAD
            self.setTimeout(HEAD_TIMEOUT)
        # not HTTPChannel's: there any byte gives the client more time
        LineReceiver.dataReceived(self, data)

    def lineLengthExceeded(self, line: bytes) -> None:
        # LineReceiver asks for this; without it the connection closes without a word
        self.refuse(431 if self.requests else 414, "The request line or a header is too long")

    def allHeadersReceived(self) -> None:
        if self.refused:
            return
        request: Request = self.requests[-1]
        self.is_proven = self.is_proven or self.site.access.knows(request)
        if not self.site.places.serves(self):
            self.refuse(503, "Too many requests are being answered")
            return
        has_body = self.length is None or self.length > 0
        if has_body:
            self._phase, self._came = RequestPhase.BODY, 0
            self.setTimeout(BODY_PERIOD)
        is_upload = has_body and self.site.uploads.expects(self._command, self._path)
        if is_upload and not self._begin_upload(request):
            return
        if self.length is not None and self.length > request.limit:
            self.refuse_body(request.limit)
            return
        super().allHeadersReceived()

    def _begin_upload(self, request: Request) -> bool:
        """Whether it is let in; else it was refused."""
        try:
            request.upload = self.site.uploads.begin(request)
        except DomogikError as error:
            self.refuse_with(problem_of(error) or Problem(500, "Internal error, see the log"))
        except OSError as error:
            self.refuse(507, f"An upload cannot be kept: {error.strerror}")
        else:
            request.expire_after(UPLOAD_TIMEOUT)
            return True
        return False

    def allContentReceived(self) -> None:
        if not self.refused:
            self._phase = RequestPhase.ANSWER
            self.setTimeout(IDLE_TIMEOUT)  # what counts once it is answered
            super().allContentReceived()

    def requestDone(self, request: HTTPRequest) -> None:
        self._phase = RequestPhase.IDLE
        self.paused = bool(self.persistent and (self._dataBuffer or self._buffer))
        super().requestDone(request)
        if self.paused:
            self._networkProducer.pauseProducing()
            self._go_on_later()

    def resumeProducing(self) -> None:
        """The client has read what waited for it."""
        super().resumeProducing()
        if self.paused:
            self._networkProducer.pauseProducing()
            self._go_on_later()

    def _go_on_later(self) -> None:
        if self._turn is None and not self._waitingForTransport:
            self._turn = self.callLater(0, self._go_on)

    def _go_on(self) -> None:
        """Read the next request of those that came together."""
        self._turn = None
        if self._waitingForTransport or self.refused:
            return
        self.paused = False
        self._networkProducer.resumeProducing()
        self.dataReceived(b"")

    def more_came(self, size: int) -> None:
        """So much of the body."""
        self._came += size

    def lineReceived(self, line: bytes) -> None:
        if not self.refused:
            super().lineReceived(line)

    def rawDataReceived(self, data: bytes) -> None:
        if not self.refused:
            super().rawDataReceived(data)

    def _respondToBadRequestAndDisconnect(self) -> None:
        self.refuse(400, "This is not a request that can be read")

    def refuse(self, status: int, why: str) -> None:
        """Answer, read nothing more, and close once the client has had time to read it."""
        self.refuse_with(Problem(status, why))

    def refuse_body(self, limit: int) -> None:
        """It is larger than that many bytes."""
        self.refuse(413, f"At most {limit} bytes are accepted")

    def refuse_with(self, problem: Problem) -> None:
        """As `refuse`."""
        if self.refused:
            return
        self.refused = True
        body = problem.body()
        head = (
            f"HTTP/1.1 {problem.status} {problem.title}\r\n"
            f"Content-Type: {CONTENT_TYPE}\r\n"
            f"Content-Length: {len(body)}\r\n"
            + "".join(f"{name}: {value}\r\n" for name, value in problem.headers)
            + "Connection: close\r\n\r\n"
        )
        assert self.transport is not None
        self.transport.write(head.encode("ascii") + body)
        self.site.counts.count("other", problem.status)
        if self.site.lingering() > MAX_LINGERING:
            self.transport.loseConnection()
        self.setTimeout(LINGER)

    def timeoutConnection(self) -> None:
        if not self.refused and self._phase is RequestPhase.HEAD:
            self.refuse(408, f"The head of a request has to come within {HEAD_TIMEOUT:g} s")
            return
        if not self.refused and self._phase is RequestPhase.BODY:
            if self._came >= BODY_PORTION:
                self._came = 0
                self.setTimeout(BODY_PERIOD)
            else:
                self.refuse(408, f"In {BODY_PERIOD:g} s came {self._came} bytes: too slow")
            return
        self.refused = True
        # no line in the log for each idle client, as the original class has it
        assert self.transport is not None
        self.transport.loseConnection()
        self._abortingCall = self.callLater(self.abortTimeout, self.forceAbortClient)


class Request(TwistedRequest):
    """One request; the server says nothing of its version."""

    defaultContentType = None
    received = 0
    changes = False
    upload: Upload | None = None
    _deadline: IDelayedCall | None = None
    channel: Channel

    @property
    def limit(self) -> int:
        """How many bytes its body may have."""
        return MAX_BODY if self.upload is None else MAX_UPLOAD

    def expire_after(self, seconds: float) -> None:
        """The body must have come by then."""

        def late() -> None:
            self.channel.refuse(408, f"The body did not come within {seconds:g} s")

        self._deadline = self.channel.callLater(seconds, late)

    def gotLength(self, length: int | None) -> None:
        if self.upload is None:
            super().gotLength(length)
        else:
            self.content = self.upload

    def handleContentChunk(self, data: bytes) -> None:
        # a chunked body says its length only by arriving
        self.received += len(data)
        self.channel.more_came(len(data))
        if self.received > self.limit:
            self.channel.refuse_body(self.limit)
            return
        try:
            super().handleContentChunk(data)
        except OSError as error:
            self.channel.refuse(507, f"The upload cannot be kept: {error.strerror}")

    def requestReceived(self, command: bytes, path: bytes, version: bytes) -> None:
        self._forget_deadline()
        super().requestReceived(command, path, version)

    def connectionLost(self, reason: Failure) -> None:
        self._forget_deadline()
        if self.upload is not None:
            self.upload.close()
        super().connectionLost(reason)

    def _forget_deadline(self) -> None:
        if self._deadline is not None and self._deadline.active():
            self._deadline.cancel()

    def process(self) -> None:
        self.site = self.channel.site
        self.setHeader(b"Server", b"Domogik")
        self.setHeader(b"Date", datetimeToString())
        self.site.resource.render(self)


class Site(TwistedSite):
    """The factory of connections, and the log of requests."""

    protocol = Channel  # type: ignore[assignment]  # the original takes a chooser of protocols
    noisy = False
    _log = Logger()

    def __init__(
        self,
        root: Root,
        counts: Requests,
        uploads: Uploads,
        access: Access,
        reactor: IReactorTime,
        on_stop: Callable[[], None],
    ) -> None:
        super().__init__(
            root,
            requestFactory=Request,
            timeout=IDLE_TIMEOUT,
            reactor=reactor,
            parsePOSTFormSubmission=False,
        )
        self.counts = counts
        self.uploads = uploads
        self.access = access
        self.places = ConnectionLimits()
        self._on_stop = on_stop

    @property
    def channels(self) -> tuple[Channel, ...]:
        """Every connection."""
        return tuple(self.places.clients)  # type: ignore[arg-type]  # only channels enter

    def lingering(self) -> int:
        """How many are refused and not closed yet."""
        return sum(client.refused for client in self.places.clients)

    def startFactory(self) -> None:
        """Not the original's: it wakes up every second to format a date for its own log."""

    def stopFactory(self) -> None:
        """The port is closed: answer the requests that wait, then close every connection."""
        self._on_stop()
        for channel in self.channels:
            channel.leave()

    def acceptableProtocols(self) -> list[bytes]:
        """What TLS may agree on: the original offers HTTP/2, which `Channel` does not speak."""
        return [b"http/1.1"]

    def getContentFile(self, length: int | None) -> BytesIO:
        """Where a body is kept that is no upload: in memory, for it has at most `MAX_BODY`."""
        return BytesIO()

    def log(self, request: HTTPRequest) -> None:
        """One event per answer; no query (it may hold anything), no stored value, no header."""
        method = request.method.decode("latin-1")
        self.counts.count(method, request.code)
        looked = request.code == 200 and not getattr(request, "changes", False)
        emit = self._log.debug if looked else self._log.info
        emit(
            "{client} {method} {path} {status} {size}",
            client=getattr(request.getClientAddress(), "host", "local"),
            method=method,
            path=shown_path(request.uri),
            status=request.code,
            size=request.sentLength,
        )


def shown_path(uri: bytes) -> str:
    """The path as a log may have it: decoded first, so that no spelling hides a stored value."""
    path = unquote(uri.partition(b"?")[0].decode("latin-1"), errors="replace")
    return _STORED.sub(r"\1***", path)[:512]
