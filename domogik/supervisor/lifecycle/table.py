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
    HOPELESS = "reported that waiting does not help"
    LEFT = "reported that it leaves"
    MISSED_TOO_OFTEN = "silent too often"
    WATCHDOG_MISSED = "watchdog missed"
    START_TIMEOUT = "start timeout"
    EXITED_WANTED = "exited as wanted"
    EXITED_UNWANTED = "exited unexpectedly"
    NOBODY_LEFT = "no process left"
    CANNOT_END = "a process cannot be ended"
    END_AGAIN = "time to end them again"
    TRY_AGAIN = "time to try again"
    TOO_OFTEN = "failed too often"
    NO_RESTART = "restart not wanted"


class Action(enum.Enum):
    """What the runner has to do."""

    SPAWN = enum.auto()  # in its turn; ends in SPAWNED or CANNOT_SPAWN
    CALL_OFF = enum.auto()  # before its turn came
    ARM_START = enum.auto()  # a timer for START_TIMEOUT, or READY where survival is enough
    ARM_WATCHDOG = enum.auto()
    ARM_SLOW_RETRY = enum.auto()
    ARM_END_AGAIN = enum.auto()
    PLAN_RETRY = enum.auto()  # ends in TRY_AGAIN (at once or by a timer), TOO_OFTEN or NO_RESTART
    NOTE_WISH = enum.auto()  # on record, before a signal: not to run any more, or again
    END_TREE = enum.auto()  # ends in NOBODY_LEFT or CANNOT_END
    COUNT_RESTART = enum.auto()
    COUNT_MISS = enum.auto()  # may end in MISSED_TOO_OFTEN
    FORGET_MISSES = enum.auto()
    FORGET_FAILURES = enum.auto()
    NOTE_LEAVING = enum.auto()
    TELL_READY = enum.auto()  # who waits for the start
    TELL_NOT_READY = enum.auto()
    TELL_GONE = enum.auto()  # who waits for the stop
    TELL_STUCK = enum.auto()
    REST = enum.auto()  # nothing of it is wanted any more: close its output, drop its record


Step = tuple[Phase, tuple[Action, ...]]

_START = (Action.FORGET_FAILURES, Action.SPAWN)
_UP = (Action.TELL_READY, Action.FORGET_MISSES, Action.ARM_WATCHDOG)
_NOT_READY = (Action.TELL_NOT_READY, Action.END_TREE)
_END = (Action.NOTE_WISH, Action.END_TREE)
_AT_REST = (Action.REST, Action.TELL_GONE)
_GIVEN_UP = (Action.NOTE_WISH, *_AT_REST)

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
        LifecycleEvent.LEFT: (Phase.STOPPED, (Action.NOTE_LEAVING,)),  # heard after the end itself
    },
    Phase.SPAWNING: {
        LifecycleEvent.SPAWNED: (Phase.STARTING, (Action.ARM_START,)),
        LifecycleEvent.CANNOT_SPAWN: (Phase.BACKOFF, (Action.TELL_NOT_READY, Action.PLAN_RETRY)),
        LifecycleEvent.STOP: (Phase.STOPPED, (Action.CALL_OFF, Action.TELL_NOT_READY, *_GIVEN_UP)),
    },
    Phase.STARTING: {
        LifecycleEvent.READY: (Phase.RUNNING, _UP),
        LifecycleEvent.ALIVE: (Phase.ALIVE, _UP),
        LifecycleEvent.LEFT: (Phase.STARTING, (Action.NOTE_LEAVING,)),
        LifecycleEvent.STOP: (Phase.STOPPING, (Action.NOTE_WISH, *_NOT_READY)),
        LifecycleEvent.START_TIMEOUT: (Phase.FAILING, _NOT_READY),
        LifecycleEvent.HOPELESS: (Phase.FAILING, _NOT_READY),
        LifecycleEvent.EXITED_WANTED: (Phase.STOPPING, (Action.NOTE_WISH, *_NOT_READY)),
        LifecycleEvent.EXITED_UNWANTED: (Phase.FAILING, _NOT_READY),
    },
    Phase.RUNNING: {
        **_WHILE_UP,
        LifecycleEvent.ALIVE: (Phase.ALIVE, (Action.FORGET_MISSES,)),
        LifecycleEvent.LEFT: (Phase.RUNNING, (Action.NOTE_LEAVING,)),
    },
    Phase.ALIVE: {
        **_WHILE_UP,
        LifecycleEvent.LEFT: (Phase.ALIVE, (Action.NOTE_LEAVING,)),
    },
    Phase.NOT_RESPONDING: {
        **_WHILE_UP,
        LifecycleEvent.ALIVE: (Phase.ALIVE, (Action.FORGET_MISSES,)),
        LifecycleEvent.LEFT: (Phase.NOT_RESPONDING, (Action.NOTE_LEAVING,)),
    },
    Phase.STOPPING: {
        LifecycleEvent.NOBODY_LEFT: (Phase.STOPPED, _AT_REST),
        LifecycleEvent.CANNOT_END: (Phase.STOPPING, (Action.TELL_STUCK, Action.ARM_END_AGAIN)),
        LifecycleEvent.END_AGAIN: (Phase.STOPPING, (Action.END_TREE,)),
        LifecycleEvent.LEFT: (Phase.STOPPING, (Action.NOTE_LEAVING,)),
    },
    Phase.FAILING: {
        LifecycleEvent.STOP: (Phase.STOPPING, (Action.NOTE_WISH,)),
        LifecycleEvent.NOBODY_LEFT: (Phase.BACKOFF, (Action.TELL_GONE, Action.PLAN_RETRY)),
        LifecycleEvent.CANNOT_END: (Phase.FAILING, (Action.TELL_STUCK, Action.ARM_END_AGAIN)),
        LifecycleEvent.END_AGAIN: (Phase.FAILING, (Action.END_TREE,)),
    },
    Phase.BACKOFF: {
        LifecycleEvent.START: (Phase.SPAWNING, _START),
        LifecycleEvent.STOP: (Phase.STOPPED, _GIVEN_UP),
        LifecycleEvent.TRY_AGAIN: (Phase.SPAWNING, (Action.COUNT_RESTART, Action.SPAWN)),
        LifecycleEvent.TOO_OFTEN: (Phase.FAILED, (Action.ARM_SLOW_RETRY,)),
        LifecycleEvent.NO_RESTART: (Phase.FAILED, (Action.NOTE_WISH, Action.REST)),
    },
    Phase.FAILED: {
        LifecycleEvent.START: (Phase.SPAWNING, _START),
        LifecycleEvent.STOP: (Phase.STOPPED, _GIVEN_UP),
        LifecycleEvent.TRY_AGAIN: (Phase.SPAWNING, (Action.COUNT_RESTART, Action.SPAWN)),
    },
}

#: news that come too late or change nothing, which every phase may hear
_TIDINGS = frozenset(
    {
        LifecycleEvent.READY,
        LifecycleEvent.ALIVE,
        LifecycleEvent.SILENT,
        LifecycleEvent.HOPELESS,
        LifecycleEvent.LEFT,
    }
)
#: of a process; where there is none, of the one before
_OF_A_PROCESS = frozenset(
    {
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
        LifecycleEvent.EXITED_WANTED,
        LifecycleEvent.EXITED_UNWANTED,
    }
)
#: from a timer or an action of a phase that is over: they are dropped with it and never seen
_OF_A_PHASE = frozenset(
    {
        LifecycleEvent.START_TIMEOUT,
        LifecycleEvent.WATCHDOG_MISSED,
        LifecycleEvent.MISSED_TOO_OFTEN,
        LifecycleEvent.TRY_AGAIN,
        LifecycleEvent.TOO_OFTEN,
        LifecycleEvent.NO_RESTART,
        LifecycleEvent.NOBODY_LEFT,
        LifecycleEvent.CANNOT_END,
        LifecycleEvent.END_AGAIN,
    }
)
#: only before the first start
_OF_THE_PAST = frozenset({LifecycleEvent.ADOPTED, LifecycleEvent.LEFTOVERS})

IGNORED: Mapping[Phase, frozenset[LifecycleEvent]] = {
    Phase.STOPPED: (_TIDINGS - {LifecycleEvent.LEFT})
    | _OF_A_PROCESS
    | _OF_A_PHASE
    | {LifecycleEvent.STOP},
    Phase.SPAWNING: _OF_THE_PAST
    | _TIDINGS
    | _OF_A_PHASE
    | {LifecycleEvent.START, LifecycleEvent.EXITED_WANTED, LifecycleEvent.EXITED_UNWANTED},
    Phase.STARTING: _OF_THE_PAST
    | (_OF_A_PHASE - {LifecycleEvent.START_TIMEOUT})
    | {
        LifecycleEvent.START,
        LifecycleEvent.SILENT,
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
    },
    Phase.RUNNING: _OF_THE_PAST
    | (_OF_A_PHASE - {LifecycleEvent.WATCHDOG_MISSED, LifecycleEvent.MISSED_TOO_OFTEN})
    | {
        LifecycleEvent.START,
        LifecycleEvent.READY,
        LifecycleEvent.HOPELESS,
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
    },
    Phase.ALIVE: _OF_THE_PAST
    | (_OF_A_PHASE - {LifecycleEvent.WATCHDOG_MISSED, LifecycleEvent.MISSED_TOO_OFTEN})
    | {
        LifecycleEvent.START,
        LifecycleEvent.READY,
        LifecycleEvent.ALIVE,
        LifecycleEvent.HOPELESS,
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
    },
    Phase.NOT_RESPONDING: _OF_THE_PAST
    | (_OF_A_PHASE - {LifecycleEvent.WATCHDOG_MISSED, LifecycleEvent.MISSED_TOO_OFTEN})
    | {
        LifecycleEvent.START,
        LifecycleEvent.READY,
        LifecycleEvent.HOPELESS,
        LifecycleEvent.SPAWNED,
        LifecycleEvent.CANNOT_SPAWN,
    },
    # a start asked now waits for the end and is asked again then
    Phase.STOPPING: _OF_THE_PAST
    | (_TIDINGS - {LifecycleEvent.LEFT})
    | _OF_A_PROCESS
    | (
        _OF_A_PHASE
        - {LifecycleEvent.NOBODY_LEFT, LifecycleEvent.CANNOT_END, LifecycleEvent.END_AGAIN}
    )
    | {LifecycleEvent.START, LifecycleEvent.STOP},
    Phase.FAILING: _OF_THE_PAST
    | _TIDINGS
    | _OF_A_PROCESS
    | (
        _OF_A_PHASE
        - {LifecycleEvent.NOBODY_LEFT, LifecycleEvent.CANNOT_END, LifecycleEvent.END_AGAIN}
    )
    | {LifecycleEvent.START},
    Phase.BACKOFF: _OF_THE_PAST
    | _TIDINGS
    | _OF_A_PROCESS
    | (
        _OF_A_PHASE
        - {LifecycleEvent.TRY_AGAIN, LifecycleEvent.TOO_OFTEN, LifecycleEvent.NO_RESTART}
    ),
    Phase.FAILED: _OF_THE_PAST
    | _TIDINGS
    | _OF_A_PROCESS
    | (_OF_A_PHASE - {LifecycleEvent.TRY_AGAIN}),
}


def step(phase: Phase, event: LifecycleEvent) -> Step:
    """Return what follows `event` in `phase`; the same phase and no action if it is ignored."""
    return TABLE[phase].get(event, (phase, ()))


@attrs.frozen
class Ended:
    """How a process ended, and whether it had announced it."""

    exit: Exit
    said_it_leaves: bool

    def event(self, restart: Restart) -> LifecycleEvent:
        """Return whether the end was wanted under the policy `restart`.

        Exit 0 is wanted, unless the policy is `always` and the end was not announced; another
        status or a signal is a failure. If the status is unknown (an adopted process), only a
        recent announcement makes it wanted.
        """
        if self.exit.unknown:
            wanted = self.said_it_leaves
        else:
            wanted = self.exit.code == 0 and (restart is not Restart.ALWAYS or self.said_it_leaves)
        return LifecycleEvent.EXITED_WANTED if wanted else LifecycleEvent.EXITED_UNWANTED
