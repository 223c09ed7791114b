"""diagnosis: 200 components looked at from all sides, and what the reactor does meanwhile.

`idle` is how late its ticks are on this machine while it has nothing to do.
"""

from __future__ import annotations

from bench import diagnosis
from bench.run import Run


def run(run: Run) -> None:
    for turn in run.each_turn():
        with diagnosis.server() as server:
            for when in ("first", "again"):
                server.blocks()
                server.idle()
                idle, _ = server.blocks()
                seconds, checks = server.diagnose()
                late, longest = server.blocks()
                given = {"components": diagnosis.COMPONENTS, "time": when}
                run.add("domogik", "looked at", seconds, "s", turn, **given)
                run.add("domogik", "latest tick", late, "ms", turn, **given)
                run.add("idle", "latest tick", idle, "ms", turn, **given)
                run.add("domogik", "longest turn", longest, "ms", turn, **given)
                run.add("domogik", "checks", checks, "", turn, **given)
