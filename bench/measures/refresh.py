"""refresh: 1,000 packages behind 20 ms of latency, beside a client that asks one by one."""

from __future__ import annotations

from bench import refresh
from bench.run import Run

PACKAGES = 1000
LATENCY = 0.02


def run(run: Run) -> None:
    with refresh.repository(PACKAGES, LATENCY) as port:
        for turn in run.each_turn():
            row = refresh.turn(port, turn, PACKAGES)
            for connections in refresh.CONNECTIONS:
                given = {"connections": connections}
                limit = PACKAGES / (-(-2 * PACKAGES // connections) * LATENCY)
                for who, seconds in (
                    ("domogik", row[str(connections)]),
                    ("one by one", row["one"]),
                ):
                    run.add(who, "packages", PACKAGES / seconds, "1/s", turn, **given)
                run.add("latency alone", "packages", limit, "1/s", turn, **given)
            run.add("domogik", "one archive", PACKAGES / row["archive"], "1/s", turn)
            run.add("domogik", "unchanged: requests", row["unchanged"], "", turn)
