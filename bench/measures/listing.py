"""listing: how long 2,000 available packages keep the reactor, beside a bare twisted.web.

`asked` is one listing after the repositories changed and that was digested; `digested` is what a
change costs beside; `at once` is a listing in the moment of the change.
"""

from __future__ import annotations

from bench import listing
from bench.run import Run

SERVERS = {"domogik": "ours", "twisted.web": "bare"}


def run(run: Run) -> None:
    for turn in run.each_turn():
        order = list(SERVERS)[:: 1 if turn % 2 == 0 else -1]
        for who in order:
            with listing.server(SERVERS[who]) as server:
                for path in listing.PATHS if who == "domogik" else ["RINOR"]:
                    measure(run, turn, who, server, path)


def measure(run: Run, turn: int, who: str, server: listing.Server, path: str) -> None:
    """Blocks of one listing of each kind."""

    def add(when: str) -> None:
        longest, total = server.blocks()
        run.add(who, "reactor time", total, "ms", turn, when=when, path=path)
        run.add(who, "longest block", longest, "ms", turn, when=when, path=path)

    server.change()
    server.settle()
    add("digested")
    server.get(listing.PATHS[path])
    add("asked")
    server.change()
    server.get(listing.PATHS[path])
    add("at once")
