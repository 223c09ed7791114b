"""What the two halves of the workroom, and its callers, say to each other about a process."""

from __future__ import annotations

import enum
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from zope.interface import Attribute, Interface

from domogik.components.model import State


@attrs.frozen
class User:
    """Whom a program runs as: numbers, as the kernel wants them. Only root may change who it is."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@attrs.frozen
class Program:
    """What to execute, and where.

    `environment` is the whole environment, nothing is added to it. `argv[0]` is looked for in its
    PATH when it holds no slash. `memory_max` bounds the address space in bytes, `open_files_max`
    the number of descriptors (None: as the manager's own); `memory_max_words` is the former as the
    configuration says it, with its place; `nice` is added to the manager's own.
    `user` is None for the manager's own; its directory is entered before the user is changed.
    With `marks_at_birth` nobody it forks can be without its mark, but whatever this process forks
    in the same moment, in another thread, carries it too: not in a program of somebody else's.
    """

    argv: tuple[str, ...] = attrs.field(validator=attrs.validators.min_len(1))
    environment: Mapping[str, str]
    directory: Path
    memory_max: int | None = None
    open_files_max: int | None = None
    nice: int = 0
    memory_max_words: str = ""
    user: User | None = None
    marks_at_birth: bool = True

    @property
    def has_limits(self) -> bool:
        """Whether anything has to be set between the start and the program itself."""
        return self.memory_max is not None or self.open_files_max is not None or self.nice != 0


class Restart(enum.Enum):
    """When a process that ended by itself is started again."""

    ON_FAILURE = "on-failure"
    ALWAYS = "always"
    NO = "no"


@attrs.frozen
class Policy:
    """How a component is kept running: the keys of `[supervision]` and `[component:<id>]`.

    Times are seconds, sizes bytes. `restart_after_misses` and `watchdog` are off at 0. With
    `leader_first` the stop signal is for the first process alone, which ends the others itself;
    `last_signal` is what that one gets when the time is out, before everybody is killed.
    """

    restart: Restart = Restart.ON_FAILURE
    backoff_first: float = 1
    backoff_max: float = 300
    start_limit: int = 5
    start_limit_window: float = 600
    slow_retry: float = 900
    start_timeout: float = 30
    stop_signal: str = "TERM"
    stop_timeout: float = 10
    restart_after_misses: int = 0
    watchdog: float = 0
    log_max_size: int = 10 * 2**20
    log_files: int = 5
    leader_first: bool = False
    last_signal: str = ""


class Readiness(enum.Enum):
    """Who says that a started process is ready."""

    TOLD = "told"  # somebody outside (a heartbeat): `Supervisor.alive`
    NOTIFY = "notify"  # the process itself, READY=1 on NOTIFY_SOCKET
    SURVIVAL = "survival"  # nobody: it is there


@attrs.frozen
class Specification:
    """One component to be kept running. `id` is `<kind>:<name>`, `needs` are such ids.

    `prepare` is awaited before every start, of whoever's doing, with `program`, and answers with
    what to execute; a `DomogikError` of it is why it cannot be started. It may be cancelled.
    `before_stop` is awaited before it is stopped while it is up; a `DomogikError` of it refuses
    the stop, and it may end the process itself. With `keep` it outlives a supervisor that stops,
    for the next one to take over.
    """

    id: str
    program: Program
    policy: Policy = Policy()
    readiness: Readiness = Readiness.TOLD
    needs: tuple[str, ...] = ()
    prepare: Callable[[Program], Awaitable[Program]] | None = None
    before_stop: Callable[[], Awaitable[None]] | None = None
    keep: bool = False


@attrs.frozen
class Exit:
    """How a process ended: by a status, by a signal's number, or nobody could tell (both None)."""

    code: int | None = None
    signal: int | None = None

    @property
    def unknown(self) -> bool:
        """It was not our child, so the kernel told its status to somebody else."""
        return self.code is None and self.signal is None

    @property
    def words(self) -> str:
        """The end in words for a person."""
        if self.signal is not None:
            return f"killed by {_signal_name(self.signal)}"
        if self.code is not None:
            return f"exit status {self.code}"
        return "ended; its status could not be read"


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:  # real-time signals have numbers only
        return f"signal {number}"


@attrs.frozen
class Status:
    """How one component is now.

    `since` is the Unix time in seconds of the last change of state; `reason` a sentence for a
    person, empty when there is nothing to say; `restarts` counts those nobody asked for;
    `run_id` marks this start (`DOMOGIK_RUN_ID`), empty before the first; `exit` is the last end.
    """

    state: State
    reason: str = ""
    pid: int | None = None
    since: float = 0.0
    restarts: int = 0
    run_id: str = ""
    adopted: bool = False
    exit: Exit | None = None


class IRunner(Interface):
    """One component that can be started and stopped, whatever stands behind it."""

    specification = Attribute("Specification: what it runs; a change counts from the next start")
    status = Attribute("Status: how it is now")

    def start() -> Deferred[Status]:
        """Fires when it is ready.

        Fails with `NotPossible` when it already is, with `OperationFailed` when it ended, or was
        not ready in time.
        """

    def stop() -> Deferred[Status]:
        """Fires when no process of it is left.

        Fails with `NotPossible` when there was none, with `OperationFailed` when one cannot be
        killed.
        """

    def restart() -> Deferred[Status]:
        """`stop`, then `start`, with nothing between them."""
