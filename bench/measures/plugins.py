"""plugins: 30 real plugins under a real manager, pinged every 15 s: what does that cost?"""

from __future__ import annotations

import time

from bench.peers import proc
from bench.peers.adapters.domogik import ManagerAdapter
from bench.run import Run

PLUGINS = 30
#: two rounds of pings, and of heartbeats six
WINDOW = 30


def run(run: Run) -> None:
    for turn in run.each_turn():
        run.attempt(ManagerAdapter.name, lambda turn=turn: _one(run, turn))


def _one(run: Run, turn: int) -> None:
    with ManagerAdapter() as manager:
        manager.start(PLUGINS, [proc.fresh_marker()])
        add = run.add
        add("domogik", "manager launched until REST answers", manager.age(), "s", turn)
        pid = manager.manager_pid()
        alone = proc.rss_kb(pid)
        manager.wait_alive()
        add("domogik", "manager launched until all plugins are alive", manager.age(), "s", turn)
        time.sleep(6)
        plugins = set(manager.children().values())
        before = _counts({pid}), _counts(plugins)
        time.sleep(WINDOW * (2 if run.full else 1))
        seconds = WINDOW * (2 if run.full else 1)
        for whose, pids, (cpu, woken) in (
            ("the manager", {pid}, before[0]),
            (f"{PLUGINS} plugins", plugins, before[1]),
        ):
            now_cpu, now_woken = _counts(pids)
            share = (now_cpu - cpu) / seconds * 100
            add("domogik", f"CPU of {whose}", share, "% of a core", turn)
            add("domogik", f"wake-ups of {whose}", (now_woken - woken) / seconds, "1/s", turn)
            add("domogik", f"RSS of {whose}", sum(map(proc.rss_kb, pids)) / 1024, "MiB", turn)
            add("domogik", f"PSS of {whose}", sum(map(proc.pss_kb, pids)) / 1024, "MiB", turn)
        share = (proc.rss_kb(pid) - alone) / PLUGINS
        add("domogik", "RSS a plugin in the manager", share, "kB", turn)
        add("domogik", "plugins that are alive at the end", len(manager.children()), "", turn)
        began = time.monotonic()
        manager.stop()
        ended = manager.manager_gone(60)
        add("domogik", "manager told until it has gone", (ended or began + 60) - began, "s", turn)
        left = sum(1 for pid in plugins if proc.arguments(pid))
        add("domogik", "plugins that survived", left, "", turn)


def _counts(pids: set[int]) -> tuple[float, int]:
    return sum(map(proc.cpu_seconds, pids)), sum(map(proc.switches, pids))
