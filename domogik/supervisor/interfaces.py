"""Values and interfaces of the supervisor and its callers."""

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
    """The user to run a program as, with numeric ids; only root may change the user."""

    uid: int
    gid: int
    groups: tuple[int, ...] = ()


@attrs.frozen
class Program:
    """The program to execute, with its environment and limits.

    `environment` is complete. `argv[0]` without a slash is searched in its PATH. `memory_max`
    limits the address space in bytes, `open_files_max` the number of descriptors (None: as the
    manager); `memory_max_words` is the former as written in the configuration, with its position;
    `nice` is added to the manager's. `user` is None for the manager's; its directory is entered
    before the user is changed. With `marks_at_birth` all processes that it forks are marked, but
    also those that other threads of this process fork meanwhile, so it is off in programs of
    others.
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
        """Whether a launcher has to set limits."""
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
    `leader_first` only the first process gets the stop signal, and ends the others itself;
    `last_signal` is sent to it after the timeout, before all are killed.
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
    """How a started process becomes ready."""

    TOLD = "told"  # another part reports it (a heartbeat): `Supervisor.alive`
    NOTIFY = "notify"  # the process reports it, READY=1 on NOTIFY_SOCKET
    SURVIVAL = "survival"  # it has not ended after a while


@attrs.frozen
class Specification:
    """A component to keep running. `id` is `<kind>:<name>`, `needs` are such ids.

    `prepare` is awaited with `program` before every start and returns what to execute; its
    `DomogikError` prevents the start. It may be cancelled. `before_stop` is awaited before a
    running component is stopped; its `DomogikError` prevents the stop, and it may end the process
    itself. With `keep` the processes survive a stop of the supervisor, for the next one to adopt.
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
    """The end of a process by a status or a signal's number; both None if unknown."""

    code: int | None = None
    signal: int | None = None

    @property
    def unknown(self) -> bool:
        """Whether the status is unknown, because the process was not our child."""
        return self.code is None and self.signal is None

    @property
    def words(self) -> str:
        """The end in words."""
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
    """The current status of one component.

    `since` is the Unix time in seconds of the last change of state; `reason` is a sentence, or
    empty; `restarts` counts automatic ones; `run_id` marks this start (`DOMOGIK_RUN_ID`), empty
    before the first; `exit` is the last end.
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
    """A component that can be started and stopped."""

    specification = Attribute("Specification: what it runs; a change counts from the next start")
    status = Attribute("Status: how it is now")

    def start() -> Deferred[Status]:
        """Start; the Deferred fires when it is ready.

        Fails with `NotPossible` if it already is, with `OperationFailed` if it ended or was not
        ready in time.
        """

    def stop() -> Deferred[Status]:
        """Stop; the Deferred fires when no process of it is left.

        Fails with `NotPossible` if there was none, with `OperationFailed` if one cannot be killed.
        """

    def restart() -> Deferred[Status]:
        """Stop, then start, with nothing in between."""
