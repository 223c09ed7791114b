"""Orders whose end a client need not wait for: the answer is 202 and a job then."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from domogik.manager.jobs import Job
from domogik.manager.operations.table import Context


@attrs.frozen
class Patience:
    """How long an order to another host is waited for before the answer is its job."""

    clock: IReactorTime
    seconds: float

    def result(self, doing: Deferred[Any]) -> Deferred[Any]:
        """What it ends in, or `TimeoutError`; then it goes on all the same."""
        waiting: Deferred[Any] = Deferred()

        def ended(result: Any) -> None:
            if timer.active():
                timer.cancel()
                waiting.callback(result)

        timer = self.clock.callLater(self.seconds, lambda: waiting.errback(TimeoutError()))
        _ = doing.addBoth(ended)
        return waiting


async def result_or_job(
    context: Context,
    begin: Callable[[], Awaitable[Any]],
    subject: str | None,
    *,
    waits: bool,
    patience: Patience | None = None,
) -> tuple[Any, Job | None]:
    """What the order comes to; or its job, where the client does not wait, or after `patience`.

    `subject` is what the job is about, so that who asks for what is under way gets that one.
    """
    if waits and patience is None:
        return await begin(), None
    before = {job.id for job in context.jobs()}
    doing: Deferred[Any] = Deferred.fromCoroutine(begin())  # type: ignore[arg-type]
    job = _job(context.jobs(), before, subject)
    if job is None or doing.called:
        return await doing, None
    if waits and patience is not None:
        try:
            return await patience.result(doing), None
        except TimeoutError:
            job = next((one for one in context.jobs() if one.id == job.id), job)
    # how it ends, the job tells
    _ = doing.addErrback(lambda _: None)
    return None, job


def _job(jobs: tuple[Job, ...], before: set[int], subject: str | None) -> Job | None:
    """The one that was just begun, else the one under way that this request joined."""
    for job in jobs:
        if job.id not in before:
            return job
    for job in jobs:
        if not job.ended and subject in (None, job.subject):
            return job
    return None
