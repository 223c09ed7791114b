"""`dmg_ctl diagnose`, `issues` and `repair`: is it healthy, if not why, and what can be done?"""

from __future__ import annotations

import argparse
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from domogik.cli.client import CHANGE_TIMEOUT_S, RequestRefused, component_path
from domogik.cli.pkgmgr.orders import Orders
from domogik.cli.program import FAILED, CommandFailed, complain
from domogik.cli.progress import ProgressLine, wants_progress
from domogik.cli.session import Terminal
from domogik.cli.terminal import (
    DIM,
    GREEN,
    RED,
    YELLOW,
    Cell,
    Palette,
    now,
    printable,
    since,
    table,
)

NAME = "dmg_ctl"
Document = Mapping[str, Any]
Work = Callable[[Terminal], int]

_COLOURS = {
    "passed": GREEN,
    "warning": YELLOW,
    "failed": RED,
    "error": RED,
    "skipped": DIM,
    "not_done": DIM,
}
_BAD = ("failed", "error")
_ISSUES = ("warning", *_BAD)
_ELSEWHERE = "Not available from another host: ask REST there with --url"


def diagnose(terminal: Terminal) -> int:
    """`diagnose`: everything, or the components that are named; 1 where something failed."""
    terminal.check_host()
    checks, is_complete = _checks(terminal)
    if terminal.options.json:
        terminal.say_json(checks)
    else:
        _show(terminal, checks)
    return 0 if is_complete and not any(one["result"] in _BAD for one in checks) else FAILED


def _checks(terminal: Terminal) -> tuple[list[Document], bool]:
    """Of everybody who was asked for, and whether everybody could be asked."""
    options = terminal.options
    if not options.components:
        return _all(terminal), True
    checks: list[Document] = []
    is_complete = True
    for name in options.components:
        try:
            answer = terminal.client.begin(
                "POST", component_path(name, "diagnose"), CHANGE_TIMEOUT_S, host=options.host
            )
            checks += answer.document()["checks"]
        except RequestRefused as error:
            complain(NAME, f"{name}: {error}" if name not in str(error) else str(error))
            is_complete = False
    return checks, is_complete


def _all(terminal: Terminal) -> list[Document]:
    """With a line on a terminal that says how far it is."""
    wanted = wants_progress(os.environ) and not terminal.options.json
    orders = Orders(terminal, ProgressLine(wanted))
    done = orders.order("/diagnosis", host=terminal.options.host)
    if "checks" not in done:
        done = terminal.client.get("/diagnosis")
    checks: list[Document] = done["checks"]
    return checks


def _show(terminal: Terminal, checks: Sequence[Document]) -> None:
    shown = [one for one in checks if one["result"] in _ISSUES or not terminal.options.problems]
    known = _known_issues(terminal) if any(one["result"] in _ISSUES for one in shown) else {}
    if shown:
        terminal.say(_table(shown, known, terminal.palette))
    counts = Counter(one["result"] for one in checks)
    words = [
        terminal.palette.paint(f"{counts[result]} {result.replace('_', ' ')}", colour)
        for result, colour in _COLOURS.items()
        if counts[result]
    ]
    terminal.say(f"{len(checks)} checks: {', '.join(words) or 'nothing to look at'}")


def _known_issues(terminal: Terminal) -> dict[tuple[str, str], str]:
    """Component and check -> the issue; those of other hosts are not known here."""
    if terminal.options.host not in (None, terminal.client.get("/hosts")["host"]):
        return {}
    found = terminal.client.get("/issues")["issues"]
    return {_key(one["check"]): one["id"] for one in found}


def _key(check: Document) -> tuple[str, str]:
    return check["component_id"] or "", check["check_id"]


def _table(
    checks: Sequence[Document], known: Mapping[tuple[str, str], str], palette: Palette
) -> str:
    rows = [
        [
            Cell(check["component_id"] or ""),
            Cell(check["result"], _COLOURS.get(check["result"], "")),
            Cell(_described(check)),
            Cell(_advice(check, known.get(_key(check)))),
        ]
        for check in checks
    ]
    return table(["COMPONENT", "RESULT", "DESCRIPTION", "WHAT TO DO"], rows, palette, prose=2)


def _described(check: Document) -> str:
    """With the reason that it came out so, where the description does not hold it."""
    finding: str = check.get("finding", "")
    if finding:
        return finding
    description: str = check["description"]
    reason = check["parameters"].get("reason")
    if check["result"] == "passed" or not reason or str(reason) in description:
        return description
    return f"{description}: {reason}"


def _advice(check: Document, issue: str | None) -> str:
    """Everything that may help; what one call does comes with that call."""
    if check["result"] not in _ISSUES:
        return ""
    words = []
    for place, one in enumerate(check["suggestions"]):
        call = ""
        if one["repairable"] and issue is not None:
            is_first = not any(earlier["repairable"] for earlier in check["suggestions"][:place])
            action = "" if is_first else f" {one['action']}"
            call = f" ({NAME} repair {issue}{action})"
        words.append(f"{one['sentence']}{call}")
    return "; ".join(words)


def issues(terminal: Terminal) -> int:
    """`issues`: those that are open, the oldest first."""
    refuse_other_hosts(terminal)
    found = terminal.client.get("/issues")["issues"]
    if terminal.options.json:
        terminal.say_json(found)
        return 0
    moment = now()
    rows = [
        [
            Cell(one["id"]),
            Cell(one["component"]),
            Cell(one["check"]["result"], _COLOURS.get(one["check"]["result"], "")),
            Cell(since(one["opened"], moment)),
            Cell(_described(one["check"])),
            Cell(_advice(one["check"], one["id"])),
        ]
        for one in found
    ]
    titles = ["ISSUE", "COMPONENT", "RESULT", "SINCE", "DESCRIPTION", "WHAT TO DO"]
    if rows:
        terminal.say(table(titles, rows, terminal.palette, prose=2))
    else:
        terminal.say("No issue is open")
    return 0


def repair(terminal: Terminal) -> int:
    """`repair`: 1 where the issue is still open afterwards."""
    refuse_other_hosts(terminal)
    options = terminal.options
    order = {} if options.action is None else {"action": options.action}
    path = f"/issues/{quote(options.issue, safe='', errors='surrogateescape')}/repair"
    done = terminal.client.send(path, order, CHANGE_TIMEOUT_S)
    if options.json:
        terminal.say_json(done)
    elif done["closed"]:
        terminal.say(f"{printable(done['id'])}: {terminal.palette.paint('closed', GREEN)}")
    else:
        description = printable(_described(done["issue"]["check"]))
        still = terminal.palette.paint("still open", RED)
        terminal.say(f"{printable(done['id'])}: {still}: {description}")
    return 0 if done["closed"] else FAILED


def refuse_other_hosts(terminal: Terminal) -> None:
    """Raises `CommandFailed` where another host is meant than the one that is asked."""
    host = terminal.options.host
    if host is not None and host != terminal.client.get("/hosts")["host"]:
        raise CommandFailed(_ELSEWHERE)


def add_commands(
    command: Callable[[str, str, Work], argparse.ArgumentParser],
    component: Callable[[str], str],
) -> None:
    """`command` makes one, with what all of them take; `component` reads the name of one."""
    one = command(
        "diagnose", "run every check of components; of all, where none is named", diagnose
    )
    one.add_argument("components", nargs="*", type=component, metavar="COMPONENT")
    one.add_argument("-p", "--problems", action="store_true", help="show only what did not pass")
    command("issues", "what is wrong, since when, and what can be done", issues)
    one = command("repair", "carry out what an issue suggests, and look again", repair)
    one.add_argument("issue", type=component, metavar="ISSUE")
    one.add_argument("action", nargs="?", metavar="ACTION", help="by default the first that helps")
