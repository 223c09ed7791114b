"""Blocking code beside the reactor, and how the two talk."""

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

#: how many calls of `run_bounded` are in their threads at the same time; others wait for a place
PLACES = 10


class Stopping(DomogikError):
    """The plugin stops, so what a thread waits for will not come."""


class IReactor(IReactorCore, IReactorTime, IReactorFromThreads):
    """What a plugin needs of a reactor."""


@attrs.define(eq=False)
class PluginThreads:
    """Blocking code beside the reactor: in daemon threads, which cannot keep a process alive.

    The reactor's own pool would not do: it waits for its threads when the reactor stops.
    """

    _reactor: IReactor
    _reactor_thread: int = attrs.field(factory=threading.get_ident)
    _end: threading.Event = attrs.field(factory=threading.Event)
    _places: DeferredSemaphore = attrs.field(factory=lambda: DeferredSemaphore(PLACES))
    _waited: set[Deferred[Any]] = attrs.field(factory=set)

    @property
    def in_reactor(self) -> bool:
        """Whether this is the reactor's thread."""
        return threading.get_ident() == self._reactor_thread

    def run(self, function: Callable[..., T], *args: Any) -> Deferred[T]:
        """Fires in the reactor's thread, with what it returns or raises; cancelling forgets it."""
        outcome: Deferred[T] = Deferred()

        def body() -> None:
            try:
                result = function(*args)
            except BaseException:  # noqa: BLE001 - handed on to whoever waits
                self._reactor.callFromThread(outcome.errback, Failure())
            else:
                self._reactor.callFromThread(outcome.callback, result)

        threading.Thread(target=body, name=name_of(function), daemon=True).start()
        return outcome

    def run_bounded(
        self, function: Callable[..., T], args: tuple[Any, ...], timeout: float | None
    ) -> Deferred[T]:
        """The same in one of `PLACES` places; fails with `TimeoutError` after `timeout` seconds."""

        async def run() -> T:
            await self._places.acquire()
            try:
                running: Deferred[T] = self.run(self._in_place, function, args)
            except RuntimeError:  # the system has no thread to spare
                self._places.release()
                raise
            return await running

        outcome = Deferred.fromCoroutine(run())
        return outcome if timeout is None else limited(outcome, timeout, self._reactor)

    def _in_place(self, function: Callable[..., T], args: tuple[Any, ...]) -> T:
        try:
            return function(*args)
        finally:
            self._reactor.callFromThread(self._places.release)

    def sleep(self, seconds: float) -> bool:
        self._must_be_a_thread("sleep")
        return not self._end.wait(seconds)

    def wait(self, awaitable: Awaitable[T]) -> T:
        self._must_be_a_thread("wait")
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
        """Tell every thread that sleeps or waits here."""
        self._end.set()
        for deferred in tuple(self._waited):
            deferred.cancel()

    def _must_be_a_thread(self, what: str) -> None:
        if self.in_reactor:
            raise NotPossible(f"{what}() would block the reactor: call it in a thread")


def limited(deferred: Deferred[T], seconds: float, clock: IReactorTime) -> Deferred[T]:
    """The same, cancelled and failed with `TimeoutError` after so many seconds."""

    def translate(_: object, limit: float) -> Failure:
        return Failure(TimeoutError(f"not done within {limit:g} s"))

    return deferred.addTimeout(seconds, clock, onTimeoutCancel=translate)


def name_of(function: Callable[..., object]) -> str:
    """How a person would call that function."""
    return getattr(function, "__qualname__", repr(function))


async def _awaited(awaitable: Awaitable[T]) -> T:
    return await awaitable
