"""How long does the status of 100 units take, beside `systemctl show` itself?

A real systemd in namespaces of its own has them all running. Each turn asks with a bare process,
which prints what systemctl says and does nothing else, and with the back end in a reactor, and
measures for how long that reactor was kept from anything else; the order alternates.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import NoReturn

from twisted.internet import task
from twisted.internet.defer import Deferred

from domogik.supervisor.processes.command import run as run_command
from domogik.units.systemd import systemctl
from domogik.units.systemd.systemctl import Systemctl

UNITS = 100
#: of each turn, so many calls after the first
CALLS = 5
_SERVICE = "[Service]\nExecStart=/bin/sleep infinity\n"


class Unavailable(Exception):
    """No systemd can be had here; the text says why."""


def names() -> list[str]:
    return [f"bench{n}.service" for n in range(UNITS)]


@contextlib.contextmanager
def prefix() -> Iterator[tuple[str, ...]]:
    """What stands before a command that runs beside the systemd which has the units."""
    sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "integration"))
    from systemd_namespace import RealSystemd

    def give_up(sentence: str) -> NoReturn:
        raise Unavailable(sentence)

    with tempfile.TemporaryDirectory() as directory:
        systemd = RealSystemd(Path(directory), give_up)
        try:
            for name in names():
                systemd.file(name, _SERVICE)
            systemd.run("systemctl", "daemon-reload")
            systemd.run("systemctl", "start", *names())
            yield systemd.prefix
        finally:
            systemd.close()


def show(before: tuple[str, ...]) -> float:
    """Seconds of the program alone."""
    command = (*before, "systemctl", "show", f"--property={systemctl.PROPERTIES}", "--", *names())
    began = time.perf_counter()
    subprocess.run(command, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, check=True)
    return time.perf_counter() - began


async def _ask(reactor, before: tuple[str, ...], calls: int) -> None:
    systemd = Systemctl(partial(run_command, reactor), os.environ, prefix=before, absent=str)
    await systemd.status(names())
    for _ in range(calls):
        cpu, began = time.thread_time(), time.perf_counter()
        found = await systemd.status(names())
        took, cpu = time.perf_counter() - began, time.thread_time() - cpu
        if not all(found[name].is_active for name in names()):
            raise SystemExit("not what is measured: a unit does not run")
        print(took, cpu)


def back_end(before: tuple[str, ...]) -> list[tuple[float, float]]:
    """Seconds until it answered and of the reactor's thread, of each call."""
    command = [sys.executable, "-m", "bench.units", str(CALLS), *before]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return [tuple(map(float, line.split())) for line in done.stdout.splitlines()]


if __name__ == "__main__":
    calls, *before = sys.argv[1:]
    task.react(lambda reactor: Deferred.fromCoroutine(_ask(reactor, tuple(before), int(calls))))
