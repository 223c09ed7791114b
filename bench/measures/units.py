"""units: the status of 100 units of systemd, beside what `systemctl show` itself takes."""

from __future__ import annotations

import statistics

from bench import units
from bench.run import Run


def run(run: Run) -> None:
    try:
        with units.prefix() as before:
            units.show(before)
            for turn in run.each_turn():
                _turn(run, turn, before)
    except units.Unavailable as error:
        run.left_out["domogik"] = str(error)


def _turn(run: Run, turn: int, before: tuple[str, ...]) -> None:
    calls: list[tuple[float, float]] = []
    shown: list[float] = []
    for part in (calls, shown) if turn % 2 else (shown, calls):
        if part is calls:
            calls += units.back_end(before)
        else:
            shown += [units.show(before) for _ in range(units.CALLS)]
    ours = statistics.median(took for took, _ in calls)
    theirs = statistics.median(shown)
    run.add("domogik", "status of 100 units", ours * 1000, "ms", turn)
    run.add("systemctl", "status of 100 units", theirs * 1000, "ms", turn)
    run.add("domogik", "more than systemctl show", (ours - theirs) * 1000, "ms", turn)
    run.add(
        "domogik", "reactor time", statistics.median(cpu for _, cpu in calls) * 1000, "ms", turn
    )
