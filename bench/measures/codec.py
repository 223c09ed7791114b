"""codec: messages read and written, beside a straightforward parser of regular expressions."""

from __future__ import annotations

from bench import codec
from bench.run import Run

#: seconds of CPU for each contestant of a round
SECONDS = 0.15
NAMES = {"ours_full": "domogik"}


def run(run: Run) -> None:
    for turn in run.each_turn():
        figures = codec.run(SECONDS, repeats=3)
        for name, meaning in codec.MEANING.items():
            who = NAMES.get(name, name)
            figure = "rate" if name in ("ours_full", "plain") else f"rate ({meaning})"
            run.add(who, figure, figures[name], "1/s", turn)
