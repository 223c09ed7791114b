"""Where does a request go? Two faces behind one door; every request gets exactly one answer."""

from __future__ import annotations

from typing import Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.http import Request
from twisted.web.resource import IResource
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer

from domogik.api.access import Access
from domogik.api.http.exchange import BadRequest, Call, Reply, Stream, send
from domogik.api.http.files import File

_V1 = (b"/api", b"/metrics")
#: what `OPTIONS *` is told
_ANYTHING = (("Allow", "GET, HEAD, POST, PUT, DELETE, OPTIONS"),)


class Face(Protocol):
    """One way of speaking: it answers every call, and says every error in its own way."""

    async def answer(self, call: Call) -> Reply | Stream:
        """Never raises what a request can cause."""

    def failed(self, error: Exception) -> Reply:
        """The answer that an error is."""


@attrs.define(eq=False)
class _Client:
    """Whether who asked is still there."""

    gone: bool = False

    def left(self, _: object) -> None:
        self.gone = True


@implementer(IResource)
@attrs.define(eq=False)
class Root:
    """The only resource: paths are matched by the tables of the faces, not by a tree."""

    _access: Access
    _rinor: Face
    _v1: Face
    _log: Logger = Logger()
    isLeaf = True

    def getChildWithDefault(self, name: bytes, request: Request) -> Root:
        return self

    def putChild(self, path: bytes, child: object) -> None:
        raise NotImplementedError("the tables of the faces say what there is")

    def render(self, request: Request) -> int:
        """The work goes on when the client leaves; only the answer is thrown away then."""
        client = _Client()
        _ = request.notifyFinish().addErrback(client.left)
        answering = Deferred.fromCoroutine(self._answer(request, client))
        _ = answering.addErrback(self._broken, request, client)
        return NOT_DONE_YET

    async def _answer(self, request: Request, client: _Client) -> None:
        request.setHeader(b"X-Content-Type-Options", b"nosniff")
        face = self._v1 if _is_v1(request.uri) else self._rinor
        answer: Reply | Stream
        if request.uri == b"*":
            send(request, Reply(204, b"", "", _ANYTHING))
            return
        try:
            _check_host(request)
            call = Call.read(request, self._access)
        except BadRequest as error:
            answer = face.failed(error)
        else:
            answer = await face.answer(call)
        if isinstance(answer, Reply):
            if not client.gone:
                send(request, answer)
        elif client.gone:
            answer.discard()
        elif request.method == b"HEAD" and not isinstance(answer, File):
            answer.discard()
            send(request, Reply(200, b"", "text/plain"))
        else:
            answer.start(request)

    def _broken(self, failure: Failure, request: Request, client: _Client) -> None:
        self._log.failure("an answer could not be given", failure=failure)
        if client.gone or request.finished:
            return
        if request.startedWriting:
            request.loseConnection()
        else:
            send(request, self._v1.failed(RuntimeError("no answer")))


def _is_v1(uri: bytes) -> bool:
    path = uri.partition(b"?")[0]
    return any(path == first or path.startswith(first + b"/") for first in _V1)


def _check_host(request: Request) -> None:
    """RFC 9112, 3.2: one Host, and in HTTP/1.1 there must be one."""
    hosts = request.requestHeaders.getRawHeaders(b"host", [])
    if len(hosts) > 1 or (not hosts and request.clientproto == b"HTTP/1.1"):
        raise BadRequest("A request has one Host")
