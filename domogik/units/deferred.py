"""Public methods of this package return Deferreds, and are written as coroutines."""

from __future__ import annotations

import functools
from collections.abc import Callable, Coroutine
from typing import Any, NoReturn, ParamSpec, TypeVar

from twisted.internet.defer import Deferred

P = ParamSpec("P")
T = TypeVar("T")


class Answer(Deferred[T]):
    """A Deferred that cannot be taken for what it will fire with."""

    def __bool__(self) -> NoReturn:
        raise TypeError(
            "this is a Deferred, which is always true: await it, or use domogik.units.blocking"
        )


def deferred(method: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Deferred[T]]:
    """The same, begun at the call and returning a Deferred; it need not be awaited to happen."""

    @functools.wraps(method)
    def begin(*args: P.args, **kwargs: P.kwargs) -> Deferred[T]:
        running = Deferred.fromCoroutine(method(*args, **kwargs))
        answer: Answer[T] = Answer(lambda _: running.cancel())
        _ = running.addCallbacks(answer.callback, answer.errback)
        return answer

    return begin


def answered(value: T) -> Deferred[T]:
    """Return an answer that is there already."""
    answer: Answer[T] = Answer()
    answer.callback(value)
    return answer
