"""Writes the life-cycle table as a page of documentation.

`python -m domogik.supervisor.lifecycle.diagram > docs/reference/lifecycle.md`
"""

from __future__ import annotations

import sys

from domogik.supervisor.lifecycle.table import TABLE, LifecycleEvent, Phase

_HEAD = """\
# The life cycle of a component

Drawn from the table in `domogik/supervisor/lifecycle/table.py` by
`python -m domogik.supervisor.lifecycle.diagram`; a test compares them.

`SPAWNING` is shown as the state `starting`: the component waits for its turn and has no process
yet. `FAILING` is shown as `stopping`: the component has failed, and its remaining processes are
being ended before it is tried again. Two more states are not in this table, because the manager
gives them: `disabled` (not running and not enabled) and `unknown`.
"""


def document() -> str:
    """Return the page, in Markdown with a Mermaid diagram."""
    return "\n".join([_HEAD, *_diagram(), "", *_table()]) + "\n"


def _diagram() -> list[str]:
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {Phase.STOPPED.name}"]
    for phase, row in TABLE.items():
        reasons: dict[Phase, list[LifecycleEvent]] = {}
        for event, (after, _) in row.items():
            if after is not phase:
                reasons.setdefault(after, []).append(event)
        for after, events in reasons.items():
            words = ", ".join(event.value for event in events)
            lines.append(f"    {phase.name} --> {after.name}: {words}")
    return [*lines, "```"]


def _table() -> list[str]:
    lines = ["| in | when | then | and |", "| --- | --- | --- | --- |"]
    for phase, row in TABLE.items():
        for event, (after, actions) in row.items():
            does = ", ".join(action.name.lower().replace("_", " ") for action in actions)
            then = "" if after is phase else after.name
            lines.append(f"| {phase.name} | {event.value} | {then} | {does} |")
    return lines


if __name__ == "__main__":
    sys.stdout.write(document())
