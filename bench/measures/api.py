"""api: /plugin/list of 100 plugins, asked of a whole manager, beside bare twisted.web and others.

The bare resource dumps JSON of the same size for each request; supervisord tells the state of 100
programs by XML-RPC. circus has no HTTP. The client (wrk, else ours) shares the processors with the
server, so the CPU time of a request is the steadier figure.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from functools import partial

from bench import rest
from bench.measures.rest import measure
from bench.peers import proc
from bench.peers.adapters import find
from bench.peers.adapters.base import Adapter
from bench.peers.adapters.domogik import ManagerAdapter
from bench.run import Run

N = 100
SECONDS = 1.0


def run(run: Run) -> None:
    with contextlib.ExitStack() as stack:
        bare = stack.enter_context(rest.server("bare"))
        targets = [("twisted.web", bare.pid, bare.url)]
        for label, adapter in _managers(run):
            stack.enter_context(adapter)
            run.attempt(label, partial(_begin, targets, label, adapter))
        for turn in run.each_turn():
            begin = turn % len(targets)
            for target in targets[begin:] + targets[:begin]:
                measure(run, turn, *target, seconds=SECONDS)


def _begin(targets: list[tuple], label: str, adapter: Adapter) -> None:
    adapter.start(N, proc.sleeper(proc.fresh_marker()))
    if isinstance(adapter, ManagerAdapter):
        adapter.wait_alive()
    else:
        adapter.finder.wait_asleep(N, 60)
    query = adapter.status_queries()[0]
    targets.append((label, adapter.manager_pid(), query.url, query.body))


def _managers(run: Run) -> Iterator[tuple[str, Adapter]]:
    yield "domogik", ManagerAdapter()
    if run.contestants(0, "supervisord"):
        yield "supervisord", find("supervisord")[0]()
