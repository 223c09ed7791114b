"""hub: messages a second passed on with under 0.1 % lost, beside a bare Twisted forwarder."""

from __future__ import annotations

from bench import hub
from bench.run import Run

ENGINES = ("domogik", "twisted")
ALL_ENGINES = tuple(hub.ENGINES)
BYTES = 120
SECONDS = 0.4


def run(run: Run) -> None:
    datagram = hub.message(BYTES)
    engines = ALL_ENGINES if run.full else ENGINES
    for turn in run.each_turn():
        begin = turn % len(engines)
        for clients in hub.TARGETS:
            for engine in engines[begin:] + engines[:begin]:
                with hub.Trial(engine, datagram, clients) as trial:
                    rate, cost = trial.greatest_rate(SECONDS)
                run.add(engine, "rate", rate, "1/s", turn, clients=clients)
                run.add(engine, "CPU a message", cost * 1e6, "us", turn, clients=clients)
