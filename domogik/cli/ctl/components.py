"""How are components shown on a terminal? From the documents of `/api/v1`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from domogik.cli.session import Terminal
from domogik.cli.terminal import (
    DIM,
    GREEN,
    RED,
    YELLOW,
    Cell,
    Palette,
    printable,
    since,
    size,
    table,
)

Document = Mapping[str, Any]

_COLOURS = {
    "alive": GREEN,
    "running": GREEN,
    "starting": YELLOW,
    "stopping": YELLOW,
    "backoff": YELLOW,
    "not-responding": RED,
    "failed": RED,
    "stopped": DIM,
    "disabled": DIM,
    "unknown": DIM,
}
_YES_NO = {True: "yes", False: "no", None: "-"}


def table_of(documents: Sequence[Document], now: datetime, palette: Palette) -> str:
    """A line each; the column HOST only where there are several."""
    several = len({document["host"] for document in documents}) > 1
    titles = ["COMPONENT", "STATE", "ENABLED", "PID", "SINCE", "RESTARTS", "CPU", "MEM", "REASON"]
    rows = [_row(document, now) for document in documents]
    if several:
        titles.insert(0, "HOST")
        for row, document in zip(rows, documents, strict=True):
            row.insert(0, Cell(document["host"]))
    return table(titles, rows, palette)


def _row(document: Document, now: datetime) -> list[Cell]:
    state = document["state"]
    return [
        Cell(document["id"]),
        Cell(state, _COLOURS.get(state, "")),
        Cell(_YES_NO.get(document["enabled"], "-")),
        Cell("-" if document["pid"] is None else document["pid"]),
        Cell(since(document["since"], now)),
        Cell(document["restarts"]),
        *_usage(document),
        Cell(document["reason"]),
    ]


def _usage(document: Document) -> tuple[Cell, Cell]:
    """Of one core, and resident, as sampled last."""
    used = document.get("usage")
    if used is None:
        return Cell("-"), Cell("-")
    return Cell(f"{used['cpu_percent']:.0f}%"), Cell(size(used["memory_bytes"]))


def sentence(document: Document, palette: Palette) -> str:
    """What came of an order: `plugin:demo: alive, enabled (pid 4711)`."""
    state = document["state"]
    words = [palette.paint(printable(state), _COLOURS.get(state, ""))]
    if document["enabled"] and state != "disabled":
        words.append("enabled")
    elif document["enabled"] is False and state != "disabled":
        words.append("not enabled")
    pid = "" if document["pid"] is None else f" (pid {document['pid']})"
    reason = f": {printable(document['reason'])}" if document["reason"] else ""
    return f"{printable(document['id'])}: {', '.join(words)}{pid}{reason}"


def said(terminal: Terminal, document: Document) -> str:
    """What is printed of the answer to an operation: its words, else how the component is."""
    says: str = terminal.options.operation.says
    return says.format(**document) if says else sentence(document, terminal.palette)
