"""`/events`: what happens, as Server-Sent Events that a client can take up where they broke off."""

from __future__ import annotations

import json

import attrs
from twisted.web.http import Request

from domogik.api.http.exchange import Call, Stream
from domogik.api.http.streams import OpenStream, Streams, TooManyStreams
from domogik.api.v1.served import Served
from domogik.components.events import Event, EventStream
from domogik.manager.operations.answers import EVENT
from domogik.manager.operations.parameters import LAST_EVENT_ID
from domogik.manager.operations.shape import TEXT
from domogik.manager.operations.table import BASE, Operation, Order

EVENTS = "text/event-stream"
#: sent in place of events that are no longer kept: the client reads everything again
RESYNC = b"resync"

FOLLOW = Operation(
    "event.follow",
    f"GET {BASE}/events",
    TEXT,
    "What happens, from now on or from behind an event already seen",
    "followEvents",
    parameters=(LAST_EVENT_ID,),
    errors=(TooManyStreams,),
    text=(
        "`event` is the type, `data` a JSON object {id, time, type, data}. Numbers never go back, "
        "and are below 2**53. A client whose number is unknown, or too old for what is kept, gets "
        "`resync` first: it should read again what it shows. A client that does not read is "
        "dropped."
    ),
)


def event_feed(events: EventStream, streams: Streams) -> Served:
    """The path of events."""

    async def follow(call: Call, order: Order) -> Stream:
        # the number of the header comes before that of the query
        given = call.request.getHeader("last-event-id")
        last: int | None = order.values["last_event_id"]
        if given:
            # what no event of ours ever had is unknown, as one is that is no longer kept
            is_number = given.isascii() and given.isdigit() and len(given) < 20
            last = int(given) if is_number else -1
        elif given is not None:
            last = None
        streams.check()
        return Feed(events, streams, last)

    return Served(FOLLOW, follow, {EVENTS: TEXT.schema})


@attrs.define(eq=False)
class Feed:
    """The stream of one client."""

    _events: EventStream
    _streams: Streams
    _last: int | None

    def start(self, request: Request) -> None:
        def end() -> None:
            unsubscribe()

        def receive(event: Event) -> None:
            stream.write(spelled(event))

        # the past and the subscription in one turn of the reactor: nothing falls between them
        unsubscribe = self._events.subscribe(receive)
        stream = self._streams.open(request, EVENTS, end, b": \n\n")
        stream.write(b"retry: 3000\n\n")
        self._catch_up(stream)

    def discard(self) -> None:
        """Nothing was begun."""

    def _catch_up(self, stream: OpenStream) -> None:
        if self._last is None:
            return
        missed = self._events.since(self._last)
        if missed is None:
            number = self._events.last_id
            stream.write(b'id: %d\nevent: %s\ndata: {"id": %d}\n\n' % (number, RESYNC, number))
            return
        stream.write(b"".join(spelled(event) for event in missed))


def spelled(event: Event) -> bytes:
    """One event as it stands on the wire."""
    data = json.dumps(EVENT.json(event), default=str)
    return f"id: {event.id}\nevent: {event.type}\ndata: {data}\n\n".encode("ascii")
