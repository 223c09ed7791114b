"""Deferreds that asyncio can await too and that raise when they are used as a boolean."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Coroutine, Generator
from contextvars import ContextVar
from typing import Any, NoReturn, ParamSpec, TypeVar

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

P = ParamSpec("P")
T = TypeVar("T")

#: whether Twisted drives the coroutine that runs, though a task of asyncio may have called it
_driven_by_twisted: ContextVar[bool] = ContextVar("driven_by_twisted", default=False)


class Answer(Deferred[T]):
    """A Deferred that raises `TypeError` when it is used as a boolean.

    Coroutines of asyncio can await it as well as those that Twisted drives.
    """

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "this is a Deferred, which is always true: await it, or use domogik.units.blocking or "
            "domogik.daemons.throwaway.blocking"
        )

    def __await__(self) -> Generator[Any, None, T]:
        task = None if _driven_by_twisted.get() else _current_task()
        if task is None or self.called:
            return super().__await__()
        return self.asFuture(task.get_loop()).__await__()


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:  # no loop of asyncio runs
        return None


def answer_of(coroutine: Coroutine[Any, Any, T]) -> Deferred[T]:
    """Start the coroutine and return a Deferred of its result; it runs without being awaited."""
    token = _driven_by_twisted.set(True)
    try:
        running = Deferred.fromCoroutine(coroutine)
    finally:
        _driven_by_twisted.reset(token)
    answer: Answer[T] = Answer(lambda _: running.cancel())

    def told(outcome: T | Failure) -> None:
        if not answer.called:  # a canceller does not wait for its cleanup
            answer.callback(outcome)  # a Failure is taken for one

    _ = running.addBoth(told)
    return answer


def deferred(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """Decorate a coroutine function to start when it is called and to return a Deferred."""

    @functools.wraps(method)
    def begin(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        return answer_of(method(*args, **kwargs))

    return begin


def answered(value: T) -> Deferred[T]:
    """Return a Deferred that has fired with `value`."""
    answer: Answer[T] = Answer()
    answer.callback(value)
    return answer
