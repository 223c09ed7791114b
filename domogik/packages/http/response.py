"""HTTP responses: the head, then the body, with a limit and a minimum rate."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime, ITransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.python.failure import Failure
from twisted.web.client import ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.iweb import IResponse

from domogik.errors import FetchFailed

_FLUSH_BYTES = 256 * 1024


class Unreachable(FetchFailed):
    """There was no connection or no answer in time, or it broke: a retry may succeed."""


@attrs.frozen
class FetchLimits:
    """Limits of connections; times in seconds, rate in bytes a second over `rate_window_s`.

    The pause before a retry is doubled each time.
    """

    connections_per_host: int = 16
    connect_timeout_s: float = 15
    redirects: int = 5
    minimum_rate: int = 512
    rate_window_s: float = 20
    first_pause_s: float = 0.5


@attrs.frozen
class Response:
    """The head of a response, whose body `Transport.read` or `.spool` has to take.

    `url` is that after redirects; `length` is the declared one, or None.
    """

    url: str
    status: int
    length: int | None
    response: IResponse

    def header(self, name: str) -> str | None:
        """Return the first value of a header."""
        values = self.response.headers.getRawHeaders(name)
        return values[0] if values else None


@attrs.define(eq=False)
class Body(Protocol):
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
        self._on_data()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if self._over:
            return
        self._over = True
        # Without a length and without chunks, the end of the connection is the end of the body.
        if reason.check(ResponseDone, PotentialDataLoss):
            self._complete()
            return
        total = f" of {self._answer.length}" if self._answer.length is not None else ""
        sentence = f"broke off after {self.received}{total} bytes"
        self._on_broken(Unreachable(self._answer.url, sentence))

    def _on_data(self) -> None:
        """Handle new data in `chunks`."""

    def _complete(self) -> None:
        self.done.callback(None)

    def _on_broken(self, error: Exception) -> None:
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
class Spool(Body):
    """Passes a body on in pieces; while one is written, reading pauses."""

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
            self._watch = self._clock.callLater(self._limits.rate_window_s, self._check_rate)

    def _check_rate(self) -> None:
        """Check the rate, once in a window."""
        wanted = self._limits.minimum_rate * self._limits.rate_window_s
        came, self._before = self.received - self._before, self.received
        self._watch = None
        if came < wanted and not self._writing:
            sentence = f"only {came} bytes came in {self._limits.rate_window_s:g} seconds"
            self._fail(Unreachable(self._answer.url, sentence))
        else:
            self._watch = self._clock.callLater(self._limits.rate_window_s, self._check_rate)

    def _on_data(self) -> None:
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

    def _on_broken(self, error: Exception) -> None:
        self._ending = error
        self._finish()

    def _fail(self, error: BaseException) -> None:
        if not self._over:
            self._give_up()
            self._ending = error
            self._finish()

    def _finish(self) -> None:
        """Write the rest after the end, then fire `done`."""
        self._cancel_watch()
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
        self._cancel_watch()

    def _cancel_watch(self) -> None:
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None


async def _awaited(work: Awaitable[object]) -> None:
    await work
