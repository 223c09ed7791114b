"""JSON of long lists: other requests have turns of the reactor while one is encoded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from domogik.components.events import Event, EventStream
from domogik.errors import NotPossible
from domogik.packages.repositories.index import Offer

#: how many are encoded in one turn of the reactor; one takes some 20 us
AT_A_TIME = 200
#: how many offers; one takes some 30 us
OFFERS_AT_A_TIME = 100


async def array(clock: IReactorTime, values: Sequence[Any], item: Callable[[Any], Any]) -> bytes:
    """The JSON array of what `item` makes of the values."""
    parts = []
    for first in range(0, len(values), AT_A_TIME):
        if first:
            await deferLater(clock, 0)
        items = [item(value) for value in values[first : first + AT_A_TIME]]
        parts.append(json.dumps(items)[1:-1].encode("ascii"))
    return b"[%s]" % b", ".join(parts)


@attrs.define(eq=False)
class Encoded:
    """Offers as JSON, each encoded once: the repositories offer thousands, and rarely others.

    `current` tells which offers there are; what is not among them any more is forgotten. When
    `events` say that they have changed they are encoded before anybody asks, a few in each turn of
    the reactor.
    """

    _clock: IReactorTime
    _item: Callable[[Offer], dict[str, object]]
    _current: Callable[[], Sequence[Offer]]
    _events: EventStream
    #: by identity: to compare two offers takes longer than to encode one
    _known: dict[int, tuple[Offer, bytes]] = attrs.field(factory=dict, init=False)
    _preparing: Deferred[None] | None = attrs.field(default=None, init=False)
    _unsubscribe: Callable[[], None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._unsubscribe = self._events.subscribe(self._happened)

    def stop(self) -> None:
        """Encode nothing more before it is asked for."""
        self._unsubscribe()
        if self._preparing is not None:
            self._preparing.cancel()

    async def array(self, offers: Sequence[Offer]) -> bytes:
        """The JSON array of them, in their order; whoever else waits has turns in between."""
        return b"[%s]" % b", ".join(await self._each(offers))

    async def _each(self, offers: Sequence[Offer]) -> list[bytes]:
        parts = []
        new = 0
        for offer in offers:
            known = self._known.get(id(offer))
            if known is None:
                new += 1
                if not new % OFFERS_AT_A_TIME:
                    await deferLater(self._clock, 0)
                known = offer, json.dumps(self._item(offer)).encode("ascii")
                self._known[id(offer)] = known
            parts.append(known[1])
        if new:
            there = {id(offer) for offer in self._current()}
            self._known = {key: known for key, known in self._known.items() if key in there}
        return parts

    def _happened(self, event: Event) -> None:
        if event.type == "repositories.changed":
            if self._preparing is not None:
                self._preparing.cancel()
            self._preparing = Deferred.fromCoroutine(self._prepare())
            _ = self._preparing.addErrback(_given_up)

    async def _prepare(self) -> None:
        try:
            await self._each(self._current())
        except NotPossible:
            """Do nothing: where no packages are managed this is not called."""


def _given_up(failure: Failure) -> None:
    failure.trap(CancelledError)
