"""A supervisor and real programs: crashes, bad programs, stops, and the death of the manager."""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from domogik.components.model import State
from domogik.errors import UnknownComponent
from domogik.supervisor.interfaces import Exit, Policy, Program, Readiness, Specification
from domogik.supervisor.processes.adoption import ProcessRecord, Records
from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.supervisor.processes.spawn import spawn
from domogik.supervisor.service import NotRunning, StartFailed, Supervisor

pytestmark = pytest.mark.integration
reactor: Any = _reactor

#: what a Python program of these tests begins with
PRELUDE = """
import os, signal, socket, sys, time

def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())

def notify(text):
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
        address = os.environ["NOTIFY_SOCKET"]
        s.connect("\\0" + address[1:] if address.startswith("@") else address)
        s.send(text.encode())
"""

DEAF = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
notify("READY=1")
while True:
    time.sleep(1000)
"""

PATIENT = """
notify("READY=1")
while True:
    time.sleep(1000)
"""

#: the leader, a child in its session, a deaf one, and a deaf one in a session of its own
FAMILY = """
for deaf, alone in ((False, False), (True, False), (True, True)):
    if os.fork() == 0:
        if deaf:
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        if alone:
            os.setsid()
        say(os.getpid())
        while True:
            time.sleep(1000)
say(os.getpid())
notify("READY=1")
while True:
    time.sleep(1000)
"""

COUNTING = """
notify("READY=1")
number = 0
while True:
    say(number)
    number += 1
    time.sleep(0.002)
"""

#: counts to 20, and on when it may
COUNTING_IN_TWO_PARTS = COUNTING.replace(
    "    say(number)",
    """
    while number == 20 and not os.path.exists("go"):
        time.sleep(0.01)
    say(number)""",
)

#: says when it was told to end, and takes its time over it
TIDY = """
told = 0
def tell(*_):
    global told
    told += 1
    say("told")
signal.signal(signal.SIGTERM, tell)
notify("READY=1")
while not told:
    time.sleep(0.01)
end = time.monotonic() + 0.3
while time.monotonic() < end:
    time.sleep(0.01)
"""

#: a manager: configures one component, says what happens, starts it unless it was taken over
MANAGER = """
import json, os, random, signal, sys, time
from pathlib import Path
from twisted.internet import reactor
from domogik.supervisor.interfaces import *
from domogik.supervisor.service import Supervisor

directory = Path(sys.argv[1])
def changed(id, before, after):
    print(json.dumps([after.state.value, after.pid, after.adopted, after.reason]), flush=True)
supervisor = Supervisor(reactor, directory / "run", directory / "log", on_change=changed,
                        wall_clock=time.time, random=random.random)
program = Program((sys.executable, "program.py"), dict(os.environ), directory)
policy = Policy(restart=Restart.NO)
supervisor.startService()
supervisor.configure(Specification("plugin:it", program, policy, Readiness.NOTIFY))
def upgrade():
    supervisor.prepare_exec()
    os.execv(sys.executable, [sys.executable, *sys.argv])
signal.signal(signal.SIGUSR2, lambda *_: reactor.callFromThread(upgrade))
if not supervisor.status("plugin:it").adopted:
    supervisor.start("plugin:it")
reactor.run()
"""


def is_alive(pid):
    try:
        return ProcessIdentity.of(pid).is_running()
    except Exception:
        return False


def turn(seconds=0.01):
    waiter: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiter.callback, None)
    return waiter


async def until(condition):
    """Ends with the test's own time limit, whatever the speed of the machine."""
    while not (found := condition()):
        await turn()
    return found


class SupervisorCase(TestCase):
    def setUp(self):
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.changes = []
        self.supervisor = self.make()

    def make(self, **options):
        supervisor = Supervisor(
            reactor,
            self.directory / "run",
            self.directory / "log",
            on_change=self.changed,
            wall_clock=time.time,
            random=random.random,
            **options,
        )
        supervisor.startService()
        self.addCleanup(supervisor.stopService)
        return supervisor

    def changed(self, id, before, after):
        self.changes.append((id, after))
        self.on_change(id, before, after)

    def on_change(self, id, before, after):
        """What a test wants to do at that moment; it may be over when a test next looks."""

    def python(self, text):
        return (sys.executable, "-S", "-c", PRELUDE + textwrap.dedent(text))

    def configure(self, argv, id="plugin:it", *, readiness=Readiness.NOTIFY, needs=(), **policy):
        policy = {"backoff_first": 0.01, "stop_timeout": 5, **policy}
        program = Program(tuple(argv), {"PATH": os.environ["PATH"]}, self.directory)
        self.supervisor.configure(
            Specification(id, program, Policy(**policy), readiness, tuple(needs))
        )

    def status(self, id="plugin:it"):
        return self.supervisor.status(id)

    def output(self, id="plugin-it"):
        path = self.directory / "log" / f"{id}.log"
        return path.read_text().split() if path.exists() else []

    def states(self, id="plugin:it"):
        return [status.state for of, status in self.changes if of == id]


class TestPrograms(SupervisorCase):
    async def test_a_crashed_program_is_back_with_another_pid(self):
        self.configure(self.python(PATIENT))
        before = await self.supervisor.start("plugin:it")
        os.kill(before.pid, signal.SIGKILL)
        await until(lambda: self.status().state is State.RUNNING and self.status().restarts == 1)
        self.assertNotEqual(self.status().pid, before.pid)
        self.assertNotEqual(self.status().run_id, before.run_id)

    async def test_a_missing_program_is_said_to_be_missing(self):
        self.configure(["/nowhere/program"])
        error = await self.assertFailure(self.supervisor.start("plugin:it"), StartFailed)
        self.assertIn("/nowhere/program is missing", str(error))
        self.assertIs(self.status().state, State.BACKOFF)

    async def test_a_file_that_is_no_program_is_said_not_to_be_executable(self):
        (self.directory / "notes").write_text("buy milk")
        self.configure([str(self.directory / "notes")])
        error = await self.assertFailure(self.supervisor.start("plugin:it"), StartFailed)
        self.assertIn("notes is not executable", str(error))

    async def test_a_program_that_fails_at_once_again_and_again_has_failed(self):
        self.configure(["sh", "-c", "exit 7"], start_limit=3)
        await self.assertFailure(self.supervisor.start("plugin:it"), StartFailed)
        await until(lambda: self.status().state is State.FAILED)
        self.assertEqual(self.status().exit, Exit(code=7))
        self.assertEqual(self.status().restarts, 3)
        self.assertIn("exit status 7", self.status().reason)
        self.assertIn("ended 3 times in 10 minutes", self.status().reason)

    async def test_a_program_that_puts_itself_into_the_background_is_followed(self):
        daemon = """
        if os.fork(): os._exit(0)
        os.setsid()
        if os.fork(): os._exit(0)
        say(os.getpid())
        while True:
            time.sleep(1000)
        """
        self.configure(self.python(daemon), readiness=Readiness.TOLD, backoff_first=0)
        started = self.supervisor.start("plugin:it")
        await until(lambda: self.output() and self.status().pid == int(self.output()[0]))
        self.supervisor.alive("plugin:it")
        first = (await started).pid
        self.assertIs(self.status().state, State.ALIVE)
        os.kill(first, signal.SIGKILL)
        await until(lambda: len(self.output()) == 2 and self.status().pid == int(self.output()[1]))
        self.supervisor.alive("plugin:it")
        self.assertEqual(self.status().restarts, 1)
        await self.supervisor.stop("plugin:it")
        self.assertFalse(any(is_alive(int(pid)) for pid in self.output()))

    async def test_a_program_that_is_never_ready_is_ended_and_said_to_be(self):
        self.configure(["sleep", "1000"], start_timeout=0.2, backoff_first=1000)
        error = await self.assertFailure(self.supervisor.start("plugin:it"), StartFailed)
        self.assertEqual(error.reason, "did not say that it is ready within 0.2 s")
        pid = next(status.pid for _, status in self.changes if status.pid)
        await until(lambda: self.status().state is State.BACKOFF)
        self.assertFalse(is_alive(pid))

    async def test_a_program_without_any_sign_runs_when_it_has_survived(self):
        self.configure(["sleep", "1000"], readiness=Readiness.SURVIVAL)
        status = await self.supervisor.start("plugin:it")
        self.assertIs(status.state, State.RUNNING)

    async def test_what_a_program_says_of_itself_is_shown(self):
        self.configure(self.python('notify("STATUS=reading the map")\n' + PATIENT))
        await self.supervisor.start("plugin:it")
        self.assertEqual(self.status().reason, "reading the map")
        self.assertIn("reading the map", [status.reason for _, status in self.changes])

    async def test_a_child_of_a_program_may_notify_for_it(self):
        self.configure(
            self.python(
                """
                if os.fork() == 0:
                    notify("READY=1")
                while True:
                    time.sleep(1000)
                """
            )
        )
        status = await self.supervisor.start("plugin:it")
        self.assertIs(status.state, State.RUNNING)

    async def test_nobody_can_notify_for_a_stranger(self):
        self.configure(["sleep", "1000"])
        self.configure(self.python(PATIENT), id="plugin:other")
        started = self.supervisor.start("plugin:it")
        await self.supervisor.start("plugin:other")
        self.assertIs(self.status().state, State.STARTING)
        await self.supervisor.stop("plugin:it")
        await self.assertFailure(started, StartFailed)

    async def test_a_program_that_stops_feeding_its_watchdog_is_restarted(self):
        self.configure(self.python(PATIENT), watchdog=0.3)
        await self.supervisor.start("plugin:it")
        await until(lambda: self.status().restarts > 0)
        reasons = [status.reason for _, status in self.changes]
        self.assertTrue(any("gave no sign to its watchdog" in reason for reason in reasons))

    async def test_figures_are_of_the_whole_family(self):
        self.configure(self.python(FAMILY), stop_timeout=0)
        await self.supervisor.start("plugin:it")
        usage = await self.supervisor.usage(["plugin:it", "plugin:unknown"])
        self.assertEqual(usage["plugin:it"].processes, 4)
        self.assertGreater(usage["plugin:it"].memory_bytes, 0)


class TestStops(SupervisorCase):
    async def test_a_stop_leaves_nobody_of_the_family(self):
        self.configure(self.python(FAMILY), stop_timeout=0.2)
        await self.supervisor.start("plugin:it")
        family = await until(lambda: len(self.output()) == 4 and self.output())
        await self.supervisor.stop("plugin:it")
        self.assertEqual([pid for pid in family if is_alive(int(pid))], [])
        self.assertIs(self.status().state, State.STOPPED)

    async def test_a_family_whose_head_was_killed_is_gone_before_the_next(self):
        self.configure(self.python(FAMILY), stop_timeout=0.2)
        status = await self.supervisor.start("plugin:it")
        family = await until(lambda: len(self.output()) == 4 and self.output())
        self.left_at_restart = []

        def changed(id, before, after):
            if after.state is State.STARTING and after.restarts and not self.left_at_restart:
                self.left_at_restart.append([pid for pid in family if is_alive(int(pid))])

        self.on_change = changed
        os.kill(status.pid, signal.SIGKILL)
        left = await until(lambda: self.left_at_restart)
        self.assertEqual(left, [[]])

    async def test_the_deaf_are_stopped_side_by_side(self):
        ids = [f"plugin:deaf{number}" for number in range(5)]
        for id in ids:
            self.configure(self.python(DEAF), id=id, stop_timeout=0.3)
        await gatherResults([self.supervisor.start(id) for id in ids])
        del self.changes[:]
        await self.supervisor.stopService()
        states = [status.state for _, status in self.changes]
        first_stopped = states.index(State.STOPPED)
        stopping = {of for of, status in self.changes[:first_stopped]}
        self.assertEqual(stopping, set(ids))
        self.assertEqual({self.status(id).exit for id in ids}, {Exit(signal=9)})

    async def test_at_the_end_everybody_is_told_once_to_tidy_up(self):
        names = [f"tidy{number}" for number in range(3)]
        for name in names:
            self.configure(self.python(TIDY), id=f"plugin:{name}")
        await gatherResults([self.supervisor.start(f"plugin:{name}") for name in names])
        await self.supervisor.stopService()
        self.assertEqual([self.output(f"plugin-{name}") for name in names], [["told"]] * 3)

    async def test_the_end_of_the_supervisor_leaves_nothing_but_logs(self):
        self.configure(self.python(FAMILY), stop_timeout=0.2)
        self.configure(["sh", "-c", "exit 1"], id="plugin:failing", backoff_first=1000)
        await self.supervisor.start("plugin:it")
        await self.assertFailure(self.supervisor.start("plugin:failing"), StartFailed)
        family = await until(lambda: len(self.output()) == 4 and self.output())
        await self.supervisor.stopService()
        self.assertEqual([pid for pid in family if is_alive(int(pid))], [])
        self.assertEqual(list((self.directory / "run" / "processes").iterdir()), [])
        self.assertEqual(self.make().wanted_after_crash(), frozenset())

    async def test_a_fault_while_one_is_stopped_keeps_the_end_from_none_of_the_others(self):
        self.configure(self.python(PATIENT), id="plugin:faulty")
        self.configure(self.python(TIDY))
        faulty = self.supervisor._runner("plugin:faulty")
        faulty.specification = attrs.evolve(
            faulty.specification, before_stop=lambda: fail(ValueError("a fault of ours"))
        )
        await self.supervisor.start("plugin:faulty")
        pid = (await self.supervisor.start("plugin:it")).pid
        await self.supervisor.stopService()
        self.assertFalse(is_alive(pid))
        self.assertEqual([str(one.value) for one in self.flushLoggedErrors()], ["a fault of ours"])
        faulty.specification = attrs.evolve(faulty.specification, before_stop=None)
        await faulty.stop()

    async def test_a_stop_of_what_does_not_run_is_refused(self):
        self.configure(["true"])
        await self.assertFailure(self.supervisor.stop("plugin:it"), NotRunning)

    async def test_what_is_forgotten_is_stopped_first(self):
        self.configure(self.python(PATIENT))
        status = await self.supervisor.start("plugin:it")
        await self.supervisor.forget("plugin:it")
        self.assertFalse(is_alive(status.pid))
        self.assertEqual(self.supervisor.ids(), ())
        with self.assertRaises(UnknownComponent):
            self.supervisor.status("plugin:it")


class TestNeeds(SupervisorCase):
    async def test_what_is_needed_is_ready_first_and_stopped_last(self):
        self.configure(self.python(PATIENT), id="daemon:base")
        self.configure(self.python(PATIENT), needs=["daemon:base"])
        await self.supervisor.start("plugin:it")
        self.assertIs(self.status("daemon:base").state, State.RUNNING)
        del self.changes[:]
        await self.supervisor.stopService()
        order = [of for of, status in self.changes if status.state is State.STOPPED]
        self.assertEqual(order, ["plugin:it", "daemon:base"])

    async def test_who_needs_what_does_not_start_does_not_start(self):
        self.configure(["/nowhere"], id="daemon:base")
        self.configure(self.python(PATIENT), needs=["daemon:base"])
        error = await self.assertFailure(self.supervisor.start("plugin:it"), StartFailed)
        self.assertIn("plugin:it needs daemon:base", str(error))
        self.assertIs(self.status().state, State.STOPPED)

    async def test_a_circle_of_needs_is_named(self):
        self.configure(["true"], id="daemon:base", needs=["plugin:it"])
        self.configure(["true"], needs=["daemon:base"])
        error = await self.assertFailure(self.supervisor.start("plugin:it"), StartFailed)
        self.assertIn("plugin:it needs daemon:base needs plugin:it", str(error))


class TestSuccession(SupervisorCase):
    """What one manager leaves, and the next finds."""

    def records(self):
        return Records(self.directory / "run" / "processes")

    def record(self) -> ProcessRecord:
        record = dict(self.records().load())["plugin:it"]
        assert record is not None
        return record

    async def start_and_hand_over(self, program=PATIENT, *, meanwhile=lambda: None):
        self.configure(self.python(program), stop_timeout=0.2)
        status = await self.supervisor.start("plugin:it")
        self.supervisor.keep_children = True
        await self.supervisor.stopService()
        meanwhile()
        self.supervisor = self.make()
        return status

    async def test_children_kept_are_taken_over_with_their_pid(self):
        before = await self.start_and_hand_over()
        self.assertEqual(self.supervisor.wanted_after_crash(), frozenset())
        self.configure(self.python(PATIENT))
        after = self.status()
        self.assertTrue(after.adopted)
        self.assertEqual((after.pid, after.run_id), (before.pid, before.run_id))
        await self.supervisor.stop("plugin:it")
        self.assertFalse(is_alive(before.pid))

    async def test_an_adopted_plugin_starts_until_it_is_heard(self):
        before = await self.start_and_hand_over()
        self.configure(self.python(PATIENT), readiness=Readiness.TOLD)
        self.assertIs(self.status().state, State.STARTING)
        self.supervisor.alive("plugin:it")
        self.assertIs(self.status().state, State.ALIVE)
        self.assertEqual(self.status().pid, before.pid)

    async def test_an_adopted_program_can_still_notify(self):
        speaking = PATIENT.replace("time.sleep(1000)", 'time.sleep(0.02); notify("STATUS=here")')
        await self.start_and_hand_over(speaking)
        self.configure(self.python(speaking))
        await until(lambda: self.status().reason == "here")

    async def test_a_child_whose_manager_died_before_it_knew_the_pid_is_found(self):
        def forget_the_process():
            record = self.record()
            self.records().begin(ProcessRecord(record.id, record.run_id, record.started))

        before = await self.start_and_hand_over(meanwhile=forget_the_process)
        self.configure(self.python(PATIENT))
        self.assertEqual(self.status().pid, before.pid)
        self.assertEqual(self.record().process.pid, before.pid)

    async def test_what_died_with_the_manager_is_wanted_and_its_family_cleared_away(self):
        pids = []

        def kill_the_head():
            pids.extend(int(pid) for pid in self.output())
            os.kill(self.record().process.pid, signal.SIGKILL)
            os.waitpid(self.record().process.pid, 0)

        await self.start_and_hand_over(FAMILY, meanwhile=kill_the_head)
        self.assertEqual(self.supervisor.wanted_after_crash(), {"plugin:it"})
        self.configure(self.python(PATIENT), stop_timeout=0.2)
        self.assertIs(self.status().state, State.STOPPING)
        status = await self.supervisor.start("plugin:it")
        self.assertEqual([pid for pid in pids if is_alive(pid)], [])
        self.assertNotIn(status.pid, pids)

    async def test_after_another_boot_everything_that_was_wanted_is_wanted_again(self):
        identity = ProcessIdentity(os.getpid(), 1, "another boot")
        await self.supervisor.stopService()
        self.records().begin(ProcessRecord("plugin:it", "mark", 1.0, identity))
        self.supervisor = self.make()
        self.assertEqual(self.supervisor.wanted_after_crash(), {"plugin:it"})
        self.assertEqual(self.supervisor.orphans(), ())
        self.configure(self.python(PATIENT))
        self.assertIs(self.status().state, State.STOPPED)

    async def test_a_broken_record_keeps_nobody_from_starting(self):
        await self.supervisor.stopService()
        (self.directory / "run" / "processes" / "plugin-it.json").write_bytes(b"\0\0\0")
        self.supervisor = self.make()
        self.assertEqual(self.supervisor.wanted_after_crash(), {"plugin:it"})
        self.configure(self.python(PATIENT))
        await self.supervisor.start("plugin:it")

    async def test_who_runs_without_being_configured_any_more_can_be_stopped(self):
        before = await self.start_and_hand_over()
        self.assertEqual(self.supervisor.orphans(), ("plugin:it",))
        await self.supervisor.stop_orphan("plugin:it")
        self.assertFalse(is_alive(before.pid))
        self.assertEqual(self.supervisor.orphans(), ())

    async def test_a_stop_of_the_manager_ends_those_it_did_not_know_what_to_do_with(self):
        before = await self.start_and_hand_over()
        await self.supervisor.stopService()
        self.assertFalse(is_alive(before.pid))


class Ended(ProcessProtocol):
    def __init__(self):
        self.ended = Deferred()

    def processEnded(self, reason):
        self.ended.callback(None)


class TestDeathOfTheManager(SupervisorCase):
    def start_manager(self, program):
        (self.directory / "program.py").write_text(PRELUDE + program)
        (self.directory / "manager.py").write_text(MANAGER)
        argv = (sys.executable, "manager.py", str(self.directory))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        self.said = self.directory / "said"
        output = os.open(self.said, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self.manager = Ended()
        try:
            program = Program(argv, environment, self.directory)
            manager = spawn(reactor, self.manager, program, output=output)
        finally:
            os.close(output)
        self.addCleanup(self.clear_away, manager)
        return manager

    async def clear_away(self, manager):
        """Whatever became of the test: neither the manager nor its child is left."""
        if not self.manager.ended.called:
            manager.signalProcess("KILL")
            await self.manager.ended
        await self.supervisor.stopService()
        await self.make().stopService()

    def heard(self):
        lines = self.said.read_text().splitlines()
        return [json.loads(line) for line in lines if line.startswith("[")]

    async def until_heard(self, condition):
        def find():
            self.assertNotIn("Traceback", self.said.read_text())
            return next((said for said in self.heard() if condition(*said)), None)

        return await until(find)

    def setUp(self):
        super().setUp()
        return self.supervisor.stopService()

    async def test_a_killed_manager_loses_no_child_and_no_line(self):
        manager = self.start_manager(COUNTING_IN_TWO_PARTS)
        _, pid, _, _ = await self.until_heard(lambda state, *_: state == "running")
        # what the manager had read and not yet written would die with it
        await until(lambda: len(self.output()) == 20)
        manager.signalProcess("KILL")
        await self.manager.ended
        written = len(self.output())
        (self.directory / "go").touch()
        await turn(0.1)  # it goes on counting while nobody listens
        self.supervisor = self.make()
        self.configure(["never"])
        self.assertEqual(self.status().pid, pid)
        await until(lambda: len(self.output()) > written + 100)
        await self.supervisor.stop("plugin:it")
        self.assertFalse(is_alive(pid))
        self.assertEqual(self.output(), [str(number) for number in range(len(self.output()))])

    async def test_an_upgrade_keeps_the_child_and_still_learns_how_it_ends(self):
        program = "signal.signal(signal.SIGTERM, lambda *_: os._exit(7))\n" + COUNTING
        manager = self.start_manager(program)
        _, pid, _, _ = await self.until_heard(lambda state, *_: state == "running")
        manager.signalProcess("USR2")
        await self.until_heard(lambda state, its, adopted, _: adopted and its == pid)
        os.kill(pid, signal.SIGTERM)
        await self.until_heard(lambda state, its, adopted, reason: "exit status 7" in reason)
        self.assertEqual(self.output(), [str(number) for number in range(len(self.output()))])
