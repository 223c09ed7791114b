"""Answers without an end: how much is kept for a client that does not read?

A client that reads slowly gets what it missed later, up to a bound; then it is dropped, and comes
back with the number of the last event it saw. Nothing is ever held up by a client.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

import attrs
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import implementer

from domogik.errors import DomogikError

#: bytes that wait in us, beyond what the transport holds, before the client is dropped
BACKLOG = 256 * 1024
#: how many endless answers there may be at a time
MAX_STREAMS = 100
#: seconds of silence after which a stream says that it is alive
KEEP_ALIVE = 15.0


class TooManyStreams(DomogikError):
    """So many clients listen already that no other is let in."""


@implementer(IPushProducer)
@attrs.define(eq=False)
class OpenStream:
    """One endless answer. `on_end` is called once, however it ends."""

    _request: Request
    _clock: IReactorTime
    _keep_alive: bytes
    _on_end: Callable[[], None]
    _waiting: deque[bytes] = attrs.field(factory=deque)
    _waiting_bytes: int = 0
    _paused: bool = False
    _ended: bool = False
    _timer: IDelayedCall | None = None
    _log: Logger = Logger()

    def open(self, content_type: str) -> None:
        """Send the head and begin."""
        request = self._request
        _ = request.notifyFinish().addBoth(lambda _: self._end())
        request.setHeader(b"Content-Type", content_type.encode("ascii"))
        request.setHeader(b"Cache-Control", b"no-store")
        request.setHeader(b"X-Accel-Buffering", b"no")
        request.registerProducer(self, True)
        self._again()

    def write(self, data: bytes) -> None:
        """Send it now, later, or drop a client that has too much waiting."""
        if self._ended or not data:
            return
        if not self._paused:
            self._request.write(data)
            return
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        if self._waiting_bytes > BACKLOG:
            self._log.info(
                "{peer} does not read what it asked for: dropped",
                peer=str(self._request.getClientAddress()),
            )
            self.drop()

    def close(self) -> None:
        """End the answer properly; what the client did not read is lost."""
        if not self._ended:
            self._waiting.clear()
            self._request.unregisterProducer()
            self._request.finish()

    def drop(self) -> None:
        """End the connection at once."""
        self._end()
        # not loseConnection: that waits until the client has read what it does not read
        self._request.channel.forceAbortClient()

    def pauseProducing(self) -> None:
        self._paused = True

    def resumeProducing(self) -> None:
        self._paused = False
        while self._waiting and not self._paused and not self._ended:
            data = self._waiting.popleft()
            self._waiting_bytes -= len(data)
            self._request.write(data)

    def stopProducing(self) -> None:
        self._end()

    def _again(self) -> None:
        self._timer = self._clock.callLater(KEEP_ALIVE, self._still_here)

    def _still_here(self) -> None:
        self.write(self._keep_alive)
        if not self._ended:
            self._again()

    def _end(self) -> None:
        if self._ended:
            return
        self._ended = True
        self._waiting.clear()
        if self._timer is not None and self._timer.active():
            self._timer.cancel()
        self._on_end()


@attrs.define(eq=False)
class Streams:
    """Every endless answer of this process."""

    _clock: IReactorTime
    _open: set[OpenStream] = attrs.field(factory=set)

    def __len__(self) -> int:
        return len(self._open)

    def check(self) -> None:
        """Raises `TooManyStreams`."""
        if len(self._open) >= MAX_STREAMS:
            raise TooManyStreams(f"{MAX_STREAMS} streams are open already")

    def open(
        self,
        request: Request,
        content_type: str,
        on_end: Callable[[], None],
        keep_alive: bytes = b"",
    ) -> OpenStream:
        """Begin one; `on_end` is called once when it is over."""

        def ended() -> None:
            self._open.discard(stream)
            on_end()

        stream = OpenStream(request, self._clock, keep_alive, ended)
        self._open.add(stream)
        stream.open(content_type)
        return stream

    def stop(self) -> None:
        """End all of them."""
        for stream in tuple(self._open):
            stream.close()
