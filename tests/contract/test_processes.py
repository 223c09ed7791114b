"""What a runner relies on, kept by the real processes and by the fake ones alike."""

from __future__ import annotations

import os
import signal
import uuid
from pathlib import Path

import pytest
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.protocol import ProcessProtocol
from twisted.trial.unittest import TestCase

from domogik.supervisor.interfaces import Exit, Program
from domogik.supervisor.processes import tree
from domogik.supervisor.processes.host import HostProcesses, Processes, Started
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.processes.membership import ProcessTable
from domogik.supervisor.processes.spawn import CannotSpawn, exit_of
from domogik.testing.processes import FakeProcess, FakeProcesses


class Watcher(ProcessProtocol):
    def __init__(self):
        self.exited = Deferred()

    def processExited(self, reason):
        self.exited.callback(exit_of(reason))


class ProcessesContract:
    """The promises; `PATIENT` and so on are programs that behave as their names say."""

    PATIENT: tuple[str, ...]
    FAILING: tuple[str, ...]
    DEAF: tuple[str, ...]
    MISSING: tuple[str, ...]
    #: leaves a process in a session of its own, and ends
    BACKGROUND: tuple[str, ...]
    #: leaves one in its own session, and ends
    LEAVES_A_CHILD: tuple[str, ...]
    processes: Processes

    async def until_ready(self) -> None:
        """Until the program started last has done what its name says."""

    def start(self, argv):
        run_id = uuid.uuid4().hex
        environment = {"PATH": os.environ["PATH"], "DOMOGIK_RUN_ID": run_id}
        environment["READY"] = self.ready_file = self.mktemp()
        self.ready_file = environment["READY"] = str(Path(self.ready_file).absolute())
        watcher = Watcher()
        output = os.open(os.devnull, os.O_WRONLY)
        try:
            watched = self.processes.spawn(watcher, Program(argv, environment, Path("/")), output)
        finally:
            os.close(output)
        started = Started(watched.identity, run_id)
        self.addCleanup(self.end, started, timeout=0)
        return watcher, watched, started

    def end(self, started, *, exited=False, timeout):
        return self.processes.end(started, exited=exited, signal="TERM", timeout=timeout)

    async def test_a_process_that_fails_tells_its_status(self):
        watcher, _, _ = self.start(self.FAILING)
        self.assertEqual(await watcher.exited, Exit(code=3))

    def test_a_program_that_is_missing_cannot_be_started(self):
        with self.assertRaises(CannotSpawn):
            self.start(self.MISSING)

    async def test_a_started_process_is_a_member_of_its_start_until_it_is_ended(self):
        watcher, watched, started = self.start(self.PATIENT)
        self.assertEqual(self.processes.members(started), {watched.identity})
        self.assertEqual(self.processes.marked(started.run_id), {watched.identity})
        await self.end(started, timeout=60)
        self.assertEqual(await watcher.exited, Exit(signal=signal.SIGTERM))
        self.assertEqual(self.processes.members(started), frozenset())

    async def test_who_is_deaf_is_killed_when_the_time_is_out(self):
        watcher, _, started = self.start(self.DEAF)
        await self.until_ready()
        await self.end(started, timeout=0.05)
        self.assertEqual(await watcher.exited, Exit(signal=signal.SIGKILL))

    async def test_who_does_not_hear_his_last_signal_either_is_killed(self):
        self.patch(tree, "_LAST_SIGNAL_TIMEOUT_S", 0.05)
        watcher, _, started = self.start(self.DEAF)
        await self.until_ready()
        await self.processes.end(
            started,
            exited=False,
            signal="TERM",
            timeout=0.05,
            leader_first=True,
            last_signal="INT",
        )
        self.assertIn((await watcher.exited).signal, (signal.SIGINT, signal.SIGKILL))

    async def test_many_whose_ends_are_announced_end_all_the_same(self):
        programs = [self.start(argv) for argv in (self.PATIENT, self.PATIENT, self.DEAF)]
        await self.until_ready()
        self.processes.announce([(started, "TERM") for _, _, started in programs])
        await gatherResults([self.end(started, timeout=0.5) for _, _, started in programs])
        exits = await gatherResults([watcher.exited for watcher, _, _ in programs])
        self.assertEqual([exit.signal for exit in exits], [signal.SIGTERM] * 2 + [signal.SIGKILL])

    async def test_ending_what_has_ended_is_done_at_once(self):
        watcher, _, started = self.start(self.FAILING)
        await watcher.exited
        await self.end(started, exited=True, timeout=60)

    async def test_the_end_of_an_adopted_process_is_told_to_its_new_watcher_only(self):
        first, watched, started = self.start(self.PATIENT)
        watched.detach()
        second = Watcher()
        self.assertEqual(self.processes.adopt(second, started.leader).identity, started.leader)
        await self.end(started, timeout=60)
        await second.exited
        self.assertFalse(first.exited.called)

    async def test_who_goes_on_after_its_first_process_is_found(self):
        watcher, watched, started = self.start(self.BACKGROUND)
        self.assertEqual(await watcher.exited, Exit(code=0))
        session = watched.identity.pid
        for apart in (False, True):
            found = await self.processes.successor(started, session, apart=apart)
            self.assertIn(found, self.processes.members(started))
        await self.end(started, exited=True, timeout=60)
        self.assertIsNone(await self.processes.successor(started, session, apart=False))

    async def test_who_stays_in_the_session_is_not_apart(self):
        watcher, watched, started = self.start(self.LEAVES_A_CHILD)
        self.assertEqual(await watcher.exited, Exit(code=0))
        session = watched.identity.pid
        found = await self.processes.successor(started, session, apart=False)
        self.assertEqual({found}, self.processes.members(started))
        self.assertIsNone(await self.processes.successor(started, session, apart=True))

    def test_what_does_not_run_cannot_be_adopted(self):
        identity = ProcessIdentity.of(os.getpid())
        other = ProcessIdentity(identity.pid, identity.start_ticks + 1, identity.boot_id)
        with self.assertRaises(NoSuchProcess):
            self.processes.adopt(Watcher(), other)


@pytest.mark.integration
class TestHostProcesses(ProcessesContract, TestCase):
    PATIENT = ("sleep", "600")
    FAILING = ("sh", "-c", "exit 3")
    DEAF = ("sh", "-c", 'trap "" TERM; : > "$READY"; while :; do sleep 600; done')
    MISSING = ("there-is-no-such-program",)
    BACKGROUND = (
        "sh",
        "-c",
        'setsid sh -c ": > $READY; sleep 600" & while ! test -e "$READY"; do sleep 0.01; done',
    )
    LEAVES_A_CHILD = ("sh", "-c", "sleep 600 & exit 0")

    def setUp(self):
        self.processes = HostProcesses(reactor, ProcessTable(reactor))

    async def until_ready(self):
        while not Path(self.ready_file).exists():
            turn = Deferred()
            reactor.callLater(0.005, turn.callback, None)
            await turn

    async def test_the_others_of_one_that_was_killed_do_not_get_its_time(self):
        """Nor where its end is known to the kernel only, as to a program that waits for us."""
        child = '(trap "" TERM; : > "$READY"; while :; do sleep 600; done) & wait'
        _, _, started = self.start(("sh", "-c", child))
        await self.until_ready()
        os.kill(started.leader.pid, signal.SIGKILL)
        while started.leader.is_running():
            pass
        begun = reactor.seconds()
        await self.processes.end(
            started, exited=False, signal="TERM", timeout=30, leader_first=True
        )
        self.assertLess(reactor.seconds() - begun, 20)
        self.assertEqual(self.processes.members(started), frozenset())


class TestFakeProcesses(ProcessesContract, TestCase):
    PATIENT = ("patient",)
    FAILING = ("failing",)
    DEAF = ("deaf",)
    MISSING = ("missing",)
    BACKGROUND = ("background",)
    LEAVES_A_CHILD = ("leaves-a-child",)

    def setUp(self):
        self.processes = FakeProcesses(reactor, self.on_spawn, missing={"missing"})

    def on_spawn(self, process: FakeProcess) -> None:
        match process.program.argv[0]:
            case "failing":
                reactor.callLater(0, process.ends, Exit(code=3))
            case "deaf":
                process.ignores_signals = True
            case "background" | "leaves-a-child" as name:
                child = self.processes.fork(process.run_id)
                child.has_own_session = name == "background"
                reactor.callLater(0, process.ends, Exit(code=0))
