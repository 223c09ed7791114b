"""Threads: what a function that blocks the reactor is run in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import ParamSpec, Protocol, TypeVar

from twisted.internet.defer import Deferred, execute
from twisted.internet.interfaces import IReactorThreads
from twisted.internet.threads import deferToThreadPool

P = ParamSpec("P")
T = TypeVar("T")


class Threads(Protocol):
    """Runs a function in a thread and gives what it returns or raises."""

    def __call__(
        self, function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs
    ) -> Awaitable[T]: ...


def threads_of(reactor: IReactorThreads) -> Threads:
    """Return what runs a function in a thread of the reactor's own pool."""

    def run(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return deferToThreadPool(reactor, reactor.getThreadPool(), function, *args, **kwargs)

    return run


def at_once(function: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
    """Run a function in the calling thread: `Threads` for callers that wait for it anyway."""
    return execute(function, *args, **kwargs)
