"""`/events/domogik`: tell a client that the list of plugins changed.

A client takes a ticket and asks with it again and again; each question waits for the next event,
at most two minutes. There is one event, `plugin-list-updated`, and a ticket keeps the newest only.
Tickets are random: whoever could guess one could take or end what another client waits for.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

import attrs
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime

from domogik.api.rinor.envelope import RinorAnswer, RinorError
from domogik.api.router import Asked, Path
from domogik.components.events import Event, EventStream

#: seconds a question waits for an event
POLL_TIMEOUT = 120.0
#: seconds after which an unused ticket is deleted
TICKET_LIFE = 300.0
#: how many tickets there may be; the one unused for longest makes room
MAX_TICKETS = 100
#: how many questions may wait with one ticket
MAX_WAITING = 4

_RAISING = ("component.changed", "component.added", "component.removed")


@attrs.define(eq=False)
class Ticket:
    """One client's place: the newest event that it has not fetched, and its open questions."""

    number: str
    used: float
    newest: Event | None = None
    waiting: list[Deferred[Event]] = attrs.field(factory=list)

    def put(self, event: Event) -> None:
        """Answer who waits; keep it for who will ask."""
        waiting, self.waiting = self.waiting, []
        self.newest = None if waiting else event
        for deferred in waiting:
            deferred.callback(event)


@attrs.define(eq=False)
class EventPaths:
    """The tickets; `stop` forgets them and lets the stream of events go."""

    _clock: IReactorTime
    _events: EventStream
    tickets: dict[str, Ticket] = attrs.field(factory=dict)
    _unsubscribe: Callable[[], None] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._unsubscribe = self._events.subscribe(self._raised)

    def routes(self) -> tuple[Path, ...]:
        """Every path with what answers there."""
        return (
            Path("events/domogik/new", self.new),
            Path("events/domogik/get/<ticket>", self.get),
            Path("events/domogik/free/<ticket>", self.free),
        )

    def stop(self) -> None:
        """Every open question is answered empty."""
        self._unsubscribe()
        for ticket in self.tickets.values():
            for deferred in tuple(ticket.waiting):
                deferred.cancel()
        self.tickets.clear()

    async def new(self, asked: Asked) -> RinorAnswer:
        """At once, with a ticket; the events come by `get`."""
        self._expire()
        if len(self.tickets) >= MAX_TICKETS:
            idle = [ticket for ticket in self.tickets.values() if not ticket.waiting]
            if not idle:
                raise RinorError("Too many tickets are in use")
            del self.tickets[min(idle, key=lambda ticket: ticket.used).number]
        ticket = Ticket(str(secrets.randbits(128)), self._clock.seconds())
        self.tickets[ticket.number] = ticket
        return RinorAnswer("event", [{"ticket_id": ticket.number}])

    async def get(self, asked: Asked) -> RinorAnswer:
        """The next event, or after `POLL_TIMEOUT` the ticket alone."""
        self._expire()
        ticket = self.tickets.get(asked["ticket"])
        if ticket is None:
            raise RinorError("Error in getting event in queue")
        ticket.used = self._clock.seconds()
        event = ticket.newest
        if event is None:
            event = await self._next(ticket, asked)
            ticket.used = self._clock.seconds()
        else:
            ticket.newest = None
        if event is None:
            return RinorAnswer("event", [{"ticket_id": ticket.number}])
        return RinorAnswer(
            "event",
            [
                {
                    "timestamp": event.time,
                    "data": "plugin-list-updated",
                    "ticket_id": ticket.number,
                }
            ],
        )

    async def free(self, asked: Asked) -> RinorAnswer:
        """Forget the ticket; who waits with it is answered empty."""
        self._expire()
        ticket = self.tickets.pop(asked["ticket"], None)
        if ticket is None:
            raise RinorError("Error when trying to free queue for event")
        for deferred in tuple(ticket.waiting):
            deferred.cancel()
        return RinorAnswer()

    async def _next(self, ticket: Ticket, asked: Asked) -> Event | None:
        """None after the time is out, when the client left, or when the ticket was freed."""
        if len(ticket.waiting) >= MAX_WAITING:
            ticket.waiting[0].cancel()
        waiting: Deferred[Event] = Deferred()
        ticket.waiting.append(waiting)
        timer: IDelayedCall = self._clock.callLater(POLL_TIMEOUT, waiting.cancel)
        # a client that left must not swallow the event that the next question is for
        _ = asked.call.request.notifyFinish().addErrback(lambda _: waiting.cancel())
        try:
            return await waiting
        except CancelledError:
            return None
        finally:
            if timer.active():
                timer.cancel()
            if waiting in ticket.waiting:
                ticket.waiting.remove(waiting)

    def _raised(self, event: Event) -> None:
        if event.type in _RAISING:
            for ticket in tuple(self.tickets.values()):
                ticket.put(event)

    def _expire(self) -> None:
        oldest = self._clock.seconds() - TICKET_LIFE
        for ticket in tuple(self.tickets.values()):
            if ticket.used < oldest and not ticket.waiting:
                del self.tickets[ticket.number]
