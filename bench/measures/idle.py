"""idle: what a manager costs while its children sleep.

All managers run at once: idle, they leave the processors free, and every window is a fair pair.
"""

from __future__ import annotations

import contextlib
import time

from bench.peers import proc
from bench.peers.adapters import Adapter
from bench.run import Run

WHO = "domogik,spawn,popen,supervisord,circusd,runit,s6"
COUNTS = (100, 300)
#: seconds until nothing of the start is left: timers of readiness, first checks
SETTLE = 6


def run(run: Run) -> None:
    window = 20 if run.full else 10
    memory: dict[tuple[str, int], int] = {}
    for n in COUNTS:
        with contextlib.ExitStack() as stack:
            adapters = []
            for spec in run.contestants(0, WHO):
                adapter = stack.enter_context(run.adapter(spec))
                adapter.start(n, proc.sleeper(proc.fresh_marker()))
                adapter.finder.wait_asleep(n, 120)
                adapters.append((adapter, adapter.manager_pids()))
            time.sleep(SETTLE)
            for turn in run.each_turn():
                _window(run, adapters, n, turn, window)
            for adapter, managers in adapters:
                memory[adapter.label, n] = sum(map(proc.rss_kb, managers))
    few, many = COUNTS
    for (label, n), kilobytes in memory.items():
        if n == many and (label, few) in memory:
            share = (kilobytes - memory[label, few]) / (many - few)
            run.add(label, "RSS a child", share, "kB", 0)


def _window(
    run: Run, adapters: list[tuple[Adapter, set[int]]], n: int, turn: int, seconds: float
) -> None:
    before = [_counts(managers) for _, managers in adapters]
    started = time.monotonic()
    time.sleep(seconds)
    scale = 20 / (time.monotonic() - started)
    for (adapter, managers), (cpu, woken) in zip(adapters, before, strict=True):
        now_cpu, now_woken = _counts(managers)
        rss = sum(map(proc.rss_kb, managers)) / 1024
        pss = sum(map(proc.pss_kb, managers)) / 1024
        for figure, value, unit in (
            ("CPU in 20 s", (now_cpu - cpu) * scale * 1000, "ms"),
            ("wake-ups in 20 s", (now_woken - woken) * scale, ""),
            ("RSS", rss, "MiB"),
            ("PSS", pss, "MiB"),
        ):
            run.add(adapter.label, figure, value, unit, turn, n=n)


def _counts(managers: set[int]) -> tuple[float, int]:
    return sum(map(proc.cpu_seconds, managers)), sum(map(proc.switches, managers))
