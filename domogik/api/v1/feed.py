"""`/events`: what happens, as Server-Sent Events that a client can take up where they broke off."""

from __future__ import annotations

import json

import attrs
from twisted.web.http import Request

from domogik.api.http.exchange import Stream
from domogik.api.http.streams import OpenStream, Streams
from domogik.api.v1.routes import BASE, Asked, Parameter, Route
from domogik.api.v1.shapes.components import INTEGER, TEXT, event_json
from domogik.components.events import Event, EventStream

EVENTS = "text/event-stream"
#: sent in place of events that are no longer kept: the client reads everything again
RESYNC = b"resync"

_QUERY = (
    Parameter(
        "last_event_id",
        "Begin behind this one, as the header Last-Event-ID does.",
        {**INTEGER, "minimum": 0},
    ),
)


@attrs.define(eq=False)
class FeedRoutes:
    """One path."""

    _events: EventStream
    _streams: Streams

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (
            Route(
                "GET",
                f"{BASE}/events",
                "followEvents",
                "What happens, from now on or from behind an event already seen",
                self.follow,
                {EVENTS: TEXT},
                query=_QUERY,
                errors=(503,),
                description=(
                    "`event` is the type, `data` a JSON object {id, time, type, data}. Numbers "
                    "never go back, and are below 2**53. A client whose number is unknown, or too "
                    "old for what is kept, gets `resync` first: it should read again what it "
                    "shows. A client that does not read is dropped."
                ),
            ),
        )

    async def follow(self, asked: Asked) -> Stream:
        """The number of the header comes before that of the query."""
        header = asked.call.request.getHeader("last-event-id")
        given = asked.text("last_event_id") if header is None else header
        last: int | None = None
        if given:
            # what no event of ours ever had is unknown, as one is that is no longer kept
            is_number = given.isascii() and given.isdigit() and len(given) < 20
            last = int(given) if is_number else -1
        self._streams.check()
        return Feed(self._events, self._streams, last)


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
    data = json.dumps(event_json(event), default=str)
    return f"id: {event.id}\nevent: {event.type}\ndata: {data}\n\n".encode("ascii")
