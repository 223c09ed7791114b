"""HTTP as a client speaks it here: the only module that knows treq.

Kept connections, a number of them for each host; redirects only within the host; bodies only as
they were sent (nothing is unpacked on the way: a compressed answer could be of any size), within a
limit, and at a rate that somebody who works sends at.
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
    IDelayedCall,
    IPushProducer,
    IReactorPluggableNameResolver,
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
    ITransport,
)
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.internet.task import deferLater
from twisted.python.failure import Failure
from twisted.web.client import (
    URI,
    Agent,
    BrowserLikePolicyForHTTPS,
    HTTPConnectionPool,
    RequestGenerationFailed,
    RequestTransmissionFailed,
    ResponseDone,
    ResponseFailed,
)
from twisted.web.error import SchemeNotSupported
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from domogik.errors import FetchFailed
from domogik.packages.http.reasons import NO_TLS, reasons, unconnected, was_cancelled

_T = TypeVar("_T")
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
#: what stands in an answer that only sends us elsewhere
_REDIRECT_BODY_BYTES = 64 * 1024
_FLUSH_BYTES = 256 * 1024
_PORTS = {"http": 80, "https": 443}
_BROKEN = (ResponseFailed, RequestTransmissionFailed, RequestGenerationFailed, ConnectionClosed)


class Unreachable(FetchFailed):
    """No connection, no answer in time, or one that broke off: another try may succeed."""


class IClientReactor(IReactorTime, IReactorTCP, IReactorPluggableNameResolver):
    """What is asked of a reactor here."""


@attrs.frozen
class FetchLimits:
    """How much patience there is; times in seconds, rate in bytes a second over `rate_window_s`.

    Before what broke off is tried again there is a pause, each twice as long as the one before.
    """

    connections_per_host: int = 16
    connect_timeout_s: float = 15
    redirects: int = 5
    minimum_rate: int = 512
    rate_window_s: float = 20
    first_pause_s: float = 0.5


@attrs.frozen
class Response:
    """The head of an answer, whose body `Transport.read` or `.spool` has still to take.

    `url` is where it came from at last; `length` what it says about itself, None when it does not.
    """

    url: str
    status: int
    length: int | None
    response: IResponse

    def header(self, name: str) -> str | None:
        """A header's first value."""
        values = self.response.headers.getRawHeaders(name)
        return values[0] if values else None


@attrs.define(eq=False)
class Transport:
    """Requests on kept connections; `close` ends those that are idle.

    `tls_policy` says which certificates are good (None: those that browsers take).
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
        self._client = HTTPClient(_AsItIs(agent))

    def slots(self, url: str) -> DeferredSemaphore:
        """As many turns as there may be connections to the host of `url`."""
        host = urlsplit(url).netloc
        if host not in self._slots:
            self._slots[host] = DeferredSemaphore(self.limits.connections_per_host)
        return self._slots[host]

    def close(self) -> Deferred[None]:
        """End the idle connections; fires when they are closed."""
        closed: Deferred[None] = self._pool.closeCachedConnections()
        return closed

    def pause(self, seconds: float) -> Deferred[None]:
        """Fires after that time."""
        return deferLater(self._reactor, seconds)

    async def request(self, url: str, headers: Mapping[str, str]) -> Response:
        """The answer to a GET, redirects followed; raises `FetchFailed`."""
        asked = url
        for _ in range(self.limits.redirects + 1):
            answer = await self._ask(url, headers)
            location = answer.header("location")
            if answer.status not in _REDIRECTS or location is None:
                return answer
            await self.read(answer, _REDIRECT_BODY_BYTES)
            url = _redirected(url, location)
        raise FetchFailed(asked, f"sends us on more than {self.limits.redirects} times")

    async def _ask(self, url: str, headers: Mapping[str, str]) -> Response:
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
        """The whole body; raises `FetchFailed`, also when it is longer than the limit."""
        body = _Body(answer, limit_bytes)
        answer.response.deliverBody(body)
        await body.done
        return b"".join(body.chunks)

    def drop(self, answer: Response) -> None:
        """Nobody wants that body: end the connection."""
        body = _Body(answer, 0)
        _ = body.done.addErrback(_expected)
        answer.response.deliverBody(body)
        body.done.cancel()

    async def spool(
        self,
        answer: Response,
        limit_bytes: int,
        write: Callable[[bytes], Awaitable[object]],
    ) -> int:
        """Give the body to `write` in pieces, one after the other; the answer is its length.

        Raises `FetchFailed` also when it is longer than the limit or comes too slowly, and what
        `write` raises; what came until then has been written.
        """
        body = _Spool(answer, limit_bytes, write, self._reactor, self.limits)
        answer.response.deliverBody(body)
        await body.done
        return body.received

    async def within(self, seconds: float, url: str, work: Coroutine[Any, Any, _T]) -> _T:
        """What `work` gives, which is cancelled when it takes longer: raises `Unreachable` then."""

        def too_late(outcome: Any, timeout: float) -> Any:
            if isinstance(outcome, Failure):
                raise Unreachable(url, f"took longer than {timeout:g} seconds")
            return outcome

        deferred: Deferred[_T] = Deferred.fromCoroutine(work)
        return await deferred.addTimeout(seconds, self._reactor, too_late)


@implementer(IAgentEndpointFactory)
@attrs.define(eq=False)
class _Endpoints:
    """One endpoint for each host: making one costs as much as a tenth of a request."""

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
class _AsItIs:
    """Asks for bodies that are not encoded, and takes none for encoded."""

    _agent: IAgent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: Any = None
    ) -> Deferred[IResponse]:
        headers = headers or Headers()
        headers.setRawHeaders("accept-encoding", ["identity"])
        # An archive that a server calls gzip-encoded is still the archive.
        return self._agent.request(method, uri, headers, bodyProducer).addCallback(_as_it_is)


def _as_it_is(response: IResponse) -> IResponse:
    response.headers.removeHeader("content-encoding")
    return response


@attrs.define(eq=False)
class _Body(TwistedProtocol):
    """Collects a body; `done` fires when it is complete, or fails with `FetchFailed`."""

    _answer: Response
    _limit: int
    chunks: list[bytes] = attrs.field(factory=list, init=False)
    received: int = attrs.field(default=0, init=False)
    done: Deferred[None] = attrs.field(init=False)
    _over: bool = attrs.field(default=False, init=False)
    transport: ITransport | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self.done = Deferred(lambda _: self._give_up())

    def connectionMade(self) -> None:
        length = self._answer.length
        if length is not None and length > self._limit:
            self._fail(FetchFailed(self._answer.url, self._too_long(f"is {length} bytes")))

    def dataReceived(self, data: bytes) -> None:
        if self._over:
            return
        self.received += len(data)
        if self.received > self._limit:
            self._fail(FetchFailed(self._answer.url, self._too_long("does not end")))
            return
        self.chunks.append(data)
        self._arrived()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._over:
            return
        self._over = True
        # Without a length and without chunks, the end of the connection is the end of the body.
        if reason.check(ResponseDone, PotentialDataLoss):
            self._complete()
            return
        said = f" of {self._answer.length}" if self._answer.length is not None else ""
        sentence = f"broke off after {self.received}{said} bytes"
        self._broke_off(Unreachable(self._answer.url, sentence))

    def _arrived(self) -> None:
        """Something is in `chunks`."""

    def _complete(self) -> None:
        self.done.callback(None)

    def _broke_off(self, error: Exception) -> None:
        self.done.errback(error)

    def _too_long(self, what: str) -> str:
        return f"{what}, and at most {self._limit} bytes are taken"

    def _fail(self, error: BaseException) -> None:
        if not self._over:
            self._give_up()
            self.done.errback(error)

    def _give_up(self) -> None:
        self._over = True
        if self.transport is not None:
            self.transport.loseConnection()


@attrs.define(eq=False)
class _Spool(_Body):
    """Hands a body on in pieces; while one is written no more is read."""

    _write: Callable[[bytes], Awaitable[object]]
    _clock: IReactorTime
    _limits: FetchLimits
    _writing: bool = attrs.field(default=False, init=False)
    _ending: BaseException | None = attrs.field(default=None, init=False)
    _before: int = attrs.field(default=0, init=False)
    _waiting: int = attrs.field(default=0, init=False)
    _watch: IDelayedCall | None = attrs.field(default=None, init=False)

    def connectionMade(self) -> None:
        super().connectionMade()
        if not self._over:
            self._watch = self._clock.callLater(self._limits.rate_window_s, self._look)

    def _look(self) -> None:
        """Called once in a window: was there enough?"""
        wanted = self._limits.minimum_rate * self._limits.rate_window_s
        came, self._before = self.received - self._before, self.received
        self._watch = None
        if came < wanted and not self._writing:
            sentence = f"only {came} bytes came in {self._limits.rate_window_s:g} seconds"
            self._fail(Unreachable(self._answer.url, sentence))
        else:
            self._watch = self._clock.callLater(self._limits.rate_window_s, self._look)

    def _arrived(self) -> None:
        self._waiting += len(self.chunks[-1])
        if self._waiting >= _FLUSH_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._writing:
            return
        self._writing = True
        data = b"".join(self.chunks)
        self.chunks.clear()
        self._waiting = 0
        producer = IPushProducer(self.transport)
        producer.pauseProducing()
        written = Deferred.fromCoroutine(_awaited(self._write(data)))
        _ = written.addCallbacks(self._written, self._not_written, (producer,))

    def _written(self, _: object, producer: IPushProducer) -> None:
        self._writing = False
        if self._over:
            self._finish()
        else:
            producer.resumeProducing()

    def _not_written(self, failure: Failure) -> None:
        self._writing = False
        self.chunks.clear()
        self._give_up()
        self._ending = failure.value
        self._finish()

    def _complete(self) -> None:
        self._finish()

    def _broke_off(self, error: Exception) -> None:
        self._ending = error
        self._finish()

    def _fail(self, error: BaseException) -> None:
        if not self._over:
            self._give_up()
            self._ending = error
            self._finish()

    def _finish(self) -> None:
        """Once nothing more comes: write what is left, then say that it is over."""
        self._unwatch()
        if self._writing or self.done.called:
            return
        if self.chunks:
            self._flush()
        elif self._ending is not None:
            self.done.errback(self._ending)
        else:
            self.done.callback(None)

    def _give_up(self) -> None:
        super()._give_up()
        self._unwatch()

    def _unwatch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


def _expected(failure: Failure) -> None:
    failure.trap(CancelledError, FetchFailed)


async def _awaited(work: Awaitable[object]) -> None:
    await work


def _redirected(url: str, location: str) -> str:
    """Where `url` sends us; raises `FetchFailed` for where we do not go."""
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
