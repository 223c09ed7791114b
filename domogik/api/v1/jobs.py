"""Orders whose end a client need not wait for: the answer is 202 and a job then."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from domogik.manager.jobs import Job
from domogik.manager.operations.table import Order


async def result_or_job(
    clock: IReactorTime, order: Order, patience_s: float | None
) -> tuple[Any, Job | None]:
    """What the order comes to; or its job, where the client does not wait, or after `patience_s`.

    Who asks for what is under way gets the job that does it.
    """
    waits, jobs = order.values["wait"], order.context.all_hosts.jobs
    if waits and patience_s is None:
        return await order.begin(), None
    before = {job.id for job in jobs()}
    doing: Deferred[Any] = Deferred.fromCoroutine(order.begin())  # type: ignore[arg-type]
    job = _job(jobs(), before, order.job_subject)
    if job is None or doing.called:
        return await doing, None
    if waits and patience_s is not None:
        try:
            return await _within(clock, patience_s, doing), None
        except TimeoutError:
            job = next((one for one in jobs() if one.id == job.id), job)
    # how it ends, the job tells
    _ = doing.addErrback(lambda _: None)
    return None, job


def _within(clock: IReactorTime, seconds: float, doing: Deferred[Any]) -> Deferred[Any]:
    """What it ends in, or `TimeoutError`; then it goes on all the same."""
    waiting: Deferred[Any] = Deferred()

    def ended(result: Any) -> None:
        if timer.active():
            timer.cancel()
            waiting.callback(result)

    timer = clock.callLater(seconds, lambda: waiting.errback(TimeoutError()))
    _ = doing.addBoth(ended)
    return waiting


def _job(jobs: tuple[Job, ...], before: set[int], subject: str | None) -> Job | None:
    """The one that was just begun, else the one under way that this request joined."""
    for job in jobs:
        if job.id not in before:
            return job
    for job in jobs:
        if not job.ended and subject in (None, job.subject):
            return job
    return None
