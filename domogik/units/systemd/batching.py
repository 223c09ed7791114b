"""Combines the lookups of one turn of the reactor into one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Hashable, Mapping
from typing import Generic, TypeVar

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")
_PORTION = 20


@attrs.define(eq=False)
class BatchedLookup(Generic[K, V]):
    """Calls `ask` with all keys wanted in one turn of the reactor; it returns a value for each."""

    _clock: IReactorTime
    _ask: Callable[[frozenset[K]], Awaitable[Mapping[K, V]]]
    _waiting: list[tuple[frozenset[K], Deferred[dict[K, V]]]] = attrs.field(
        init=False, factory=list
    )

    def get(self, keys: Collection[K]) -> Deferred[dict[K, V]]:
        """Fire with the values of these keys, looked up after the call; fails as `ask`."""
        answer: Deferred[dict[K, V]] = Deferred()
        if not self._waiting:
            self._clock.callLater(0, self._turn)
        self._waiting.append((frozenset(keys), answer))
        return answer

    def _turn(self) -> Deferred[None]:
        waiting, self._waiting = self._waiting, []
        every = frozenset[K]().union(*(keys for keys, _ in waiting))

        async def ask() -> Mapping[K, V]:
            return await self._ask(every) if every else {}

        def tell(found: Mapping[K, V]) -> None:
            # callbacks run at once, so only some of them are called in one turn
            for keys, answer in waiting[:_PORTION]:
                if not answer.called:
                    answer.callback({key: found[key] for key in keys})
            del waiting[:_PORTION]
            if waiting:
                self._clock.callLater(0, tell, found)

        def fail(reason: Failure) -> None:
            for _, answer in waiting:
                if not answer.called:
                    answer.errback(Failure(reason.value))

        asked = Deferred.fromCoroutine(ask())
        return asked.addCallbacks(tell, fail)
