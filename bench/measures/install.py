"""install: a package of 300 files, from the archive to the link, beside tarfile and two syncs."""

from __future__ import annotations

from bench import install
from bench.run import Run

NAMES = {"ours": "domogik"}


def run(run: Run) -> None:
    for turn in run.each_turn():
        for name, times in install.times(turns=3).items():
            for took in times:
                run.add(NAMES.get(name, name), "installed", took, "ms", turn)
