"""stop: how long it takes, and who survives.

plain     100 children that exit on SIGTERM; the manager is told by a signal, or by its API
family    5 children with three grandchildren each (see children/family.py), polite or stubborn,
          stop timeout 2 s; survivors are counted once the manager has gone, or after 20 s
"""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path

from bench import machine
from bench.peers import proc
from bench.peers.adapters import Adapter, find
from bench.run import Run

WHO = "domogik,spawn,popen,supervisord,circusd,runit,s6"
#: the families of the others take minutes (runit and supervisord never end some): the long form
FAMILY_WHO = "domogik,spawn"
FAMILY = str(Path(__file__).resolve().parent.parent / "peers" / "children" / "family.py")
N = 100
FAMILIES = 5
TIMEOUT = 2.0
#: seconds after which a stop is taken to hang
PATIENCE = 20.0
KINDS = {
    "": "children",
    "1": "grandchildren in the group",
    "2": "grandchildren deaf to TERM",
    "3": "grandchildren in own session",
}


def run(run: Run) -> None:
    for turn in run.each_turn():
        for spec in run.contestants(turn, WHO):
            for how in _ways(spec):
                run.attempt(spec, partial(_plain, run, spec, how, turn))
    for spec in run.contestants(0, WHO if run.full else FAMILY_WHO):
        for manner in ("polite", "stubborn"):
            for group in (False, True) if find(spec)[0].kills_groups else (False,):
                for how in _ways(spec):
                    run.attempt(spec, partial(_family, run, spec, manner, group, how))


def _ways(spec: str) -> tuple[str, ...]:
    """By a signal to the manager; and by its API where there is one."""
    cls, _ = find(spec)
    return ("signal",) if cls.stop_children is Adapter.stop_children else ("signal", "api")


def _tell(adapter: Adapter, how: str) -> float:
    """Begin the stop; the moment it began."""
    started = time.monotonic()
    if how == "signal":
        adapter.stop()
    else:
        adapter.stop_children()
    return started


def _plain(run: Run, spec: str, how: str, turn: int) -> None:
    with run.adapter(spec, stop_timeout=TIMEOUT) as adapter:
        adapter.start(N, proc.sleeper(proc.fresh_marker()))
        adapter.finder.wait_asleep(N, 60)
        time.sleep(2)
        started = _tell(adapter, how)
        gone = adapter.finder.wait_gone(60) or started + 60
        run.add(adapter.label, "children gone", gone - started, "s", turn, n=N, how=how)
        if how == "signal":
            ended = adapter.manager_gone(30) or started + 90
            run.add(adapter.label, "manager gone", ended - started, "s", turn, n=N, how=how)


def _family(run: Run, spec: str, manner: str, group: bool, how: str) -> None:
    marker = proc.fresh_marker()
    with run.adapter(spec, stop_timeout=TIMEOUT, kill_group=group) as adapter:
        finders = {kind: proc.Finder(marker + kind) for kind in KINDS}
        adapter.start(FAMILIES, [machine.interpreter(), FAMILY, manner, marker])
        for finder in finders.values():
            finder.wait_for(FAMILIES, 30)
        time.sleep(2)
        label = adapter.label + (" + group kill" if group else "")
        add = partial(run.add, label, turn=0, manner=manner, how=how)
        started = _tell(adapter, how)
        gone = finders[""].wait_gone(PATIENCE) or started + PATIENCE
        add("family gone", gone - started, "s")
        if how == "signal":
            patience = max(1.0, started + PATIENCE - time.monotonic())
            ended = adapter.manager_gone(patience) or started + PATIENCE
            add("manager gone with its families", ended - started, "s")
        time.sleep(0.5)
        survivors = 0
        for kind, finder in finders.items():
            left = finder.running()
            survivors += len(left)
            add(f"surviving {KINDS[kind]} of {FAMILIES}", len(left), "")
            for pid in left:
                proc.kill(pid)
        add("survivors of all kinds", survivors, "")
