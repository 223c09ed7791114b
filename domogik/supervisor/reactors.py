"""Reactors for programs that have none: on asyncio's loop, or run while a caller waits."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import AsyncIterator, Callable
from typing import TYPE_CHECKING, Any, TypeVar

from twisted.internet import defer
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from domogik.clock import use_monotonic_clock

if TYPE_CHECKING:
    from twisted.internet.asyncioreactor import AsyncioSelectorReactor
    from twisted.internet.posixbase import PosixReactorBase

T = TypeVar("T")
_TIMEOUT_S = 180.0  # for one operation; each has shorter limits of its own

#: loop -> its reactor, and what ends that with the loop
_on_loops: dict[asyncio.AbstractEventLoop, tuple[Any, AsyncIterator[None]]] = {}


def usual_reactor() -> Any:
    """Return the default reactor.

    Under `asyncio.run` it runs on that loop and ends with it; otherwise it is Twisted's.
    """
    installed = sys.modules.get("twisted.internet.reactor")
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        from twisted.internet import reactor

        return reactor
    if installed is not None and getattr(installed, "running", False):
        return installed
    if loop not in _on_loops:
        # not above: reactors bring all of TLS along, which most programs do without
        from twisted.internet.asyncioreactor import AsyncioSelectorReactor

        made = AsyncioSelectorReactor(loop)
        use_monotonic_clock(made)
        made.startRunning(installSignalHandlers=False)
        end = _ended_with(loop, made)
        try:
            end.__anext__().send(None)  # type: ignore[attr-defined]  # the loop knows it from now on
        except StopIteration:
            _on_loops[loop] = made, end
    return _on_loops[loop][0]


async def _ended_with(
    loop: asyncio.AbstractEventLoop, reactor: AsyncioSelectorReactor
) -> AsyncIterator[None]:
    """Release the reactor when `asyncio.run` ends the loop's generators."""
    try:
        yield
    finally:
        _on_loops.pop(loop, None)
        reactor.getThreadPool().stop()
        _release(reactor)


def _release(reactor: PosixReactorBase) -> None:
    for call in reactor.getDelayedCalls():
        call.cancel()
    for reader in (*reactor.removeAll(), *tuple(reactor._internalReaders)):
        reactor.removeReader(reader)
        reader.connectionLost(Failure(ConnectionAbortedError()))


class _Inline:
    """A thread pool that calls the function at once, for callers that wait anyway."""

    def callInThreadWithCallback(
        self,
        callback: Callable[[bool, Any], object],
        work: Callable[..., Any],
        *args: Any,
        **kw: Any,
    ) -> None:
        try:
            result = work(*args, **kw)
        except Exception:  # noqa: BLE001 - passed to the Deferred
            callback(False, Failure())
        else:
            callback(True, result)


class TurnedReactor:
    """A private reactor that runs only during `wait`.

    Threads that share it hold its `lock` from the start of an operation until `wait` returns.
    """

    def __init__(self) -> None:
        from twisted.internet.epollreactor import EPollReactor

        made: Any = EPollReactor()  # what it implements is more than it declares
        made.threadpool = _Inline()
        use_monotonic_clock(made)
        self._reactor: Any = made
        self._pid = os.getpid()
        self.lock = threading.RLock()

    @property
    def reactor(self) -> Any:
        """The reactor; None once it is closed."""
        return self._reactor

    def wait(self, operation: Deferred[T], seconds: float = _TIMEOUT_S) -> T:
        """Return the result of the Deferred; raises its error, and `TimeoutError`."""
        outcome: list[T | Failure] = []
        _ = operation.addTimeout(seconds, self._reactor).addBoth(outcome.append)
        while not outcome:
            self._reactor.runUntilCurrent()
            if not outcome:
                self._reactor.doIteration(self._reactor.timeout())
        (result,) = outcome
        if isinstance(result, Failure):
            if result.check(defer.TimeoutError):  # which is none of Python's
                raise TimeoutError(f"not done within {seconds:g} s")
            result.raiseException()
        return result

    @property
    def is_closed(self) -> bool:
        """Whether the reactor is closed."""
        return self._reactor is None

    def close(self) -> None:
        """Release the reactor; in a forked process its descriptors belong to the parent."""
        reactor, self._reactor = self._reactor, None
        if os.getpid() != self._pid:
            return
        _release(reactor)
        reactor._poller.close()
