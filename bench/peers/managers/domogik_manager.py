"""N plain children under our own supervisor: all of it, and nothing of the house around it.

A plain child is no xPL plugin, so its readiness is that it survives; the rest is as in the manager:
session, directory, FIFO and log file of each child, records on disk, the life-cycle table, and our
own log.
"""

import json
import os
import random
import sys
import time
from functools import partial
from pathlib import Path

from twisted.internet import reactor
from twisted.logger import Logger, globalLogBeginner, textFileLogObserver

from domogik.errors import DomogikError
from domogik.supervisor.interfaces import Policy, Program, Readiness, Restart, Specification, Status
from domogik.supervisor.service import Supervisor

log = Logger(namespace="bench")


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as stream:
        job = json.load(stream)
    directory = Path(job["dir"])
    globalLogBeginner.beginLoggingTo(
        [textFileLogObserver((directory / "manager.log").open("w"))], redirectStandardIO=False
    )
    supervisor = Supervisor(
        reactor,
        directory / "run",
        Path(job["log_dir"]),
        on_change=changed,
        wall_clock=time.time,
        random=random.random,
    )
    reactor.callWhenRunning(start, supervisor, job)
    reactor.addSystemEventTrigger("before", "shutdown", supervisor.stopService)
    reactor.run()


def start(supervisor: Supervisor, job: dict) -> None:
    """Configure every child, then ask for all of them at once, as a manager does at its start."""
    supervisor.startService()
    names = [f"plugin:c{number:03d}" for number in range(job["n"])]
    for name in names:
        supervisor.configure(specification(name, job))
    for name in names:
        supervisor.start(name).addErrback(partial(failed, name))


def specification(name: str, job: dict) -> Specification:
    return Specification(
        name,
        Program(tuple(job["cmd"]), dict(os.environ), Path(job["dir"])),
        Policy(
            restart=Restart.ALWAYS if job["restart"] else Restart.NO,
            backoff_first=0,
            start_limit=10_000,
            stop_timeout=job["stop_timeout"],
            log_max_size=job["log_max_bytes"],
            log_files=job["log_backups"],
        ),
        Readiness.SURVIVAL,
    )


def changed(id: str, before: Status, after: Status) -> None:
    """What a manager does at the least: a line in its log."""
    log.info("{id} is {state} {reason}", id=id, state=after.state.value, reason=after.reason)


def failed(name: str, failure: object) -> None:
    failure.trap(DomogikError)  # stopped, or restarted, before it had survived its first second
    log.info("{id}: {reason}", id=name, reason=failure.getErrorMessage())


main()
