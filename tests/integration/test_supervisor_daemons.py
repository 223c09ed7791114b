"""What daemons ask of a supervisor: needs, who outlives it, users, and whom a signal hits."""

from __future__ import annotations

import os
import random
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as _reactor
from twisted.trial.unittest import TestCase

from domogik.components.model import State
from domogik.supervisor.interfaces import Policy, Program, Specification, User
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.processes.pidfd import send_signal
from domogik.supervisor.service import Supervisor

pytestmark = pytest.mark.integration
reactor: Any = _reactor
NOBODY = User(65534, 65534)


class SupervisorTests(TestCase):
    def setUp(self):
        self.top = Path(self.mktemp()).absolute()
        self.top.mkdir()
        self.changes: list[tuple[str, State]] = []
        self.supervisor = self.make()
        self.addCleanup(self.stop_all)

    def make(self):
        supervisor = Supervisor(
            reactor,
            self.top / "run",
            self.top / "log",
            on_change=self.changed,
            wall_clock=reactor.seconds,
            random=random.random,
        )
        supervisor.startService()
        return supervisor

    async def stop_all(self):
        for id in self.supervisor.ids():
            self.supervisor._runner(id).specification = self.specification(id)
        await self.supervisor.stopService()

    def changed(self, id, before, after):
        if after.state is not before.state:
            self.changes.append((id, after.state))
        if after.state is State.STARTING and after.pid is not None:
            reactor.callLater(0, self.supervisor.alive, id)

    def specification(self, id, **more):
        program = Program(("sleep", "1000"), {"PATH": os.environ["PATH"]}, Path("/"))
        return Specification(id, program, Policy(stop_timeout=60), **more)

    def configure(self, id, **more):
        self.supervisor.configure(self.specification(id, **more))

    def reached(self, state):
        return [id for id, there in self.changes if there is state]

    async def test_who_needs_it_is_started_after_it_and_stopped_before_it(self):
        self.configure("daemon:db")
        self.configure("plugin:middle", needs=("daemon:db",))
        self.configure("plugin:outer", needs=("plugin:middle",))
        self.configure("plugin:other")
        await self.supervisor.start("plugin:outer")
        await self.supervisor.start("plugin:other")
        self.assertEqual(
            self.reached(State.ALIVE),
            ["daemon:db", "plugin:middle", "plugin:outer", "plugin:other"],
        )
        await self.supervisor.stop("daemon:db")
        self.assertEqual(
            self.reached(State.STOPPED), ["plugin:outer", "plugin:middle", "daemon:db"]
        )
        self.assertEqual(self.supervisor.status("plugin:other").state, State.ALIVE)

    async def test_a_restart_brings_back_who_was_up_and_nobody_else(self):
        self.configure("daemon:db")
        for name in ("up", "down"):
            self.configure(f"plugin:{name}", needs=("daemon:db",))
        await self.supervisor.start("plugin:up")
        before = {id: self.supervisor.status(id).pid for id in ("daemon:db", "plugin:up")}
        self.changes.clear()
        await self.supervisor.restart("daemon:db")
        self.assertEqual(self.reached(State.STOPPING), ["plugin:up", "daemon:db"])
        self.assertEqual(self.reached(State.ALIVE), ["daemon:db", "plugin:up"])
        for id, pid in before.items():
            self.assertNotEqual(self.supervisor.status(id).pid, pid)
        self.assertEqual(self.supervisor.status("plugin:down").state, State.STOPPED)

    async def test_what_is_to_be_kept_outlives_the_supervisor_and_is_taken_over(self):
        self.configure("daemon:kept", keep=True)
        self.configure("daemon:other")
        await self.supervisor.start("daemon:kept")
        await self.supervisor.start("daemon:other")
        kept, other = (self.supervisor.status(f"daemon:{name}").pid for name in ("kept", "other"))
        await self.supervisor.stopService()
        self.assertTrue(ProcessIdentity.of(kept).is_running())
        self.assertRaises(NoSuchProcess, ProcessIdentity.of, other)
        self.supervisor = self.make()
        self.configure("daemon:kept", keep=True)
        status = self.supervisor.status("daemon:kept")
        self.assertEqual((status.pid, status.adopted), (kept, True))
        await self.supervisor.stop("daemon:kept")

    async def test_a_program_runs_as_its_user_in_a_directory_only_we_may_enter(self):
        if os.geteuid() != 0:
            return  # only root may change who it is
        private = self.top / "private"
        private.mkdir(mode=0o700)
        specification = self.specification("daemon:it")
        program = Program(("sleep", "1000"), {"PATH": os.environ["PATH"]}, private, user=NOBODY)
        self.supervisor.configure(
            Specification("daemon:it", program, specification.policy, specification.readiness)
        )
        status = await self.supervisor.start("daemon:it")
        lines = dict(
            line.split(":\t", 1)
            for line in Path(f"/proc/{status.pid}/status").read_text().splitlines()
            if ":\t" in line
        )
        self.assertEqual(lines["Uid"].split(), ["65534"] * 4)
        self.assertEqual(lines["Gid"].split(), ["65534"] * 4)
        self.assertEqual(lines["Groups"].split(), [])


class SignalTests(TestCase):
    def process(self):
        process = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(process.wait)
        self.addCleanup(process.kill)
        return process, ProcessIdentity.of(process.pid)

    def test_it_hits_that_process(self):
        process, identity = self.process()
        send_signal(identity, signal.SIGTERM)
        self.assertEqual(process.wait(), -signal.SIGTERM)
        with self.assertRaises(NoSuchProcess):
            send_signal(identity, signal.SIGTERM)

    def test_it_hits_no_other_that_has_its_number_by_now(self):
        process, identity = self.process()
        earlier = ProcessIdentity(identity.pid, identity.start_ticks - 1, identity.boot_id)
        with self.assertRaises(NoSuchProcess):
            send_signal(earlier, signal.SIGKILL)
        self.assertIsNone(process.poll())
