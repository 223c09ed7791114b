"""What can be asked about health: is it healthy, if not why, and what is done about it?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domogik.components.model import Component
from domogik.errors import NoAnswer, NotPossible, UnknownComponent
from domogik.manager.health.issues import Issue
from domogik.manager.operations import answers
from domogik.manager.operations.parameters import InvalidParameter
from domogik.manager.operations.table import (
    COMPONENT,
    ISSUE,
    NAMING,
    ONE_HOST,
    Context,
    Where,
    operation,
)

_LOOK: dict[str, Any] = {"errors": (*NAMING, NoAnswer), "job": Where.HERE}


@operation(
    "component.diagnose",
    "POST /components/{id}/diagnose",
    answers.CHECK_LIST,
    subject=COMPONENT,
    **_LOOK,
)
async def diagnose(context: Context, component: Component) -> dict[str, Any]:
    """Run every check of it.

    Every kind of component, and `host:<host>` and `repository:<url>`. On another host it is waited
    for.
    """
    checks = await context.all_hosts.diagnose(component)
    return {"id": component.id, "host": component.host, "checks": checks}


@operation(
    "host.diagnose",
    "POST /diagnosis",
    answers.DIAGNOSIS,
    identifier="diagnose",
    subject=ONE_HOST,
    **_LOOK,
)
async def diagnose_all(context: Context, host: Component) -> dict[str, Any]:
    """Look at everything on a host.

    Of another host the answer holds as much as one message does: what did not pass comes first.
    """
    checks = await context.all_hosts.diagnose_all(host.name)
    is_here = host.name == context.all_hosts.host
    return {"host": host.name, "taken": _taken(context) if is_here else 0.0, "checks": checks}


@operation(
    "host.diagnosis",
    "GET /diagnosis",
    answers.DIAGNOSIS,
    identifier="getDiagnosis",
    errors=(NotPossible,),
)
async def last_diagnosis(context: Context) -> dict[str, Any]:
    """What the last look at each component of this host found.

    `taken` is when the newest of them was taken, null before the first.
    """
    checks = [check for look in context.health.looks() for check in look.checks]
    return {"host": context.all_hosts.host, "taken": _taken(context), "checks": checks}


def _taken(context: Context) -> float:
    return max((look.taken for look in context.health.looks()), default=0.0)


@operation(
    "issue.list",
    "GET /issues",
    answers.ISSUE_LIST,
    identifier="listIssues",
    errors=(NotPossible,),
)
async def list_issues(context: Context) -> dict[str, Any]:
    """What is wrong on this host, the oldest first."""
    return {"host": context.all_hosts.host, "issues": context.health.issues()}


@operation(
    "issue.repair",
    "POST /issues/{issue}/repair",
    answers.REPAIR,
    subject=ISSUE,
    body=answers.REPAIR_ORDER,
    errors=(UnknownComponent, NotPossible),
    job=Where.HERE,
)
async def repair(context: Context, issue: Issue, body: Mapping[str, object]) -> dict[str, Any]:
    """Carry out a suggestion, and look again.

    `action` is one of the issue's suggestions that are `repairable`, by default the first. What has
    passed meanwhile is left alone.
    """
    action = body.get("action")
    if body.keys() - {"action"} or not isinstance(action, str | None):
        raise InvalidParameter('The body is {"action": <the word of a suggestion>}, or {}')
    after = await context.health.repair(issue.id, action)
    return {"id": issue.id, "closed": after is None, "issue": after}
