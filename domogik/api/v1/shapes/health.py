"""How do checks and issues look in JSON? Each shape beside its schema."""

from __future__ import annotations

from domogik.api.v1.routes import Schema
from domogik.api.v1.shapes.components import BOOLEAN, TEXT, TIME, iso_time, listed, named, record
from domogik.components.health import Result
from domogik.manager.health.centre import Issue

HEALTH_SCHEMAS: dict[str, Schema] = {
    "Suggestion": record(action=TEXT, sentence=TEXT, repairable=BOOLEAN),
    "Check": record(
        __class__=TEXT,
        check_id=TEXT,
        description=TEXT,
        template=TEXT,
        result={"type": "string", "enum": [result.value for result in Result]},
        parameters={"type": "object"},
        component_id={"type": ["string", "null"]},
        suggestions=listed(named("Suggestion")),
        finding=TEXT,
    ),
    "CheckList": record(id=TEXT, host=TEXT, checks=listed(named("Check"))),
    "Diagnosis": record(host=TEXT, taken=TIME, checks=listed(named("Check"))),
    "Issue": record(id=TEXT, component=TEXT, opened=TIME, seen=TIME, check=named("Check")),
    "IssueList": record(host=TEXT, issues=listed(named("Issue"))),
    "Repair": record(id=TEXT, closed=BOOLEAN, issue={"oneOf": [named("Issue"), {"type": "null"}]}),
    "RepairOrder": {
        "type": "object",
        "properties": {"action": TEXT},
        "additionalProperties": False,
    },
}


def issue_json(issue: Issue) -> dict[str, object]:
    """`Issue`."""
    return {
        "id": issue.id,
        "component": issue.component,
        "opened": iso_time(issue.opened),
        "seen": iso_time(issue.seen),
        "check": issue.check.to_json(),
    }


def repair_json(issue_id: str, after: Issue | None) -> dict[str, object]:
    """`Repair`."""
    shown = None if after is None else issue_json(after)
    return {"id": issue_id, "closed": after is None, "issue": shown}
