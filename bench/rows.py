"""Figures: one row each, and the arithmetic on them."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
#: turn -> its values
Turns = dict[int, list[float]]


def select(rows: Iterable[Row], who: str, figure: str, params: dict[str, Any]) -> Turns:
    """The values of one figure of one contestant, where the parameters are these."""
    found: defaultdict[int, list[float]] = defaultdict(list)
    for row in rows:
        if (
            row["who"] == who
            and row["figure"] == figure
            and params.items() <= row["params"].items()
        ):
            found[row["turn"]].append(row["value"])
    return dict(found)


def median(turns: Turns) -> float:
    """Of all values."""
    return statistics.median(value for values in turns.values() for value in values)


def ratios(turns: Turns, base: Turns) -> list[float]:
    """Turn by turn, of the median in each; turns that only one of them has do not count."""
    return [
        statistics.median(turns[turn]) / statistics.median(base[turn])
        for turn in sorted(turns.keys() & base.keys())
        if statistics.median(base[turn])
    ]


def table(rows: Iterable[Row], base: str) -> str:
    """Everything that was measured: median, least and greatest, and the ratio to `base`."""
    groups: dict[tuple[str, str], dict[str, Turns]] = {}
    for row in rows:
        params = ", ".join(f"{key} {value}" for key, value in row["params"].items())
        unit = f" ({row['unit']})" if row["unit"] else ""
        group = groups.setdefault((row["figure"] + unit, params), {})
        group.setdefault(row["who"], {}).setdefault(row["turn"], []).append(row["value"])
    out = []
    for (figure, params), group in groups.items():
        out.append(f"\n{figure}; {params}" if params else f"\n{figure}")
        for who, turns in group.items():
            values = [value for turn in turns.values() for value in turn]
            spread = f"{number(min(values))} - {number(max(values))}" if len(values) > 1 else ""
            line = f"  {who:22} {number(median(turns)):>10}  {spread:20}"
            pairs = ratios(turns, group[base]) if base in group and who != base else []
            out.append(line + (f" {statistics.median(pairs):6.2f} x {base}" if pairs else ""))
    return "\n".join(line.rstrip() for line in out)


def number(value: float) -> str:
    """Three figures, or all of a whole number."""
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:,.0f}"
