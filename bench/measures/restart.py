"""restart: from kill -9 of one of 100 children until its successor is in /proc."""

from __future__ import annotations

import random
import time
from functools import partial

from bench.peers import proc
from bench.run import REGULARS, Run

WHO = "domogik,spawn,popen,supervisord,circusd,runit,s6"
N = 100
#: of ours and of the baseline, in all turns; others wait for seconds and get fewer
SAMPLES = 20
FEW = 4


def run(run: Run) -> None:
    for turn in run.each_turn():
        for spec in run.contestants(turn, WHO):
            samples = max(1, round(SAMPLES / run.turns)) if spec in REGULARS else FEW
            run.attempt(spec, partial(_one, run, spec, samples, turn))


def _one(run: Run, spec: str, samples: int, turn: int) -> None:
    with run.adapter(spec) as adapter:
        adapter.start(N, proc.sleeper(proc.fresh_marker()))
        adapter.finder.wait_asleep(N, 60)
        time.sleep(2.5)  # past every "it died at once" threshold
        for victim in random.sample(sorted(adapter.pids()), samples):
            time.sleep(random.uniform(0.2, 1.2))  # not in step with anyone's polling
            before = adapter.finder.look()
            killed = time.monotonic()
            proc.kill(victim)
            while not adapter.finder.look() - before:
                if time.monotonic() > killed + 15:
                    raise TimeoutError("no successor after 15 s")
                time.sleep(0.001)
            latency = (time.monotonic() - killed) * 1000
            run.add(adapter.label, "latency", latency, "ms", turn, n=N)
