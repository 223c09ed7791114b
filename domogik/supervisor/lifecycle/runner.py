"""Runs one component as the life-cycle table says.

Events are queued while an action is running, so nothing is re-entered. There is at most one process
tree, one timer and one ending at a time. Changes are published when the queue is empty, and then
the Deferreds of starts and stops fire.

`start`, `stop` and `restart` wait for a lock of the component, which a start releases once it is
under way: a stop need not wait until a start succeeds.
"""

from __future__ import annotations

from typing import ClassVar

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from domogik.answers import deferred
from domogik.errors import NotPossible, OperationFailed
from domogik.supervisor.interfaces import (
    IRunner,
    Program,
    Readiness,
    Restart,
    Status,
)
from domogik.supervisor.lifecycle.attempt import Attempt
from domogik.supervisor.lifecycle.backoff import GiveUp, Restarts
from domogik.supervisor.lifecycle.event_queue import EventQueue
from domogik.supervisor.lifecycle.preparation import Starting
from domogik.supervisor.lifecycle.table import Ended, LifecycleEvent, Phase
from domogik.supervisor.logs.output import CannotCapture
from domogik.supervisor.outcomes import (
    AlreadyRunning,
    NotRunning,
    StartFailed,
    ending,
    span,
)
from domogik.supervisor.processes.adoption import ProcessRecord
from domogik.supervisor.processes.host import Started
from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.supervisor.processes.spawn import CannotSpawn
from domogik.supervisor.processes.tree import StillRunning
from domogik.supervisor.readiness import SURVIVAL, Notice, not_ready

#: seconds after its announcement within which an end counts as announced
LEAVE = 5.0
#: the reason while that goes on
_LEFTOVERS = "ending what an earlier start left behind"


@implementer(IRunner)
@attrs.define(eq=False)
class Runner(EventQueue):
    """One component. `specification` may be replaced and counts from the next start."""

    _log: ClassVar[Logger] = Logger()

    _restarts: Restarts = attrs.field(init=False)
    _run: Attempt | None = attrs.field(init=False, default=None)
    _starting: Starting = attrs.field(init=False)
    _lock: DeferredLock = attrs.field(init=False, factory=DeferredLock)
    #: whether it is to run, now or after the end of its remaining processes; as in the record
    _wanted: bool = attrs.field(init=False, default=False)
    #: whether it is to run again after the last stop
    _again: bool = attrs.field(init=False, default=False)
    _misses: int = attrs.field(init=False, default=0)
    _left_at: float | None = attrs.field(init=False, default=None)
    _notified_status: str = attrs.field(init=False, default="")
    _silence_reason: str = attrs.field(init=False, default="")
    _stuck_reason: str = attrs.field(init=False, default="")

    def __attrs_post_init__(self) -> None:
        EventQueue.__attrs_post_init__(self)
        self._restarts = Restarts(self._tools.random)
        self._starting = Starting(self._tools.pacing, self._spawn_now, self._cannot_spawn)

    @property
    def started(self) -> Started | None:
        """The start whose processes may exist; None if there are none."""
        return None if self._run is None else self._run.started

    @property
    def is_up(self) -> bool:
        """Whether it is starting, ready, or not responding."""
        return self._phase.is_up or self._phase in (Phase.SPAWNING, Phase.STARTING)

    @property
    def stops_at_once(self) -> bool:
        """Whether it is up and a stop has nothing to wait for."""
        is_asked = self._lock.locked or self._is_busy or self.specification.before_stop is not None
        return self._phase.is_up and not is_asked

    # Operations

    @deferred
    async def start(self) -> Status:
        """Start; the Deferred fires when it is `alive` or `running`. Joins a start under way.

        Fails with `AlreadyRunning`; with `StartFailed` at the first failure, after which its policy
        may retry in the background.
        """
        async with self._lock:
            ready = await self._ask_for_start()
        return await ready

    @deferred
    async def stop(self, *, again: bool = False) -> Status:
        """Stop; the Deferred fires when no process of it is left. Joins a stop under way.

        Before any signal the record says that it is not wanted any more, or with `again` that it
        is: the next manager ends what is left, and then starts it. Fails with `NotRunning`, unless
        it ended by itself just after announcing it; with `OperationFailed` if a process cannot be
        ended, which is then retried.
        """
        if self._phase is Phase.STOPPING and not self._lock.waiting:
            return await self._stopped.join()
        async with self._lock:
            if self._phase is Phase.STOPPED:
                if self._wanted and not again:
                    self._again = False
                    self._record_wanted()
                if self._has_just_left():
                    return self.status
                raise NotRunning(f"{self.id} is not running")
            return await self._ask_for_stop(again)

    @deferred
    async def restart(self) -> Status:
        """Stop it if it runs, then start it, with nothing in between."""
        async with self._lock:
            if self._phase is not Phase.STOPPED:
                await self._ask_for_stop(again=True)
            ready = await self._ask_for_start()
        return await ready

    async def _ask_for_start(self) -> Deferred[Status]:
        while self._phase.is_ending:
            await self._stopped.join()
        if self._phase.is_up:
            raise AlreadyRunning(f"{self.id} is already running")
        ready = self._ready.join()
        self._post(LifecycleEvent.START, "")
        return ready

    async def _ask_for_stop(self, again: bool) -> Status:
        before_stop = self.specification.before_stop
        self._again = again
        if before_stop is not None and self._phase.is_up:
            self.note_stop(again=again)
            try:
                await before_stop()
            except BaseException:
                self._again = False
                if self._run is not None:
                    self._run.note(self._tools, wanted=True, ending=False)
                raise
            if self._phase is Phase.STOPPED:
                return self.status
        gone = self._stopped.join()
        self._post(LifecycleEvent.STOP, "")
        return await gone

    # Reports

    def alive(self) -> None:
        """Report that its check passed."""
        self._left_at = None
        self._post(LifecycleEvent.ALIVE, "")

    def silent(self, reason: str) -> None:
        """Report that its check failed, with the reason."""
        self._silence_reason = reason
        self._post(LifecycleEvent.SILENT, reason)

    def cannot_become_ready(self, reason: str) -> None:
        """Report during its start that it will not become ready, with the reason."""
        self._post(LifecycleEvent.CANNOT_BECOME_READY, reason)

    def explain(self, reason: str) -> None:
        """Set the reason why no start could be attempted."""
        if self._phase is Phase.STOPPED:
            self._show(reason=reason)

    def note_stop(self, *, again: bool) -> None:
        """Record an imminent stop, before signals are sent."""
        if self._run is not None:
            self._run.note(self._tools, wanted=again, ending=True)

    def left(self) -> None:
        """Report that it announced its end."""
        self._post(LifecycleEvent.LEFT)

    def notified(self, notice: Notice) -> None:
        """Handle an sd_notify message of one of its processes."""
        if notice.status is not None:
            self._notified_status = notice.status
            if self._phase in (Phase.STARTING, Phase.RUNNING, Phase.ALIVE):
                self._show(reason=notice.status)
        if notice.watchdog and self._phase.is_up:
            self._timer.extend(self.specification.policy.watchdog)
        if notice.stopping:
            self._post(LifecycleEvent.LEFT)
        if notice.ready and self.specification.readiness is Readiness.NOTIFY:
            self._post(LifecycleEvent.READY, self._notified_status)

    def output_trouble(self, reason: str) -> None:
        """Report why its output is lost; an empty reason means that it is kept again."""
        self._show(reason=f"its output is lost: {reason}" if reason else "")

    # Processes of the previous manager, and for the next one

    def adopt(self, record: ProcessRecord, identity: ProcessIdentity) -> None:
        """Adopt the process of `record`; raises `NoSuchProcess`.

        It is `starting` until its readiness is reported, or running if nothing would report it.
        """
        self._run = Attempt.adopt(self._tools, record, identity, self._exited)
        try:
            self.output.open()
        except CannotCapture as error:
            self._log.error(
                "the output of {component} is not read: {error}", component=self.id, error=error
            )
        self._events.append((LifecycleEvent.ADOPTED, "found running"))
        if self.specification.readiness is not Readiness.TOLD:
            self._events.append((LifecycleEvent.READY, ""))
        self._adopted_since, self._wanted = record.started, record.wanted
        self._set(pid=identity.pid, run_id=record.run_id, adopted=True, restarts=record.restarts)
        self._process_events()

    def clear_away(self, record: ProcessRecord, member: ProcessIdentity) -> None:
        """End what is left of the start of `record`, before a new start."""
        self._run, self._wanted = Attempt.remains(record, member), record.wanted
        self._post(LifecycleEvent.LEFTOVERS, _LEFTOVERS)

    def release_processes(self) -> None:
        """Stop watching; the processes and their record are for the next manager."""
        self._timer.drop()
        if self._phase is Phase.SPAWNING:
            self._cancel_start()
            self._tools.records.begin(self._new_record())
        if self._run is not None:
            self._run.release_processes()
        self._close_output()
        error = NotPossible(f"the manager releases {self.id}")
        self._ready.tell(error)
        self._stopped.tell(error)
        self._publish()

    def restarted_within(self, seconds: float) -> int:
        """Return the number of automatic restarts in the last `seconds`."""
        return self._restarts.within(seconds, self._tools.clock.seconds())

    # The timer

    def _on_timer(self, event: LifecycleEvent, reason: str | None) -> None:
        if event is LifecycleEvent.START_TIMEOUT and self._silence_reason:
            reason = f"{reason}: {self._silence_reason}"
        EventQueue._on_timer(self, event, reason)

    def _arm_start(self) -> None:
        readiness, policy = self.specification.readiness, self.specification.policy
        if readiness is Readiness.SURVIVAL:
            self._timer.arm(SURVIVAL, LifecycleEvent.READY, "")
            return
        self._timer.arm(
            policy.start_timeout, LifecycleEvent.START_TIMEOUT, not_ready(self.specification)
        )

    def _arm_watchdog(self) -> None:
        seconds = self.specification.policy.watchdog
        if seconds:
            reason = f"gave no sign to its watchdog for {seconds:g} s"
            self._timer.arm(seconds, LifecycleEvent.WATCHDOG_MISSED, reason)

    def _arm_slow_retry(self) -> None:
        self._timer.arm(
            self.specification.policy.slow_retry, LifecycleEvent.TRY_AGAIN, self._failure
        )

    def _arm_end_again(self) -> None:
        self._timer.arm(
            max(self.specification.policy.stop_timeout, 1.0), LifecycleEvent.END_AGAIN, None
        )

    # Starting

    def _spawn(self) -> None:
        self._was_up_for = 0.0
        self._starting.begin(self.specification)

    def _cancel_start(self) -> None:
        self._starting.cancel()

    def _spawn_now(self, program: Program) -> None:
        self._left_at, self._notified_status, self._silence_reason = None, "", ""
        try:
            given = self._tools, self.specification, program, self.output, self._exited
            run = Attempt.begin(*given, restarts=self.status.restarts)
        except CannotSpawn as error:
            self._cannot_spawn(str(error))
            return
        self._run, self._wanted, self._again = run, True, False
        self._set(pid=run.started.leader.pid, run_id=run.id, adopted=False, exit=None)
        self._post(LifecycleEvent.SPAWNED)

    def _cannot_spawn(self, reason: str) -> None:
        self._failure = reason
        self._set(pid=None, adopted=False, exit=None)
        self._post(LifecycleEvent.CANNOT_SPAWN, reason)

    # Ending

    def _exited(self, run: Attempt) -> None:
        if run is not self._run:
            return
        if run.exit is None:  # another process has taken the place of the first
            self._show(pid=run.started.leader.pid)
            return
        up_since = self._up_since if self._phase.is_up else None
        if not self._has_just_left() and run.follow(self._tools, self._exited, up_since):
            return
        ended = Ended(run.exit, announced=self._has_just_left())
        line, program = self.output.last_line(), self.specification.program
        words = ending(run.exit, line, program, was_ready=self._phase.is_up)
        self._set(pid=None, exit=run.exit)
        self._post(ended.event(self.specification.policy.restart), words)

    def _has_just_left(self) -> bool:
        return self._left_at is not None and self._tools.clock.seconds() - self._left_at <= LEAVE

    def _record_wanted(self) -> None:
        self._wanted = self._again
        if self._run is not None:
            self.note_stop(again=self._wanted)
        else:
            self._tools.records.begin(attrs.evolve(self._new_record(), wanted=self._wanted))

    def _new_record(self) -> ProcessRecord:
        return ProcessRecord.new(self.id, self._tools.now(), self.status.restarts)

    def _end_tree(self) -> None:
        assert self._run is not None
        self.note_stop(again=self._wanted)
        _ = Deferred.fromCoroutine(self._end(self._run)).addErrback(self._ending_failed)

    async def _end(self, run: Attempt) -> None:
        try:
            await run.end(self._tools.processes, self.specification.policy)
        except StillRunning as error:
            self._stuck_reason = str(error)
            self._post(LifecycleEvent.CANNOT_END, self._stuck_reason)
            return
        self._run = None
        is_over = self.status.reason in (_LEFTOVERS, self._stuck_reason)
        self._post(LifecycleEvent.ALL_ENDED, "" if is_over else None)

    def _ending_failed(self, failure: Failure) -> None:
        self._log.failure("{component} could not be ended", failure, component=self.id)
        self._post(LifecycleEvent.CANNOT_END, f"could not be ended: {failure.getErrorMessage()}")

    def _finish(self) -> None:
        if not self._wanted:
            self._tools.records.remove(self.id)
        self._close_output()

    def _close_output(self) -> None:
        _ = self.output.close().addErrback(
            lambda failure: self._log.failure("closing {id}'s output", failure, id=self.id)
        )

    # Counting

    def _plan_retry(self) -> None:
        policy, now = self.specification.policy, self._tools.clock.seconds()
        if policy.restart is Restart.NO:
            self._post(LifecycleEvent.NO_RESTART, self._failure)
            return
        plan = self._restarts.after_failure(policy, now, self._was_up_for)
        if isinstance(plan, GiveUp):
            self._post(LifecycleEvent.TOO_OFTEN, f"{plan.reason}: {self._failure}")
        elif plan.seconds <= 0:
            self._post(LifecycleEvent.TRY_AGAIN, self._failure)
        else:
            self._timer.arm(plan.seconds, LifecycleEvent.TRY_AGAIN, self._failure)
            self._set(reason=f"started again in {span(plan.seconds)}: {self._failure}")

    def _count_restart(self) -> None:
        self._restarts.started(self._tools.clock.seconds())
        self._set(restarts=self.status.restarts + 1)

    def _count_miss(self) -> None:
        self._misses += 1
        most = self.specification.policy.restart_after_misses
        if most and self._misses >= most:
            self._post(
                LifecycleEvent.MISSED_TOO_OFTEN, f"did not answer {self._misses} times in a row"
            )

    def _forget_misses(self) -> None:
        self._misses = 0

    def _forget_failures(self) -> None:
        self._restarts.forget()

    def _record_leaving(self) -> None:
        self._left_at = self._tools.clock.seconds()

    # Results

    def _report_ready(self) -> None:
        self._ready.tell()

    def _report_not_ready(self) -> None:
        reason = self.status.reason or "stopped before it was ready"
        self._ready.tell(StartFailed(f"{self.id} did not start: {reason}", reason))

    def _report_stopped(self) -> None:
        self._stopped.tell()

    def _report_stuck(self) -> None:
        self._stopped.tell(OperationFailed(f"{self.id}: {self.status.reason}"))
