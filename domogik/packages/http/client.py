"""Requests by HTTP; the only module that uses treq.

Connections are kept and limited for each host; redirects are followed within the host only; bodies
are limited in size, have a minimum rate, and are not decoded, since decoded ones could have any
size.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping
from typing import Any, TypeVar
from urllib.parse import SplitResult, urljoin, urlsplit

import attrs
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import (
    ConnectError,
    ConnectingCancelledError,
    ConnectionClosed,
    DNSLookupError,
)
from twisted.internet.interfaces import (
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
)
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseFailed,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from domogik.errors import FetchFailed
from domogik.packages.http.reasons import NO_TLS, reasons, unconnected, was_cancelled
from domogik.packages.http.response import Body, FetchLimits, Response, Spool, Unreachable

_T = TypeVar("_T")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: what stands in an answer that only sends us elsewhere
_REDIRECT_BODY_BYTES = 64 * 1024
_PORTS = {"http": 80, "https": 443}
_BROKEN = (ResponseFailed, RequestTransmissionFailed, RequestGenerationFailed, ConnectionClosed)


class IClientReactor(IReactorTime, IReactorTCP, IReactorPluggableNameResolver):
    """The interfaces of the reactor that the client needs."""


@attrs.define(eq=False)
class Transport:
    """Sends requests on kept connections; `close` ends idle ones.

    `tls_policy` decides which certificates are valid (None: those of browsers).
    """

    _reactor: IClientReactor
    limits: FetchLimits
    _tls_policy: IPolicyForHTTPS | None = None
    _slots: dict[str, DeferredSemaphore] = attrs.field(factory=dict, init=False)
    _pool: HTTPConnectionPool = attrs.field(init=False)
    _client: HTTPClient = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._pool = HTTPConnectionPool(self._reactor, persistent=True)
        self._pool.maxPersistentPerHost = self.limits.connections_per_host
        self._pool.cachedConnectionTimeout = 30
        policy = self._tls_policy or BrowserLikePolicyForHTTPS()
        endpoints = _Endpoints(self._reactor, policy, self.limits.connect_timeout_s)
        agent = Agent.usingEndpointFactory(self._reactor, endpoints, pool=self._pool)
        self._client = HTTPClient(_UnencodedAgent(agent))

    def slots(self, url: str) -> DeferredSemaphore:
        """Return the semaphore that limits connections to the host of `url`."""
        host = urlsplit(url).netloc
        if host not in self._slots:
            self._slots[host] = DeferredSemaphore(self.limits.connections_per_host)
        return self._slots[host]

    def close(self) -> Deferred[None]:
        """Close idle connections; fires when that is done."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    def pause(self, seconds: float) -> Deferred[None]:
        """Return a Deferred that fires after that time."""
        return deferLater(self._reactor, seconds)

    async def request(self, url: str, headers: Mapping[str, str]) -> Response:
        """Return the response to a GET, after redirects; raises `FetchFailed`."""
        asked = url
        for _ in range(self.limits.redirects + 1):
            answer = await self._get(url, headers)
            location = answer.header("location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            await self.read(answer, _REDIRECT_BODY_BYTES)
            url = _redirected(url, location)
        raise FetchFailed(asked, f"sends us on more than {self.limits.redirects} times")

    async def _get(self, url: str, headers: Mapping[str, str]) -> Response:
        try:
            response = await self._client.get(
                url,
                headers=Headers({name: [value] for name, value in headers.items()}),
                allow_redirects=False,
                unbuffered=True,
                reactor=self._reactor,  # type: ignore[arg-type]  # theirs is private
            )
        except (ConnectError, DNSLookupError) as error:
            raise Unreachable(url, f"no connection: {unconnected(error)}") from error
        except ConnectingCancelledError as error:
            raise CancelledError from error
        except _BROKEN as error:
            if was_cancelled(error):
                raise CancelledError from error
            raise Unreachable(url, f"no answer: {reasons(error)}") from error
        except NotImplementedError as error:
            raise FetchFailed(url, NO_TLS) from error
        except (ValueError, SchemeNotSupported) as error:
            raise FetchFailed(url, f"is no address that can be asked: {error}") from error
        length = response.length if isinstance(response.length, int) else None
        return Response(url, response.code, length, response)

    async def read(self, answer: Response, limit_bytes: int) -> bytes:
        """Return the whole body; raises `FetchFailed`, also if it exceeds the limit."""
        body = Body(answer, limit_bytes)
        answer.response.deliverBody(body)
        await body.done
        return b"".join(body.chunks)

    def drop(self, answer: Response) -> None:
        """Discard the body and close the connection."""
        body = Body(answer, 0)
        _ = body.done.addErrback(_expected)
        answer.response.deliverBody(body)
        body.done.cancel()

    async def spool(
        self,
        answer: Response,
        limit_bytes: int,
        write: Callable[[bytes], Awaitable[object]],
    ) -> int:
        """Pass the body to `write` in pieces; return its length.

        Raises `FetchFailed`, also if it exceeds the limit or is too slow, and what `write` raises;
        earlier pieces have been written.
        """
        body = Spool(answer, limit_bytes, write, self._reactor, self.limits)
        answer.response.deliverBody(body)
        await body.done
        return body.received

    async def within(self, seconds: float, url: str, work: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of `work`; after `seconds` cancel it and raise `Unreachable`."""

        def too_late(outcome: Any, timeout: float) -> Any:
            if isinstance(outcome, Failure):
                raise Unreachable(url, f"took longer than {timeout:g} seconds")
            return outcome

        deferred: Deferred[_T] = Deferred.fromCoroutine(work)
        return await deferred.addTimeout(seconds, self._reactor, too_late)


@implementer(IAgentEndpointFactory)
@attrs.define(eq=False)
class _Endpoints:
    """Caches one endpoint for each host, since creating one takes a tenth of a request."""

    _reactor: IClientReactor
    _policy: IPolicyForHTTPS
    _timeout_s: float
    _made: dict[tuple[bytes, bytes, int], IStreamClientEndpoint] = attrs.field(
        factory=dict, init=False
    )

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        key = uri.scheme, uri.host, uri.port
        if key not in self._made:
            self._made[key] = self._make(uri)
        return self._made[key]

    def _make(self, uri: URI) -> IStreamClientEndpoint:
        host = uri.host.decode("ascii")
        endpoint = HostnameEndpoint(self._reactor, host, uri.port, timeout=self._timeout_s)
        if uri.scheme == b"http":
            return endpoint
        if uri.scheme == b"https":
            return wrapClientTLS(self._policy.creatorForNetloc(uri.host, uri.port), endpoint)
        raise SchemeNotSupported(f"'{uri.scheme.decode('ascii', 'replace')}' is not supported")


@implementer(IAgent)
@attrs.define(eq=False)
class _UnencodedAgent:
    """An agent that requests unencoded bodies, and treats all as unencoded."""

    _agent: IAgent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        headers = headers or Headers()
        headers.setRawHeaders("accept-encoding", ["identity"])
        # An archive that a server calls gzip-encoded is still the archive.
        return self._agent.request(method, uri, headers, bodyProducer).addCallback(
            _without_encoding
        )


def _without_encoding(response: IResponse) -> IResponse:
    response.headers.removeHeader("content-encoding")
    return response


def _expected(failure: Failure) -> None:
    failure.trap(CancelledError, FetchFailed)


def _redirected(url: str, location: str) -> str:
    """Return the target of a redirect; raises `FetchFailed` if it is not allowed."""
    try:
        target = urljoin(url, location)
        before, after = urlsplit(url), urlsplit(target)
        ports = _port(before), _port(after)
    except ValueError as error:
        raise FetchFailed(url, f"sends us to '{location[:200]}', which is no address") from error
    elsewhere = FetchFailed(url, f"sends us elsewhere, to {target[:200]}, where we do not go")
    if after.scheme not in _PORTS or "@" in after.netloc or after.hostname != before.hostname:
        raise elsewhere
    if before.scheme == after.scheme and ports[0] == ports[1]:
        return target
    if (before.scheme, after.scheme) == ("http", "https"):
        return target
    raise elsewhere


def _port(parts: SplitResult) -> int | None:
    return parts.port or _PORTS.get(parts.scheme)
