"""One daemon without a manager: started, taken over, given up; no process of the machine's own."""

from __future__ import annotations

import os
from pathlib import Path
from typing import ClassVar

import attrs
import pytest
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.daemons.core import standalone
from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import ManagedDaemonError, NotReady
from domogik.daemons.core.standalone import FileOutput, Keeper
from domogik.supervisor.interfaces import Exit, Policy
from domogik.supervisor.outcomes import StartFailed
from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.testing.processes import FakeProcesses


@attrs.define(eq=False)
class Tools:
    reactor: Clock
    environment: dict[str, str]


class Daemon:
    kind: ClassVar[str] = "gopher"
    end_signal: ClassVar[str] = "QUIT"

    def __init__(self):
        self.answer: Exception | None = None
        self.refusal: Exception | None = None

    async def prepare(self, program):
        if self.refusal is not None:
            raise self.refusal
        return attrs.evolve(program, argv=("gopherd", "--foreground"))

    def probe(self):
        return succeed(None) if self.answer is None else fail(self.answer)


class KeeperTests(SynchronousTestCase):
    @pytest.fixture(autouse=True)
    def _patched(self, monkeypatch):
        self.clock = Clock()
        self.processes = FakeProcesses(self.clock)
        monkeypatch.setattr(standalone, "HostProcesses", lambda *_: self.processes)

    def setUp(self):
        self.directory = WorkingDirectory(Path(self.mktemp()), "gopher")
        self.directory.claim()
        self.daemon = Daemon()
        self.keeper = self.make()

    def make(self):
        policy = Policy(start_timeout=30, stop_timeout=10)
        return Keeper(Tools(self.clock, {}), self.daemon, self.directory, policy)

    def turn(self, seconds=0.0):
        self.clock.advance(seconds)
        while any(call.getTime() <= self.clock.seconds() for call in self.clock.getDelayedCalls()):
            self.clock.advance(0)

    def start(self):
        started = Deferred.fromCoroutine(self.keeper.start())
        self.turn()
        return started

    def test_it_has_started_when_it_answers(self):
        self.daemon.answer = NotReady("not yet")
        started = self.start()
        self.turn(0.5)
        self.assertNoResult(started)
        self.daemon.answer = None
        self.turn(0.1)
        self.successResultOf(started)
        self.assertEqual(self.keeper.argv, ("gopherd", "--foreground"))
        self.assertIsNotNone(self.directory.record.process)

    def test_one_that_cannot_be_prepared_does_not_start(self):
        log = self.keeper.output.path
        log.parent.mkdir(exist_ok=True)
        log.write_text("of an earlier run\n")
        self.daemon.refusal = ManagedDaemonError("its port is taken")
        self.assertIn("its port is taken", str(self.failureResultOf(self.start()).value))
        self.assertEqual(self.keeper.output.tail(), "")
        self.assertEqual(self.processes.living, [])

    def test_one_that_ends_before_it_answers_fails_at_once(self):
        self.daemon.answer = NotReady("not yet")
        started = self.start()
        (process,) = self.processes.living
        process.ends(Exit(code=3))
        self.turn()
        self.failureResultOf(started, StartFailed)
        self.assertIn("exit status 3", self.keeper.status.reason)
        self.turn(1000)
        self.assertEqual(self.processes.living, [])

    def test_one_that_is_hopeless_is_ended_and_says_why(self):
        self.daemon.answer = ManagedDaemonError("it does not take the password")
        started = self.start()
        self.turn()
        error = self.failureResultOf(started, ManagedDaemonError, StartFailed).value
        self.assertIn("does not take the password", str(error))
        self.assertEqual(self.processes.living, [])

    def test_another_keeper_of_its_directory_takes_it_over(self):
        def lives(process):  # there is a look at whether it does, which is not the fakes'
            process.identity = ProcessIdentity.of(os.getpid())

        self.processes.on_spawn = lives
        self.successResultOf(self.start())
        (process,) = self.processes.living
        self.keeper.release_processes()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        other = self.make()
        self.assertEqual(other.status.pid, process.identity.pid)
        stopped = Deferred.fromCoroutine(other.stop())
        self.turn()
        self.assertTrue(self.successResultOf(stopped))
        self.assertEqual(self.processes.living, [])
        self.assertFalse(self.successResultOf(Deferred.fromCoroutine(other.stop())))


def test_its_words_are_a_file_that_is_put_aside_when_it_is_large(tmp_path, monkeypatch):
    output = FileOutput(tmp_path / "log" / "it.log")
    assert output.tail() == ""
    output.open()
    output.path.write_text("of an earlier start\n")
    output.open()
    with output.path.open("a") as file:
        file.write("of this one\n")
    assert output.tail() == "of this one\n"
    monkeypatch.setattr(standalone, "_LARGEST_LOG", 10)
    output.open()
    assert output.tail() == ""
    assert (tmp_path / "log" / "it.log.1").exists()
