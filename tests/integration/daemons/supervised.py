"""A daemon as a manager runs it: by its supervisor, which starts it again when it ends."""

from __future__ import annotations

import random
import time

import attrs
from daemons.cases import reactor
from twisted.trial.unittest import TestCase

from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.probing import Watch
from domogik.supervisor.interfaces import Program, Specification
from domogik.supervisor.service import Supervisor

ID = "daemon:it"


def supervised(case: TestCase, daemon: ManagedDaemon) -> Supervisor:
    """A supervisor that knows `daemon` as `ID`, and stops with the test; nothing is started yet."""
    for name in ("run", "log"):
        (case.top / name).mkdir()
    supervisor = Supervisor(
        reactor,
        case.top / "run",
        case.top / "log",
        on_change=lambda id, before, after: watch.follow(after.state),
        wall_clock=time.time,
        random=random.random,
    )
    watch = Watch(
        reactor,
        daemon.probe,
        alive=lambda: supervisor.alive(ID),
        silent=lambda reason: supervisor.silent(ID, reason),
        cannot_become_ready=lambda error: supervisor.silent(ID, str(error)),
    )
    supervisor.startService()
    case.addCleanup(supervisor.stopService)
    case.addCleanup(watch.stop)
    program = Program((daemon.kind,), daemon.tools.environment, daemon.directory.path)
    policy = attrs.evolve(daemon.policy, backoff_first=0.01)
    supervisor.configure(Specification(ID, program, policy, prepare=daemon.prepare))
    return supervisor
