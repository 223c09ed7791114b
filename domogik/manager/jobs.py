"""Jobs: long operations, queued by subject; equal requests share one job."""

from __future__ import annotations

import enum
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.components.events import EventStream
from domogik.errors import DomogikError

#: jobs that have ended are remembered, this many
KEPT = 200


class JobState(enum.Enum):
    """The state of a job."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@attrs.frozen
class Job:
    """One piece of work, as it is now. Times are Unix time in seconds, 0 for not yet.

    `kind` is a verb (`install`), `subject` what it is done to (`plugin-diskfree`), `stage` what it
    does at the moment, `percent` how much of that is done where anybody can tell.
    """

    id: int
    kind: str
    subject: str
    created: float
    state: JobState = JobState.QUEUED
    stage: str = ""
    percent: float | None = None
    error: str = ""
    started: float = 0.0
    ended: float = 0.0


@attrs.define(eq=False)
class Progress:
    """Reports the progress of a job."""

    _update: Callable[..., None]

    def stage(self, text: str, percent: float | None = None) -> None:
        """Set the current step, and its `percent` from 0 to 100 if known."""
        self._update(stage=text, percent=percent)


Work = Callable[[Progress], Awaitable[Any]]


@attrs.define(eq=False)
class _Entry:
    job: Job
    work: Work
    request: object
    queue: str
    waiting: list[Deferred[Any]] = attrs.field(factory=list)


@attrs.define(eq=False)
class Jobs:
    """Publishes `job.changed` {id, kind, subject, state, stage, percent, error} for each step."""

    _events: EventStream
    _now: Callable[[], float]
    _log: Logger = Logger()
    _last: int = 0
    _jobs: OrderedDict[int, Job] = attrs.field(factory=OrderedDict)
    _queues: dict[str, list[_Entry]] = attrs.field(factory=dict)

    def all(self) -> tuple[Job, ...]:
        """Return the jobs under way and the last that ended, newest first."""
        return tuple(reversed(self._jobs.values()))

    def get(self, job_id: int) -> Job | None:
        """Return the job with that number, None if it is not kept."""
        return self._jobs.get(job_id)

    def run(
        self,
        kind: str,
        subject: str,
        work: Work,
        request: object = None,
        queue: str | None = None,
    ) -> Deferred[Any]:
        """Do the work when every earlier job of that subject is done; fires with its result.

        `queue` is another name for what it waits for, where that is not the subject.

        Where a job of the same kind, subject and `request` waits or runs already, its result is
        this one's too and `work` is not called. Cancelling the Deferred cancels nothing.
        """
        name = queue or subject
        entries = self._queues.setdefault(name, [])
        waiting: Deferred[Any] = Deferred(lambda _: None)
        for entry in entries:
            if (entry.job.kind, entry.request) == (kind, request):
                entry.waiting.append(waiting)
                return waiting
        self._last += 1
        entry = _Entry(Job(self._last, kind, subject, self._now()), work, request, name, [waiting])
        entries.append(entry)
        self._keep(entry.job)
        if len(entries) == 1:
            self._begin(entries)
        return waiting

    def _begin(self, queue: list[_Entry]) -> None:
        entry = queue[0]
        self._change(entry, state=JobState.RUNNING, started=self._now())
        _ = Deferred.fromCoroutine(self._do(entry)).addBoth(self._ended, queue, entry)

    async def _do(self, entry: _Entry) -> Any:
        return await entry.work(Progress(lambda **changes: self._change(entry, **changes)))

    def _ended(self, result: Any, queue: list[_Entry], entry: _Entry) -> None:
        error = ""
        if isinstance(result, Failure):
            value = result.value
            error = value.words if isinstance(value, DomogikError) else result.getErrorMessage()
            error = error or type(value).__name__
            if not isinstance(value, DomogikError):
                self._log.failure("{kind} {subject}", result, kind=entry.job.kind)
        self._change(
            entry,
            state=JobState.FAILED if error else JobState.DONE,
            error=error,
            percent=None,
            ended=self._now(),
        )
        queue.remove(entry)
        if queue:
            self._begin(queue)
        else:
            self._queues.pop(entry.queue, None)
        for waiting in entry.waiting:
            if not waiting.called:
                waiting.callback(result)

    def _change(self, entry: _Entry, **changes: Any) -> None:
        entry.job = attrs.evolve(entry.job, **changes)
        self._keep(entry.job)

    def _keep(self, job: Job) -> None:
        self._jobs[job.id] = job
        for old in list(self._jobs.values()):
            if len(self._jobs) <= KEPT:
                break
            if old.ended:
                del self._jobs[old.id]
        self._events.publish(
            "job.changed",
            id=job.id,
            kind=job.kind,
            subject=job.subject,
            state=job.state.value,
            stage=job.stage,
            percent=job.percent,
            error=job.error,
        )
