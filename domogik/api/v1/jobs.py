"""`/jobs`: what takes its time; and orders whose end nobody waits for."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from domogik.api.http.exchange import Reply
from domogik.api.package_access import PackageAccess
from domogik.api.v1.problems import NoSuchPath
from domogik.api.v1.routes import BASE, FLAG, JSON, Asked, Parameter, Route, json_reply
from domogik.api.v1.shapes.components import named
from domogik.api.v1.shapes.packages import job_json
from domogik.manager.jobs import Job

WAIT = Parameter(
    "wait",
    "With `no` the answer is 202 and the job, at once; its end is an event `job.changed`.",
    {**FLAG, "default": True},
)


@attrs.define(eq=False)
class JobRoutes:
    """Under way, and the last that ended."""

    _package_access: PackageAccess

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (
            Route(
                "GET",
                f"{BASE}/jobs",
                "listJobs",
                "What is under way, and what ended last; newest first",
                self.list,
                {JSON: named("JobList")},
            ),
            Route(
                "GET",
                f"{BASE}/jobs/{{job}}",
                "getJob",
                "One of them",
                self.get,
                {JSON: named("Job")},
                errors=(404,),
            ),
        )

    async def list(self, asked: Asked) -> Reply:
        """Newest first."""
        jobs = self._package_access.jobs()
        return json_reply({"jobs": [job_json(job) for job in jobs]})

    async def get(self, asked: Asked) -> Reply:
        """By its number."""
        for job in self._package_access.jobs():
            if str(job.id) == asked["job"]:
                return json_reply(job_json(job))
        raise NoSuchPath(f"There is no job {asked['job']}, or it ended long ago")


class _Jobs(Protocol):
    def jobs(self) -> tuple[Job, ...]: ...


async def carried_out(
    asked: Asked,
    packages: _Jobs,
    subject: str | None,
    work: Callable[[], Coroutine[Deferred[Any], Any, Any]],
    done: Callable[[Any], Reply],
    patience: Patience | None = None,
) -> Reply:
    """What `done` says of the result; or the job that does it: with `wait=no`, or after `patience`.

    `subject` is what the job is about, so that who asks for what is under way gets that one.
    """
    if asked.flag("wait", default=True) and patience is None:
        return done(await work())
    before = {job.id for job in packages.jobs()}
    doing: Deferred[Any] = Deferred.fromCoroutine(work())
    job = _job(packages.jobs(), before, subject)
    if job is None or doing.called:
        return done(await doing)
    if asked.flag("wait", default=True) and patience is not None:
        try:
            return done(await patience.result(doing))
        except TimeoutError:
            job = next((one for one in packages.jobs() if one.id == job.id), job)
    # how it ends, the job tells
    _ = doing.addErrback(lambda _: None)
    reply = json_reply(job_json(job), 202)
    where = ("Location", f"{BASE}/jobs/{job.id}")
    return attrs.evolve(reply, headers=(*reply.headers, where))


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


def _job(jobs: tuple[Job, ...], before: set[int], subject: str | None) -> Job | None:
    """The one that was just begun, else the one under way that this request joined."""
    for job in jobs:
        if job.id not in before:
            return job
    for job in jobs:
        if not job.ended and subject in (None, job.subject):
            return job
    return None
