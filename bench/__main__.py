"""The project's benchmark: every promise about speed and size, beside its peer, in one run.

    python -m bench                      everything, in about fifteen minutes
    python -m bench stop restart         only these
    python -m bench --full --turns 7     the long form, with all families of all peers
    python -m bench --check              a promise that is not kept makes the exit status 1

Figures differ from minute to minute; what counts are ratios to a peer measured in the same turn.
Everything stays on loopback and in temporary directories; only what was started here is ended.
"""

from __future__ import annotations

import argparse
import importlib
import os
import signal
import sys
import time

from bench import machine, rows, targets
from bench.run import Run

#: measure -> the module that takes it, the turns of the short form, and what ratios are taken to
MEASURES = {
    "start": ("bench.measures.start", 5, "spawn"),
    "restart": ("bench.measures.restart", 2, "spawn"),
    "stop": ("bench.measures.stop", 5, "spawn"),
    "logs": ("bench.measures.logs", 3, "spawn"),
    "idle": ("bench.measures.idle", 1, "spawn"),
    "plugins": ("bench.measures.plugins", 1, ""),
    "api": ("bench.measures.api", 3, "twisted.web"),
    "rest": ("bench.measures.rest", 3, "twisted.web"),
    "listing": ("bench.measures.listing", 3, "twisted.web"),
    "refresh": ("bench.measures.refresh", 2, "one by one"),
    "install": ("bench.measures.install", 3, "tarfile"),
    "units": ("bench.measures.units", 3, "systemctl"),
    "daemons": ("bench.measures.daemons", 5, "bare"),
    "fixtures": ("bench.measures.fixtures", 5, "domogik"),
    "diagnosis": ("bench.measures.diagnosis", 3, ""),
    "codec": ("bench.measures.codec", 3, "plain"),
    "hub": ("bench.measures.hub", 1, "twisted"),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("measures", nargs="*", metavar="MEASURE", help=", ".join(MEASURES))
    parser.add_argument("--turns", type=int, help="each measures every contestant of ours once")
    parser.add_argument(
        "--peer-turns", type=int, default=1, help="turns with the other supervisors"
    )
    parser.add_argument("--who", default="", help="comma list of contestants, NAME or NAME:VARIANT")
    parser.add_argument("--full", action="store_true", help="the long form")
    parser.add_argument("--check", action="store_true", help="exit 1 if a target is missed")
    options = parser.parse_args()
    unknown = [name for name in options.measures if name not in MEASURES]
    if unknown:
        parser.error(f"there is no measure {unknown[0]}; there are {', '.join(MEASURES)}")
    # a run that is terminated, too, ends what it started
    for signum in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signum, lambda *_: sys.exit("cut short"))
    print("\n".join(f"{name:11} {value}" for name, value in machine.facts().items()))
    runs = {name: take(name, options) for name in options.measures or MEASURES}
    verdicts = targets.judge({name: run.rows for name, run in runs.items()})
    print(f"\n{targets.table(verdicts)}")
    left_out = sorted(
        {f"{who}: {why}" for run in runs.values() for who, why in run.left_out.items()}
    )
    if left_out:
        print("\nleft out\n" + "\n".join(f"  {line}" for line in left_out))
    print(f"\nload average {os.getloadavg()[0]:.1f}; all figures are in bench/results/")
    return 1 if options.check and not all(verdict.met for verdict in verdicts) else 0


def take(name: str, options: argparse.Namespace) -> Run:
    """Take one measure, show and keep its figures."""
    module, turns, base = MEASURES[name]
    who = tuple(part for part in options.who.split(",") if part)
    run = Run(name, options.turns or turns, options.peer_turns, who, options.full)
    began = time.monotonic()
    print(f"\n== {name}", flush=True)
    importlib.import_module(module).run(run)
    run.save()
    print(rows.table(run.rows, base))
    loop = [noise["loop_ms"] for noise in run.noise]
    steady = f"; a fixed loop took {min(loop):.0f} to {max(loop):.0f} ms" if loop else ""
    print(f"\n({time.monotonic() - began:.0f} s{steady})", flush=True)
    return run


if __name__ == "__main__":
    sys.exit(main())
