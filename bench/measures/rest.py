"""rest: /plugin/list of 100 plugins, the REST room alone, beside bare twisted.web."""

from __future__ import annotations

from bench import rest
from bench.peers import proc
from bench.run import Run

CONNECTIONS = 16
SECONDS = 2.0
SERVERS = {"domogik": "ours", "twisted.web": "bare"}


def run(run: Run) -> None:
    for turn in run.each_turn():
        order = list(SERVERS)[:: 1 if turn % 2 == 0 else -1]
        for who in order:
            with rest.server(SERVERS[who]) as server:
                measure(run, turn, who, server.pid, server.url, seconds=SECONDS)


def measure(
    run: Run, turn: int, who: str, pid: int, url: str, body: str = "", *, seconds: float
) -> None:
    """Requests a second of one server, and what each costs it."""
    rest.drive(url, 0.3, CONNECTIONS, body)
    before = proc.cpu_seconds(pid)
    rate, count = rest.drive(url, seconds, CONNECTIONS, body)
    spent = proc.cpu_seconds(pid) - before
    run.add(who, "requests", rate, "1/s", turn, connections=CONNECTIONS)
    if count:  # one that answered nothing in its time cost nothing a request
        run.add(who, "CPU a request", spent / count * 1000, "ms", turn, connections=CONNECTIONS)
