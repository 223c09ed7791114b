"""What was promised, and is it kept?"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from bench import rows
from bench.rows import Row


@dataclass(frozen=True)
class Target:
    """One promise: a figure of ours, or its ratio to a peer's in the same turn, within a limit."""

    measure: str
    what: str
    figure: str
    limit: float
    unit: str = ""
    beside: str = ""
    params: Mapping[str, object] = field(default_factory=dict)
    who: str = "domogik"
    at_least: bool = False


@dataclass(frozen=True)
class Verdict:
    """What was found; `value` None where nothing was measured."""

    target: Target
    ours: float | None
    theirs: float | None
    value: float | None

    @property
    def met(self) -> bool:
        """A target that nobody measured is not met."""
        if self.value is None:
            return False
        limit = self.target.limit
        return self.value >= limit if self.target.at_least else self.value <= limit


TARGETS = (
    Target(
        "start",
        "100 children run, from launch",
        "all run",
        1.5,
        "s",
        "spawn",
        {"n": 100},
    ),
    Target(
        "start",
        "300 children run, from launch",
        "all run",
        1.5,
        "s",
        "spawn",
        {"n": 300},
    ),
    Target("restart", "a killed child is replaced, median", "latency", 10, "ms"),
    Target("stop", "100 polite children gone", "children gone", 1.5, "s", "spawn", {"n": 100}),
    Target(
        "stop",
        "5 deaf families gone, timeout 2 s",
        "family gone",
        2.5,
        "s",
        params={"manner": "stubborn"},
    ),
    Target("stop", "survivors of 10 families", "survivors of all kinds", 0),
    Target(
        "logs",
        "200 MB of output kept",
        "throughput",
        200,
        "MB/s",
        params={"MB": 200},
        at_least=True,
    ),
    Target("logs", "lines lost or mangled", "lines missing after the first kept", 0),
    Target("idle", "wake-ups in 20 s, 300 children", "wake-ups in 20 s", 0, params={"n": 300}),
    Target("idle", "memory of a child in the manager", "RSS a child", 20, "kB"),
    Target(
        "api",
        "/plugin/list of 100, the whole manager",
        "requests",
        0.6,
        "1/s",
        "twisted.web",
        at_least=True,
    ),
    Target(
        "rest",
        "/plugin/list of 100, REST alone",
        "requests",
        0.6,
        "1/s",
        "twisted.web",
        at_least=True,
    ),
    *(
        Target(
            "listing",
            f"2,000 packages listed, {path}",
            "reactor time",
            30,
            "ms",
            params={"when": "asked", "path": path},
        )
        for path in ("RINOR", "v1")
    ),
    Target(
        "listing",
        "longest block at the moment of a change",
        "longest block",
        30,
        "ms",
        params={"when": "at once"},
    ),
    *(
        Target(
            "refresh",
            f"1,000 packages, {connections} connections",
            "packages",
            ratio,
            "1/s",
            "one by one",
            {"connections": connections},
            at_least=True,
        )
        for connections, ratio in ((16, 8), (32, 15))
    ),
    Target("refresh", "requests where nothing changed", "unchanged: requests", 3),
    Target("install", "a package of 300 files", "installed", 1.5, "ms", "tarfile"),
    Target("diagnosis", "200 components looked at", "looked at", 2, "s"),
    Target("diagnosis", "latest tick meanwhile", "latest tick", 20, "ms"),
    Target("diagnosis", "longest turn of the reactor", "longest turn", 20, "ms"),
    Target("units", "100 units, beyond systemctl show", "more than systemctl show", 50, "ms"),
    Target("units", "100 units, the reactor's time", "reactor time", 20, "ms"),
    Target("codec", "messages read and written", "rate", 150_000, "1/s", at_least=True),
    Target(
        "codec",
        "the same, written anew each time",
        "rate (the same, but the bytes it was read from are not made use of)",
        150_000,
        "1/s",
        who="ours_unkept",
        at_least=True,
    ),
    Target(
        "hub",
        "messages passed on to 1 client",
        "rate",
        100_000,
        "1/s",
        params={"clients": 1},
        at_least=True,
    ),
    Target(
        "hub",
        "messages passed on to 10 clients",
        "rate",
        20_000,
        "1/s",
        params={"clients": 10},
        at_least=True,
    ),
    *(
        Target(
            "daemons",
            f"{kind} ready, more than the bare server",
            "more than the bare server",
            15,
            "ms",
            params={"kind": kind},
        )
        for kind in ("redis", "postgres", "mysql", "nginx", "apache")
    ),
    Target(
        "daemons",
        "rabbitmq ready, beside the bare server",
        "start to ready",
        1.03,
        "ms",
        "bare",
        {"kind": "rabbitmq"},
    ),
    *(
        Target(
            "fixtures",
            f"a fresh {kind}, made to destroyed",
            "made, served, destroyed",
            limit,
            "ms",
            params={"kind": kind},
        )
        for kind, limit in (
            ("redis", 25),
            ("postgres", 350),
            ("mysql", 500),
            ("nginx", 20),
            ("apache", 120),
        )
    ),
    *(
        Target(
            "fixtures",
            f"a fresh {kind}, beside {peer}",
            "made, served, destroyed",
            1,
            "ms",
            peer,
            {"kind": kind},
        )
        for kind, peer in (("redis", "testing.redis"), ("postgres", "testing.postgresql"))
    ),
    *(
        Target(
            "fixtures",
            f"nothing left of a {kind} after kill -9",
            "program killed, until nothing is left",
            1000,
            "ms",
            params={"kind": kind},
        )
        for kind in ("redis", "postgres")
    ),
    Target(
        "fixtures",
        "6 tests with a clean PostgreSQL each",
        "6 tests with a clean one each",
        1000,
        "ms",
        params={"kind": "postgres"},
    ),
    *(
        Target(
            "fixtures",
            f"6 tests with a clean {kind} each",
            "6 tests with a clean one each",
            1,
            "ms",
            peer,
            {"kind": kind},
        )
        for kind, peer in (("postgres", "pytest-postgresql"), ("redis", "pytest-redis"))
    ),
    Target(
        "daemons",
        "fresh Redis made, used, destroyed",
        "fresh Redis, used, destroyed",
        30,
        "a second",
        at_least=True,
    ),
)


def judge(found: Mapping[str, Iterable[Row]]) -> list[Verdict]:
    """One verdict for each target of the measures that were taken."""
    return [
        _judge(target, list(found[target.measure])) for target in TARGETS if target.measure in found
    ]


def _judge(target: Target, measured: list[Row]) -> Verdict:
    ours = rows.select(measured, target.who, target.figure, dict(target.params))
    if not ours:
        return Verdict(target, None, None, None)
    if not target.beside:
        # of what must not happen at all, the worst counts
        worst = max(max(values) for values in ours.values())
        value = worst if target.limit == 0 else rows.median(ours)
        return Verdict(target, value, None, value)
    theirs = rows.select(measured, target.beside, target.figure, dict(target.params))
    pairs = rows.ratios(ours, theirs)
    value = statistics.median(pairs) if pairs else None
    return Verdict(target, rows.median(ours), rows.median(theirs) if theirs else None, value)


def table(verdicts: Iterable[Verdict]) -> str:
    """For people."""
    lines = [f"{'':8} {'':40} {'ours':>14} {'beside it':>24} {'ratio':>6} {'wanted':>9}"]
    for verdict in verdicts:
        target = verdict.target
        beside = f"{target.beside} {_figure(verdict.theirs, target.unit)}" if target.beside else ""
        ratio = f"{verdict.value:.2f}" if target.beside and verdict.value is not None else ""
        sign = ">=" if target.at_least else "<="
        word = "met" if verdict.met else "not measured" if verdict.value is None else "MISSED"
        lines.append(
            f"{target.measure:8} {target.what:40} {_figure(verdict.ours, target.unit):>14} "
            f"{beside:>24} {ratio:>6} {sign} {rows.number(target.limit):>6}  {word}"
        )
    return "\n".join(lines)


def _figure(value: float | None, unit: str) -> str:
    return "-" if value is None else f"{rows.number(value)} {unit}".strip()
