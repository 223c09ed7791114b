"""`/diagnosis`, `/issues`, `/components/<id>/diagnose`: is it healthy, if not why, what to do."""

from __future__ import annotations

import json
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime

from domogik.api.access import Need
from domogik.api.checks import encoded
from domogik.api.http.exchange import BadRequest, Reply
from domogik.api.v1.components import HOST, NAMING, ONE, find
from domogik.api.v1.jobs import WAIT, carried_out
from domogik.api.v1.routes import BASE, JSON, Asked, Route, json_reply
from domogik.api.v1.shapes.components import iso_time, named
from domogik.api.v1.shapes.health import issue_json, repair_json
from domogik.components.health import DiagnosticCheck
from domogik.components.model import Component
from domogik.errors import NotPossible
from domogik.manager.health.centre import Health, Issue
from domogik.manager.interfaces import IAllHosts

_NO_STORE = (("Cache-Control", "no-store"),)


@attrs.define(eq=False)
class HealthRoutes:
    """Looking at one or all, what was found last, and repair."""

    _clock: IReactorTime
    _all_hosts: IAllHosts

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (*self._looking(), *self._of_issues())

    def _looking(self) -> tuple[Route, ...]:
        return (
            Route(
                "POST",
                f"{ONE}/diagnose",
                "diagnoseComponent",
                "Run every check of it",
                self.one,
                {JSON: named("CheckList")},
                need=Need.CHANGE,
                query=(HOST, WAIT),
                accepted=named("Job"),
                errors=(*NAMING, 504),
                description=(
                    "Every kind of component, and `host:<host>` and `repository:<url>`. On another "
                    "host it is waited for."
                ),
            ),
            Route(
                "POST",
                f"{BASE}/diagnosis",
                "diagnose",
                "Look at everything on a host",
                self.all,
                {JSON: named("Diagnosis")},
                need=Need.CHANGE,
                query=(HOST, WAIT),
                accepted=named("Job"),
                errors=(*NAMING, 504),
                description=(
                    "Of another host the answer holds as much as one message does: what did not "
                    "pass comes first."
                ),
            ),
            Route(
                "GET",
                f"{BASE}/diagnosis",
                "getDiagnosis",
                "What the last look at each component of this host found",
                self.last,
                {JSON: named("Diagnosis")},
                errors=(409,),
                description="`taken` is when the newest of them was taken, null before the first.",
            ),
        )

    def _of_issues(self) -> tuple[Route, ...]:
        return (
            Route(
                "GET",
                f"{BASE}/issues",
                "listIssues",
                "What is wrong on this host, the oldest first",
                self.issues,
                {JSON: named("IssueList")},
                errors=(409,),
            ),
            Route(
                "POST",
                f"{BASE}/issues/{{issue}}/repair",
                "repairIssue",
                "Carry out a suggestion, and look again",
                self.repair,
                {JSON: named("Repair")},
                need=Need.CHANGE,
                query=(WAIT,),
                body=named("RepairOrder"),
                accepted=named("Job"),
                errors=(404, 409),
                description=(
                    "`action` is one of the issue's suggestions that are `repairable`, by default "
                    "the first. What has passed meanwhile is left alone."
                ),
            ),
        )

    # Looking

    async def one(self, asked: Asked) -> Reply:
        """Every check of it."""
        component = find(self._all_hosts, asked)
        found: list[DiagnosticCheck] = []

        async def look() -> None:
            found.extend(await self._all_hosts.diagnose(component))

        reply = await self._carried_out(asked, component, look)
        if reply is not None:
            return reply
        head: dict[str, object] = {"id": str(component.id), "host": component.host}
        return await self._shown(head, found)

    async def all(self, asked: Asked) -> Reply:
        """With `taken` of now."""
        host = asked.text("host") or self._all_hosts.host
        component = self._all_hosts.find(f"host:{host}")
        found: list[DiagnosticCheck] = []

        async def look() -> None:
            found.extend(await self._all_hosts.diagnose_all(host))

        reply = await self._carried_out(asked, component, look)
        if reply is not None:
            return reply
        return await self._shown({"host": host, "taken": iso_time(self._taken(host))}, found)

    async def _carried_out(
        self, asked: Asked, component: Component, look: Callable[[], Coroutine[Any, Any, None]]
    ) -> Reply | None:
        """The job where one was asked for; None when it is done."""
        if component.host != self._all_hosts.host or asked.flag("wait", default=True):
            await look()
            return None
        over = Reply(200, b"", JSON)
        reply = await carried_out(asked, self._health, str(component.id), look, lambda _: over)
        return None if reply is over else reply

    def _taken(self, host: str) -> float:
        if host != self._all_hosts.host:
            return 0.0
        return max((look.taken for look in self._health.looks()), default=0.0)

    async def last(self, asked: Asked) -> Reply:
        """From memory."""
        health = self._health
        checks = [check for look in health.looks() for check in look.checks]
        taken = iso_time(self._taken(self._all_hosts.host))
        return await self._shown({"host": self._all_hosts.host, "taken": taken}, checks)

    async def _shown(self, head: dict[str, object], checks: Sequence[DiagnosticCheck]) -> Reply:
        array = await encoded(self._clock, checks)
        body = b'%s, "checks": %s}' % (json.dumps(head).encode("ascii")[:-1], array)
        return Reply(200, body, JSON, _NO_STORE)

    # Issues

    async def issues(self, asked: Asked) -> Reply:
        """From memory."""
        issues = [issue_json(issue) for issue in self._health.issues()]
        return json_reply({"host": self._all_hosts.host, "issues": issues})

    async def repair(self, asked: Asked) -> Reply:
        """A job."""
        health, issue_id = self._health, asked["issue"]
        order = asked.body()
        action = order.get("action")
        if order.keys() - {"action"} or not isinstance(action, str | None):
            raise BadRequest('The body is {"action": <the word of a suggestion>}, or {}')

        async def work() -> Issue | None:
            return await health.repair(issue_id, action)

        return await carried_out(
            asked,
            health,
            health.issue(issue_id).component,
            work,
            lambda after: json_reply(repair_json(issue_id, after)),
        )

    @property
    def _health(self) -> Health:
        health: Health | None = self._all_hosts.health
        if health is None:
            raise NotPossible("Health is a manager's, and REST runs here without one")
        return health
