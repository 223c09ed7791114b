"""The numbered stream of events that packages publish and interfaces subscribe to."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping

import attrs
from twisted.logger import Logger

#: what an event may carry: values that JSON can say
Data = Mapping[str, object]
Receiver = Callable[["Event"], None]


@attrs.frozen
class Event:
    """An event. `id` grows by one while a program runs; `time` is Unix time in seconds.

    Types: `component.changed` {id, host, state, previous, enabled, reason}, `component.added` and
    `component.removed` {id, host}, `host.changed` {id, on}, `configuration.changed` {path},
    `configuration.refused` {path, error}, `packages.changed` {host}, `repositories.changed` {},
    `job.changed` {id, kind, subject, state, stage, percent, error}, and `issue.opened`,
    `issue.changed`, `issue.closed` {id, host, component, check_id, result, description}.
    """

    id: int
    time: float
    type: str
    data: Data


@attrs.define(eq=False)
class EventStream:
    """Numbers events, keeps the last `keep` of them and calls the subscribers."""

    _now: Callable[[], float]
    _keep: int = 1000
    _log: Logger = Logger()
    _last: int = 0
    _kept: deque[Event] = attrs.field(init=False)
    _receivers: list[Receiver] = attrs.field(init=False, factory=list)

    def __attrs_post_init__(self) -> None:
        self._kept = deque(maxlen=self._keep)

    @property
    def last_id(self) -> int:
        """The id of the newest event, 0 before the first."""
        return self._last

    def continue_from(self, number: int) -> None:
        """Continue the ids after `number` and drop the events that are kept.

        It is called at the start of a program, before any client has seen an id.
        """
        self._kept.clear()
        self._last = number

    def publish(self, type: str, **data: object) -> Event:
        """Pass an event to every subscriber; one that raises is logged and the others are still
        called."""
        self._last += 1
        event = Event(self._last, self._now(), type, data)
        self._kept.append(event)
        for receiver in tuple(self._receivers):
            try:
                receiver(event)
            except Exception:  # noqa: BLE001 - errors of callbacks are logged
                self._log.failure("a receiver of {event.type} raised", event=event)
        return event

    def subscribe(self, receiver: Receiver) -> Callable[[], None]:
        """Pass every later event to `receiver`; return a function that unsubscribes, also if called
        twice."""
        self._receivers.append(receiver)

        def unsubscribe() -> None:
            if receiver in self._receivers:
                self._receivers.remove(receiver)

        return unsubscribe

    def since(self, event_id: int) -> tuple[Event, ...] | None:
        """Return the events after `event_id`, or None if some of them are no longer kept.

        None is also returned for an id that this stream has not reached, which is from an earlier
        run.
        """
        if event_id > self._last:
            return None
        oldest = self._last - len(self._kept)
        if event_id < oldest:
            return None
        return tuple(event for event in self._kept if event.id > event_id)
