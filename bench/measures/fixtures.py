"""fixtures: servers for tests, from nothing to gone, beside those that people use today.

Whoever refuses root (PostgreSQL, and the peers that use it) is run as `nobody` where we are root,
and so are we then. The peers are those of PyPI, in the extra `bench`.
"""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import sysconfig
import tempfile
from pathlib import Path

from bench.run import Run

_ON_DISK = "domogik, on the disk"
_FIGURE = "made, served, destroyed"
_SUITE = "6 tests with a clean one each"
_KILLED = "program killed, until nothing is left"
#: kind -> who is measured, and how often in a turn
_KINDS: dict[str, tuple[tuple[str, ...], int]] = {
    "redis": (("domogik", _ON_DISK, "testing.redis", "bare"), 5),
    "postgres": (("domogik", _ON_DISK, "testing.postgresql"), 3),
    "mysql": (("domogik",), 3),
    "nginx": (("domogik",), 5),
    "apache": (("domogik",), 5),
    "6 tests, postgres": (("domogik", "pytest-postgresql", "domogik, fresh servers"), 1),
    "6 tests, redis": (("domogik", "pytest-redis"), 1),
    "killed, redis": (("domogik",), 3),
    "killed, postgres": (("domogik",), 3),
}
_ROOT = Path(__file__).parents[2]


def run(run: Run) -> None:
    for turn in run.each_turn():
        for kind, (contestants, times) in _KINDS.items():
            begin = turn % len(contestants)
            for who in contestants[begin:] + contestants[:begin]:
                run.attempt(f"{who} ({kind})", lambda: _measure(run, turn, who, kind, times))  # noqa: B023


def _measure(run: Run, turn: int, who: str, kind: str, times: int) -> None:
    what, _, name = kind.rpartition(", ")
    figure = {"6 tests": _SUITE, "killed": _KILLED}.get(what, _FIGURE)
    for seconds in _seconds(who, kind, times):
        run.add(who, figure, seconds * 1000, "ms", turn, kind=name)


def _seconds(who: str, kind: str, times: int) -> list[float]:
    with tempfile.TemporaryDirectory() as place:
        Path(place).chmod(0o711)  # servers may run as another user
        environment = {**os.environ, "HOME": place, "TMPDIR": place}
        if who != _ON_DISK and who.startswith("domogik"):
            del environment["TMPDIR"]  # in memory, as where nobody names a place
        environment["PYTHONPATH"] = os.pathsep.join((str(_ROOT), sysconfig.get_path("purelib")))
        environment.pop("XDG_CACHE_HOME", None)
        prefix: tuple[str, ...] = ()
        python = sys.executable
        if os.geteuid() == 0 and "postgres" in kind:
            user = pwd.getpwnam("nobody")
            os.chown(place, user.pw_uid, user.pw_gid)
            prefix = (
                "setpriv",
                f"--reuid={user.pw_uid}",
                f"--regid={user.pw_gid}",
                "--clear-groups",
            )
            python = _python_for(prefix)
        done = subprocess.run(
            (*prefix, python, "-m", "bench.fixtures", who, kind, str(times)),
            cwd=place,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-500:])
        found: list[float] = json.loads(done.stdout.splitlines()[-1])
        return found


def _python_for(prefix: tuple[str, ...]) -> str:
    """One that this user may execute; ours may be in the home of root."""
    tried = "import os, sys; sys.exit(not os.access(sys.executable, os.X_OK))"
    for python in ("/usr/bin/python3", sys.executable):
        if subprocess.run((*prefix, python, "-c", tried), capture_output=True).returncode == 0:
            return python
    raise RuntimeError("nobody may not execute Python")
