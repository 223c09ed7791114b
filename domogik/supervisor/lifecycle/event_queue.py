"""The events of one component, handled one after the other, and its status as it is published."""

from __future__ import annotations

from collections import deque
from typing import Any

import attrs

from domogik.components.model import State
from domogik.supervisor.interfaces import Specification, Status
from domogik.supervisor.lifecycle.attempt import Output, Tools
from domogik.supervisor.lifecycle.table import LifecycleEvent, Phase, step
from domogik.supervisor.lifecycle.timer import OneTimer
from domogik.supervisor.lifecycle.waiting import Waiting


@attrs.define(eq=False)
class EventQueue:
    """Takes the phase of one component from state to state, as the life-cycle table says.

    Events that arrive during an action wait. A class that derives from this one has a method
    `_<action>` for each action of the table.
    """

    specification: Specification
    output: Output
    _tools: Tools
    status: Status = attrs.field(init=False)
    _published: Status = attrs.field(init=False)
    _phase: Phase = attrs.field(init=False, default=Phase.STOPPED)
    _events: deque[tuple[LifecycleEvent, str | None]] = attrs.field(init=False, factory=deque)
    _is_busy: bool = attrs.field(init=False, default=False)
    _timer: OneTimer[[LifecycleEvent, str | None]] = attrs.field(init=False)
    _ready: Waiting = attrs.field(init=False, factory=Waiting)
    _stopped: Waiting = attrs.field(init=False, factory=Waiting)
    _failure: str = attrs.field(init=False, default="")
    _adopted_since: float = attrs.field(init=False, default=0.0)
    _up_since: float = attrs.field(init=False, default=0.0)
    _was_up_for: float = attrs.field(init=False, default=0.0)

    def __attrs_post_init__(self) -> None:
        self.status = self._published = Status(State.STOPPED, since=self._tools.now())
        self._timer = OneTimer(self._tools.clock, self._on_timer)

    @property
    def id(self) -> str:
        """The component's id, `<kind>:<name>`."""
        return self.specification.id

    def _post(self, event: LifecycleEvent, reason: str | None = None) -> None:
        self._events.append((event, reason))
        if not self._is_busy:
            self._process_events()

    def _process_events(self) -> None:
        self._is_busy = True
        try:
            while self._events:
                self._handle(*self._events.popleft())
        finally:
            self._is_busy = False
        self._publish()

    def _handle(self, event: LifecycleEvent, reason: str | None) -> None:
        phase, actions = step(self._phase, event)
        if phase is self._phase and not actions:
            return
        self._enter(phase, reason)
        for action in actions:
            getattr(self, f"_{action.name.lower()}")()

    def _enter(self, phase: Phase, reason: str | None) -> None:
        was, self._phase, now = self._phase, phase, self._tools.clock.seconds()
        if not phase.shares_timer_with(was):
            self._timer.drop()
        if phase.is_up and not was.is_up:
            self._up_since = now
        if was.is_up and not phase.is_up:
            self._was_up_for = now - self._up_since
        if phase is Phase.FAILING and was is not phase:
            self._failure = reason or ""
        self._set(state=phase.state)
        if reason is not None:
            self._set(reason=reason)

    def _set(self, **changes: Any) -> None:
        self.status = attrs.evolve(self.status, **changes)

    def _show(self, **changes: Any) -> None:
        self._set(**changes)
        if not self._is_busy:
            self._publish()

    def _publish(self) -> None:
        before = self._published
        if self.status.state is not before.state:
            self._set(since=self._since())
        if self.status != before:
            self._published = self.status
            self._tools.changed(self.id, before, self.status)
        self._ready.release(self.status)
        self._stopped.release(self.status)

    def _since(self) -> float:
        """Return the start time of an adopted process that still runs, else now."""
        known = self._adopted_since
        if self._phase is not Phase.STARTING:
            self._adopted_since = 0.0
        return known if known and not self._phase.is_ending else self._tools.now()

    def _on_timer(self, event: LifecycleEvent, reason: str | None) -> None:
        self._post(event, reason)
