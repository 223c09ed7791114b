"""Does a server answer, in its own protocol? Asked again and again until it does, then at times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import attrs
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import (
    IDelayedCall,
    IReactorTCP,
    IReactorTime,
    IStreamClientEndpoint,
    ITCPTransport,
)
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.components.model import State
from domogik.daemons.core.errors import HungUp, ManagedDaemonError, NotReady

_LARGEST_ANSWER = 64 * 1024
_FIRST_PAUSE, _LONGEST_PAUSE = 0.001, 0.05  # seconds between two questions while it starts
_GROWTH = 1.15  # of that pause: a server that was up for a while is found within a seventh of it


class IProbeReactor(IReactorTime, IReactorTCP):
    """What is asked of a reactor here."""


def exchange(
    reactor: IProbeReactor,
    host: str,
    port: int,
    question: bytes,
    is_enough: Callable[[bytes], bool],
    *,
    timeout: float = 5.0,
    tls: bool = False,
) -> Deferred[bytes]:
    """Connect, send `question`, and fire with what came back once `is_enough` of it.

    With `tls` the certificate is not looked at: the server is this host's own. `timeout` seconds
    for all of it. Fails with `NotReady`; the connection is closed then, as it is after an answer.
    """
    return Deferred.fromCoroutine(
        _exchange(reactor, host, port, question, is_enough, patience=timeout, tls=tls)
    )


async def _exchange(
    reactor: IProbeReactor,
    host: str,
    port: int,
    question: bytes,
    is_enough: Callable[[bytes], bool],
    *,
    patience: float,
    tls: bool,
) -> bytes:
    protocol = _Exchange(question, is_enough)
    await reach(reactor, host, port, protocol, patience, tls=tls)
    try:
        return await protocol.answer.addTimeout(patience, reactor)
    except TimeoutError:
        raise NotReady(f"port {port} of {host} did not answer within {patience:g} s") from None
    finally:
        protocol.hang_up()


async def reach(
    reactor: IProbeReactor,
    host: str,
    port: int,
    protocol: Protocol,
    patience: float,
    *,
    tls: bool = False,
) -> None:
    """Connect `protocol` to an address within `patience` seconds; fails with `NotReady`."""
    # who has no daemons need not have TLS in memory, which comes with endpoints
    from twisted.internet.endpoints import TCP4ClientEndpoint, TCP6ClientEndpoint, wrapClientTLS

    endpoint: IStreamClientEndpoint = (TCP6ClientEndpoint if ":" in host else TCP4ClientEndpoint)(
        reactor, host, port, timeout=patience
    )
    if tls:
        from twisted.internet.ssl import CertificateOptions

        endpoint = wrapClientTLS(CertificateOptions(verify=False), endpoint)
    try:
        await endpoint.connect(_Quiet.forProtocol(lambda: protocol))
    except ConnectError as error:
        raise NotReady(f"port {port} of {host} cannot be reached: {error}") from error


class _Quiet(Factory):
    noisy = False  # a question now and then is no news


class _Exchange(Protocol):
    def __init__(self, question: bytes, is_enough: Callable[[bytes], bool]) -> None:
        self._question = question
        self._is_enough = is_enough
        self._received = bytearray()
        self.answer: Deferred[bytes] = Deferred()

    def hang_up(self) -> None:
        transport = self.transport
        assert ITCPTransport.providedBy(transport)
        transport.abortConnection()

    def connectionMade(self) -> None:
        assert self.transport is not None
        if self._question:
            self.transport.write(self._question)

    def dataReceived(self, data: bytes) -> None:
        self._received += data
        if self.answer.called:
            return
        if self._is_enough(bytes(self._received)):
            self.answer.callback(bytes(self._received))
        elif len(self._received) > _LARGEST_ANSWER:
            self.answer.errback(NotReady("its answer does not end"))

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        if not self.answer.called:
            said = bytes(self._received[:80])
            self.answer.errback(HungUp(f"it hung up after {said!r}" if said else "it hung up"))


@attrs.define(eq=False)
class Watch:
    """Asks `probe` while its process is there, and tells what came of it.

    `follow(state)` is called after every change of its state. While it is `starting` it is asked
    again and again, until `alive` is called; then every `interval` seconds, each answer within
    `timeout`. `silent(reason)` is called for each question without an answer,
    `cannot_become_ready(error)` where the answer says that waiting does not help.
    """

    _log = Logger()

    _clock: IReactorTime
    _probe: Callable[[], Awaitable[None]]
    alive: Callable[[], None]
    silent: Callable[[str], None]
    cannot_become_ready: Callable[[ManagedDaemonError], None]
    interval: float = 10.0
    timeout: float = 5.0
    _asked: Deferred[None] | None = attrs.field(init=False, default=None)
    _next: IDelayedCall | None = attrs.field(init=False, default=None)
    _pause: float = attrs.field(init=False, default=_FIRST_PAUSE)
    _state: State = attrs.field(init=False, default=State.STOPPED)

    def follow(self, state: State) -> None:
        """It is `state` now."""
        before, self._state = self._state, state
        if state is State.STARTING:
            if before is not State.STARTING:
                self.stop()
                self._pause = _FIRST_PAUSE
                self._next = self._clock.callLater(0, self._ask)
        elif not self._is_up:
            self.stop()
        elif self._asked is None and self._next is None:
            self._next = self._clock.callLater(self.interval, self._ask)

    def stop(self) -> None:
        """Ask no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None
        asked, self._asked = self._asked, None
        if asked is not None:
            asked.cancel()

    @property
    def _is_up(self) -> bool:
        return self._state in (State.RUNNING, State.ALIVE, State.NOT_RESPONDING)

    def _ask(self) -> None:
        self._next = None
        asked = self._asked = Deferred.fromCoroutine(_finished(self._probe()))
        answered = asked.addTimeout(self.timeout, self._clock).addCallbacks(
            self._passed, self._failed, callbackArgs=(asked,), errbackArgs=(asked,)
        )
        _ = answered.addErrback(lambda failure: self._log.failure("an answer was lost", failure))

    def _passed(self, _result: None, asked: Deferred[None]) -> None:
        if asked is self._asked:
            self._asked = None
            self._ask_later(self.interval)  # first: who hears of it may want to stop
            self.alive()

    def _failed(self, failure: Failure, asked: Deferred[None]) -> None:
        if asked is not self._asked:  # the answer is not wanted any more
            return
        self._asked = None
        self._ask_later(self._pause if self._state is State.STARTING else self.interval)
        self._pause = min(_GROWTH * self._pause, _LONGEST_PAUSE)
        error = failure.value
        if isinstance(error, ManagedDaemonError) and self._state is State.STARTING:
            self.cannot_become_ready(error)
        elif isinstance(error, TimeoutError | CancelledError):
            self.silent(f"did not answer within {self.timeout:g} s")
        else:
            if not isinstance(error, NotReady | ManagedDaemonError):
                self._log.failure("a probe failed", failure)
            self.silent(failure.getErrorMessage())

    def _ask_later(self, seconds: float) -> None:
        is_wanted = self._state is State.STARTING or self._is_up
        if is_wanted and self._next is None and self._asked is None:
            self._next = self._clock.callLater(seconds, self._ask)


async def _finished(probe: Awaitable[None]) -> None:
    await probe
