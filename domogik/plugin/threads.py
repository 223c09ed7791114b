"""Blocking code in threads beside the reactor."""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredSemaphore
from twisted.internet.interfaces import IReactorCore, IReactorFromThreads, IReactorTime
from twisted.python.failure import Failure

from domogik.errors import DomogikError, NotPossible

T = TypeVar("T")

#: how many calls of `run_bounded` run at the same time; others wait
MAXIMUM_THREADS = 10


class Stopping(DomogikError):
    """The plugin stops, so what a thread waits for will not come."""


class IReactor(IReactorCore, IReactorTime, IReactorFromThreads):
    """The interfaces of the reactor that a plugin needs."""


@attrs.define(eq=False)
class PluginThreads:
    """Runs blocking code in daemon threads, which do not keep the process alive.

    The reactor's own pool waits for its threads when the reactor stops.
    """

    _reactor: IReactor
    _reactor_thread: int = attrs.field(factory=threading.get_ident)
    _end: threading.Event = attrs.field(factory=threading.Event)
    _slots: DeferredSemaphore = attrs.field(factory=lambda: DeferredSemaphore(MAXIMUM_THREADS))
    _waited: set[Deferred[Any]] = attrs.field(factory=set)

    @property
    def in_reactor(self) -> bool:
        """Whether this is the reactor's thread."""
        return threading.get_ident() == self._reactor_thread

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Call the function in a thread; the Deferred fires with its result. Cancelling drops the
        result."""
        outcome: Deferred[T] = Deferred()

        def body() -> None:
            try:
                result = function(*args)
            except BaseException:  # noqa: BLE001 - passed to the Deferred
                self._reactor.callFromThread(outcome.errback, Failure())
            else:
                self._reactor.callFromThread(outcome.callback, result)

        threading.Thread(target=body, name=name_of(function), daemon=True).start()
        return outcome

    def run_bounded(
        self, function: Callable[..., T], args: tuple[Any, ...], timeout: float | None
    ) -> Deferred[T]:
        """Call the function in one of `MAXIMUM_THREADS` threads.

        The Deferred fails with `TimeoutError` after `timeout` seconds.
        """

        async def run() -> T:
            await self._slots.acquire()
            try:
                running: Deferred[T] = self.run(self._in_slot, function, args)
            except RuntimeError:  # no thread can be started
                self._slots.release()
                raise
            return await running

        outcome = Deferred.fromCoroutine(run())
        return outcome if timeout is None else limited(outcome, timeout, self._reactor)

    def _in_slot(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        try:
            return function(*args)
        finally:
            self._reactor.callFromThread(self._slots.release)

    def sleep(self, seconds: float) -> bool:
        self._refuse_in_reactor("sleep")
        return not self._end.wait(seconds)

    def wait(self, awaitable: Awaitable[T]) -> T:
        self._refuse_in_reactor("wait")
        future: Future[T] = Future()

        def begin() -> None:
            deferred = Deferred.fromCoroutine(_awaited(awaitable))
            self._waited.add(deferred)
            _ = deferred.addBoth(settle, deferred)
            if self._end.is_set():
                deferred.cancel()

        def settle(result: T | Failure, deferred: Deferred[T]) -> None:
            self._waited.discard(deferred)
            if not isinstance(result, Failure):
                future.set_result(result)
            elif self._end.is_set() and result.check(CancelledError):
                future.set_exception(Stopping("the plugin stops"))
            else:
                future.set_exception(result.value)

        self._reactor.callFromThread(begin)
        return future.result()

    def stop(self) -> None:
        """Wake every thread in `sleep` or `wait`."""
        self._end.set()
        for deferred in tuple(self._waited):
            deferred.cancel()

    def _refuse_in_reactor(self, what: str) -> None:
        if self.in_reactor:
            raise NotPossible(f"{what}() would block the reactor: call it in a thread")


def limited(deferred: Deferred[T], seconds: float, clock: IReactorTime) -> Deferred[T]:
    """Cancel the Deferred after `seconds`, so that it fails with `TimeoutError`."""

    def translate(_: object, limit: float) -> Failure:
        return Failure(TimeoutError(f"not done within {limit:g} s"))

    return deferred.addTimeout(seconds, clock, onTimeoutCancel=translate)


def name_of(function: Callable[..., object]) -> str:
    """Return the name of the function for messages."""
    return getattr(function, "__qualname__", repr(function))


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
