"""The life cycle of a component as a table, without a clock, a process or a reactor.

A component is in one *phase*; for an *event* the table returns the next phase and the *actions* to
carry out, in order. `step` is total: ignored events are listed as well.
`docs/reference/lifecycle.md` is drawn from this table.

Phases are the states that users see, with two more: `SPAWNING` has no process yet and is shown as
`starting`; `FAILING` has failed, its remaining processes are being ended, and it is shown as
`stopping`.

A timer belongs to the phase that armed it; the watchdog's to all phases in which the component is
up, the one for ending again to both in which it is ending. It is dropped when these are left.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping

import attrs

from domogik.components.model import State
from domogik.supervisor.interfaces import Exit, Restart


class Phase(enum.Enum):
    """The phase of a component; `state` is the word that users see."""

    STOPPED = "stopped"
    SPAWNING = "spawning"
    STARTING = "starting"
    RUNNING = "running"
    ALIVE = "alive"
    NOT_RESPONDING = "not responding"
    STOPPING = "stopping"
    FAILING = "failing"
    BACKOFF = "backoff"
    FAILED = "failed"

    @property
    def state(self) -> State:
        """The state that is shown."""
        return _SHOWN.get(self) or State[self.name]

    @property
    def is_ending(self) -> bool:
        """Whether processes are being ended, so that nothing may be started."""
        return self in (Phase.STOPPING, Phase.FAILING)

    @property
    def is_up(self) -> bool:
        """Whether it became ready and has not ended since."""
        return self in (Phase.RUNNING, Phase.ALIVE, Phase.NOT_RESPONDING)

    def shares_timer_with(self, other: Phase) -> bool:
        """Return whether a timer armed in one phase continues in the other."""
        return self is other or (self.is_up and other.is_up) or (self.is_ending and other.is_ending)


_SHOWN = {Phase.SPAWNING: State.STARTING, Phase.FAILING: State.STOPPING}


class LifecycleEvent(enum.Enum):
    """An event of a component; the value is its name in the diagram."""

    START = "start asked"
    STOP = "stop asked"
    ADOPTED = "found running"
    LEFTOVERS = "leftovers found"
    SPAWNED = "spawned"
    CANNOT_SPAWN = "cannot spawn"
    READY = "ready"
    ALIVE = "reported alive"
    SILENT = "reported silent"
    CANNOT_BECOME_READY = "reported that waiting does not help"
    LEFT = "reported that it leaves"
    MISSED_TOO_OFTEN = "silent too often"
    WATCHDOG_MISSED = "watchdog missed"
    START_TIMEOUT = "start timeout"
    EXITED_WANTED = "exited as wanted"
    EXITED_UNWANTED = "exited unexpectedly"
    ALL_ENDED = "no process left"
    CANNOT_END = "a process cannot be ended"
    END_AGAIN = "time to end them again"
    TRY_AGAIN = "time to try again"
    TOO_OFTEN = "failed too often"
    NO_RESTART = "restart not wanted"


class Action(enum.Enum):
    """What the runner has to do."""

    SPAWN = enum.auto()  # in its turn; results in SPAWNED or CANNOT_SPAWN
    CANCEL_START = enum.auto()  # before its turn came
    ARM_START = enum.auto()  # a timer for START_TIMEOUT, or READY where survival is enough
    ARM_WATCHDOG = enum.auto()
    ARM_SLOW_RETRY = enum.auto()
    ARM_END_AGAIN = enum.auto()
    PLAN_RETRY = enum.auto()  # ends in TRY_AGAIN (at once or by a timer), TOO_OFTEN or NO_RESTART
    RECORD_WANTED = enum.auto()  # in the record, before a signal: whether it is to run again
    END_TREE = enum.auto()  # ends in ALL_ENDED or CANNOT_END
    COUNT_RESTART = enum.auto()
    COUNT_MISS = enum.auto()  # may end in MISSED_TOO_OFTEN
    FORGET_MISSES = enum.auto()
    FORGET_FAILURES = enum.auto()
    RECORD_LEAVING = enum.auto()
    REPORT_READY = enum.auto()  # to callers that wait for the start
    REPORT_NOT_READY = enum.auto()
    REPORT_STOPPED = enum.auto()  # to callers that wait for the stop
    REPORT_STUCK = enum.auto()
    FINISH = enum.auto()  # close its output, and remove its record if it is not wanted


Step = tuple[Phase, tuple[Action, ...]]

_START = (Action.FORGET_FAILURES, Action.SPAWN)
_UP = (Action.REPORT_READY, Action.FORGET_MISSES, Action.ARM_WATCHDOG)
_NOT_READY = (Action.REPORT_NOT_READY, Action.END_TREE)
_END = (Action.RECORD_WANTED, Action.END_TREE)
_FINISHED = (Action.FINISH, Action.REPORT_STOPPED)
_GIVEN_UP = (Action.RECORD_WANTED, *_FINISHED)

#: from RUNNING, ALIVE and NOT_RESPONDING alike
_WHILE_UP: Mapping[LifecycleEvent, Step] = {
    LifecycleEvent.STOP: (Phase.STOPPING, _END),
    LifecycleEvent.EXITED_WANTED: (Phase.STOPPING, _END),
    LifecycleEvent.EXITED_UNWANTED: (Phase.FAILING, (Action.END_TREE,)),
    LifecycleEvent.WATCHDOG_MISSED: (Phase.FAILING, (Action.END_TREE,)),
    LifecycleEvent.MISSED_TOO_OFTEN: (Phase.FAILING, (Action.END_TREE,)),
    LifecycleEvent.SILENT: (Phase.NOT_RESPONDING, (Action.COUNT_MISS,)),
}

TABLE: Mapping[Phase, Mapping[LifecycleEvent, Step]] = {
    Phase.STOPPED: {
        LifecycleEvent.START: (Phase.SPAWNING, _START),
        LifecycleEvent.ADOPTED: (Phase.STARTING, (Action.ARM_START,)),
        LifecycleEvent.LEFTOVERS: (Phase.STOPPING, (Action.END_TREE,)),
        LifecycleEvent.LEFT: (
            Phase.STOPPED,
            (Action.RECORD_LEAVING,),
        ),  # heard after the end itself
    },
    Phase.SPAWNING: {
        LifecycleEvent.SPAWNED: (Phase.STARTING, (Action.ARM_START,)),
        LifecycleEvent.CANNOT_SPAWN: (Phase.BACKOFF, (Action.REPORT_NOT_READY, Action.PLAN_RETRY)),
        LifecycleEvent.STOP: (
            Phase.STOPPED,
            (Action.CANCEL_START, Action.REPORT_NOT_READY, *_GIVEN_UP),
        ),
    },
    Phase.STARTING: {
        LifecycleEvent.READY: (Phase.RUNNING, _UP),
        LifecycleEvent.ALIVE: (Phase.ALIVE, _UP),
        LifecycleEvent.LEFT: (Phase.STARTING, (Action.RECORD_LEAVING,)),
        LifecycleEvent.STOP: (Phase.STOPPING, (Action.RECORD_WANTED, *_NOT_READY)),
        LifecycleEvent.START_TIMEOUT: (Phase.FAILING, _NOT_READY),
        LifecycleEvent.CANNOT_BECOME_READY: (Phase.FAILING, _NOT_READY),
        LifecycleEvent.EXITED_WANTED: (Phase.STOPPING, (Action.RECORD_WANTED, *_NOT_READY)),
        LifecycleEvent.EXITED_UNWANTED: (Phase.FAILING, _NOT_READY),
    },
    Phase.RUNNING: {
        **_WHILE_UP,
        LifecycleEvent.ALIVE: (Phase.ALIVE, (Action.FORGET_MISSES,)),
        LifecycleEvent.LEFT: (Phase.RUNNING, (Action.RECORD_LEAVING,)),
    },
    Phase.ALIVE: {
        **_WHILE_UP,
        LifecycleEvent.LEFT: (Phase.ALIVE, (Action.RECORD_LEAVING,)),
    },
    Phase.NOT_RESPONDING: {
        **_WHILE_UP,
        LifecycleEvent.ALIVE: (Phase.ALIVE, (Action.FORGET_MISSES,)),
        LifecycleEvent.LEFT: (Phase.NOT_RESPONDING, (Action.RECORD_LEAVING,)),
    },
    Phase.STOPPING: {
        LifecycleEvent.ALL_ENDED: (Phase.STOPPED, _FINISHED),
        LifecycleEvent.CANNOT_END: (Phase.STOPPING, (Action.REPORT_STUCK, Action.ARM_END_AGAIN)),
        LifecycleEvent.END_AGAIN: (Phase.STOPPING, (Action.END_TREE,)),
        LifecycleEvent.LEFT: (Phase.STOPPING, (Action.RECORD_LEAVING,)),
    },
    Phase.FAILING: {
        LifecycleEvent.STOP: (Phase.STOPPING, (Action.RECORD_WANTED,)),
        LifecycleEvent.ALL_ENDED: (Phase.BACKOFF, (Action.REPORT_STOPPED, Action.PLAN_RETRY)),
        LifecycleEvent.CANNOT_END: (Phase.FAILING, (Action.REPORT_STUCK, Action.ARM_END_AGAIN)),
        LifecycleEvent.END_AGAIN: (Phase.FAILING, (Action.END_TREE,)),
    },
    Phase.BACKOFF: {
        LifecycleEvent.START: (Phase.SPAWNING, _START),
        LifecycleEvent.STOP: (Phase.STOPPED, _GIVEN_UP),
        LifecycleEvent.TRY_AGAIN: (Phase.SPAWNING, (Action.COUNT_RESTART, Action.SPAWN)),
        LifecycleEvent.TOO_OFTEN: (Phase.FAILED, (Action.ARM_SLOW_RETRY,)),
        LifecycleEvent.NO_RESTART: (Phase.FAILED, (Action.RECORD_WANTED, Action.FINISH)),
    },
    Phase.FAILED: {
        LifecycleEvent.START: (Phase.SPAWNING, _START),
        LifecycleEvent.STOP: (Phase.STOPPED, _GIVEN_UP),
        LifecycleEvent.TRY_AGAIN: (Phase.SPAWNING, (Action.COUNT_RESTART, Action.SPAWN)),
    },
}

#: news that come too late or change nothing, which every phase may hear
_REPORTS = frozenset(
    {
        LifecycleEvent.READY,
        LifecycleEvent.ALIVE,
        LifecycleEvent.SILENT,
        LifecycleEvent.CANNOT_BECOME_READY,
        LifecycleEvent.LEFT,
    }
)
#: of a process; where there is none, of the one before
_PROCESS_EVENTS = frozenset(
    {
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
        LifecycleEvent.EXITED_WANTED,
        LifecycleEvent.EXITED_UNWANTED,
    }
)
#: from a timer or an action of a phase that is over: they are dropped with it and never seen
_PHASE_EVENTS = frozenset(
    {
        LifecycleEvent.START_TIMEOUT,
        LifecycleEvent.WATCHDOG_MISSED,
        LifecycleEvent.MISSED_TOO_OFTEN,
        LifecycleEvent.TRY_AGAIN,
        LifecycleEvent.TOO_OFTEN,
        LifecycleEvent.NO_RESTART,
        LifecycleEvent.ALL_ENDED,
        LifecycleEvent.CANNOT_END,
        LifecycleEvent.END_AGAIN,
    }
)
#: only before the first start
_PAST_EVENTS = frozenset({LifecycleEvent.ADOPTED, LifecycleEvent.LEFTOVERS})

IGNORED: Mapping[Phase, frozenset[LifecycleEvent]] = {
    Phase.STOPPED: (_REPORTS - {LifecycleEvent.LEFT})
    | _PROCESS_EVENTS
    | _PHASE_EVENTS
    | {LifecycleEvent.STOP},
    Phase.SPAWNING: _PAST_EVENTS
    | _REPORTS
    | _PHASE_EVENTS
    | {LifecycleEvent.START, LifecycleEvent.EXITED_WANTED, LifecycleEvent.EXITED_UNWANTED},
    Phase.STARTING: _PAST_EVENTS
    | (_PHASE_EVENTS - {LifecycleEvent.START_TIMEOUT})
    | {
        LifecycleEvent.START,
        LifecycleEvent.SILENT,
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
    },
    Phase.RUNNING: _PAST_EVENTS
    | (_PHASE_EVENTS - {LifecycleEvent.WATCHDOG_MISSED, LifecycleEvent.MISSED_TOO_OFTEN})
    | {
        LifecycleEvent.START,
        LifecycleEvent.READY,
        LifecycleEvent.CANNOT_BECOME_READY,
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
    },
    Phase.ALIVE: _PAST_EVENTS
    | (_PHASE_EVENTS - {LifecycleEvent.WATCHDOG_MISSED, LifecycleEvent.MISSED_TOO_OFTEN})
    | {
        LifecycleEvent.START,
        LifecycleEvent.READY,
        LifecycleEvent.ALIVE,
        LifecycleEvent.CANNOT_BECOME_READY,
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
    },
    Phase.NOT_RESPONDING: _PAST_EVENTS
    | (_PHASE_EVENTS - {LifecycleEvent.WATCHDOG_MISSED, LifecycleEvent.MISSED_TOO_OFTEN})
    | {
        LifecycleEvent.START,
        LifecycleEvent.READY,
        LifecycleEvent.CANNOT_BECOME_READY,
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
    },
    # a start asked now waits for the end and is asked again then
    Phase.STOPPING: _PAST_EVENTS
    | (_REPORTS - {LifecycleEvent.LEFT})
    | _PROCESS_EVENTS
    | (
        _PHASE_EVENTS
        - {LifecycleEvent.ALL_ENDED, LifecycleEvent.CANNOT_END, LifecycleEvent.END_AGAIN}
    )
    | {LifecycleEvent.START, LifecycleEvent.STOP},
    Phase.FAILING: _PAST_EVENTS
    | _REPORTS
    | _PROCESS_EVENTS
    | (
        _PHASE_EVENTS
        - {LifecycleEvent.ALL_ENDED, LifecycleEvent.CANNOT_END, LifecycleEvent.END_AGAIN}
    )
    | {LifecycleEvent.START},
    Phase.BACKOFF: _PAST_EVENTS
    | _REPORTS
    | _PROCESS_EVENTS
    | (
        _PHASE_EVENTS
        - {LifecycleEvent.TRY_AGAIN, LifecycleEvent.TOO_OFTEN, LifecycleEvent.NO_RESTART}
    ),
    Phase.FAILED: _PAST_EVENTS
    | _REPORTS
    | _PROCESS_EVENTS
    | (_PHASE_EVENTS - {LifecycleEvent.TRY_AGAIN}),
}


def step(phase: Phase, event: LifecycleEvent) -> Step:
    """Return what follows `event` in `phase`; the same phase and no action if it is ignored."""
    return TABLE[phase].get(event, (phase, ()))


@attrs.frozen
class Ended:
    """How a process ended, and whether it had announced it."""

    exit: Exit
    announced: bool

    def event(self, restart: Restart) -> LifecycleEvent:
        """Return whether the end was wanted under the policy `restart`.

        Exit 0 is wanted, unless the policy is `always` and the end was not announced; another
        status or a signal is a failure. If the status is unknown (an adopted process), only a
        recent announcement makes it wanted.
        """
        if self.exit.unknown:
            wanted = self.announced
        else:
            wanted = self.exit.code == 0 and (restart is not Restart.ALWAYS or self.announced)
        return LifecycleEvent.EXITED_WANTED if wanted else LifecycleEvent.EXITED_UNWANTED
