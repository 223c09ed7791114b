"""start: from the manager's launch, imports and all, until N children run."""

from __future__ import annotations

from functools import partial

from bench.peers import proc
from bench.run import Run

WHO = "domogik,spawn,popen,supervisord,circusd,runit,s6"


def run(run: Run) -> None:
    run.attempt("warm-up", partial(_one, Run("", 1), "domogik", 1, 0))  # writes .pyc files
    for turn in run.each_turn():
        for n in (100, 300):
            for spec in run.contestants(turn, WHO):
                run.attempt(spec, partial(_one, run, spec, n, turn))


def _one(run: Run, spec: str, n: int, turn: int) -> None:
    with run.adapter(spec) as adapter:
        adapter.start(n, proc.sleeper(proc.fresh_marker()))
        ran = adapter.finder.wait_for(n, 120, 0.003) - adapter.started_at
        spawning = ran + adapter.started_at - adapter.finder.first_at
        adapter.finder.wait_asleep(n, 120)
        cpu = sum(proc.cpu_seconds(pid) for pid in adapter.manager_pids())
        for figure, value in (
            ("all run", ran),
            ("first to last", spawning),
            ("manager CPU", cpu),
        ):
            run.add(adapter.label, figure, value, "s", turn, n=n)
