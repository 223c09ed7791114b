"""Real processes: started, adopted, ended with everybody they brought along."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import textwrap
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import attrs
import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.defer import CancelledError, Deferred, DeferredQueue, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from domogik.supervisor.interfaces import Exit, Program
from domogik.supervisor.logs.output import OutputLog
from domogik.supervisor.processes.command import run
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.processes.membership import ProcessTable
from domogik.supervisor.processes.spawn import CannotSpawn, ProcessTransport, adopt, exit_of, spawn
from domogik.supervisor.processes.tree import stop_tree

pytestmark = pytest.mark.integration
reactor: Any = _reactor

PREFIX = """
import os, signal, sys, time
def say(*words):
    os.write(1, (" ".join(map(str, words)) + "\\n").encode())
def deaf(*signals):
    for number in signals:
        signal.signal(number, signal.SIG_IGN)
"""


class Ending(ProcessProtocol):
    """Remembers what it is told."""

    def __init__(self) -> None:
        self.exited: Deferred[Exit] = Deferred()
        self.ended: Deferred[Exit] = Deferred()

    def processExited(self, reason: Failure) -> None:
        self.exited.callback(exit_of(reason))

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(exit_of(reason))


@attrs.define
class Child:
    protocol: Ending
    transport: ProcessTransport
    run_id: str

    @property
    def identity(self) -> ProcessIdentity:
        return self.transport.identity


class Case(TestCase):
    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)
        self.lines: DeferredQueue[str] = DeferredQueue()
        self.log = OutputLog(
            reactor,
            self.directory / "fifo",
            self.directory / "log",
            max_size=10**9,
            files=0,
        )
        self.log.open()
        self.log.follow(self.lines.put)
        self.addCleanup(self.log.close)
        self.table = ProcessTable(reactor)
        self.started = 0
        self.seen: set[ProcessIdentity] = set()
        self.addCleanup(self.sweep)

    def sweep(self) -> None:
        """Whatever a failed test left."""
        for identity in self.seen:
            if identity.is_running():
                os.kill(identity.pid, signal.SIGKILL)

    def program(self, source: str, **more: Any) -> Program:
        self.started += 1
        environment = {
            "PATH": os.environ["PATH"],
            "DOMOGIK_RUN_ID": f"{self.id()}-{os.getpid()}-{self.started}",
        }
        code = PREFIX + textwrap.dedent(source)
        argv = (sys.executable, "-S", "-E", "-c", code)
        return Program(argv, environment, self.directory, **more)

    def spawn(self, program: Program) -> Child:
        writer = self.log.writer()
        protocol = Ending()
        try:
            transport = spawn(reactor, protocol, program, output=writer)
        finally:
            os.close(writer)
        self.seen.add(transport.identity)
        return Child(protocol, transport, program.environment.get("DOMOGIK_RUN_ID", ""))

    def python(self, source: str, **more: Any) -> Child:
        return self.spawn(self.program(source, **more))

    async def ready(self, count: int = 1) -> list[ProcessIdentity]:
        """Those who said `ready PID`, in the order of their words."""
        found = []
        for _ in range(count):
            word, pid = (await self.lines.get()).split()
            assert word == "ready"
            found.append(ProcessIdentity.of(int(pid)))
        self.seen.update(found)
        return found

    def stop(self, child: Child, *, timeout: float = 30, **more: Any) -> Deferred[None]:
        return stop_tree(
            reactor, self.table, child.identity, run_id=child.run_id, timeout=timeout, **more
        )

    def assert_gone(self, processes: Iterable[ProcessIdentity]) -> None:
        assert [one.pid for one in processes if one.is_running()] == []


class Starting(Case):
    async def test_a_program_runs_as_it_was_told(self) -> None:
        child = self.python(
            """
            old = os.umask(0)
            say(os.getcwd(), os.getsid(0) == os.getpid() == os.getpgid(0), oct(old))
            say(sorted(os.environ), repr(sys.stdin.read()))
            print("and its errors", file=sys.stderr)
            sys.exit(3)
            """
        )
        assert await self.lines.get() == f"{self.directory} True 0o77"
        said = await self.lines.get()
        assert "'DOMOGIK_RUN_ID'" in said
        assert "HOME" not in said
        assert said.endswith(" ''")
        assert await self.lines.get() == "and its errors"
        assert await child.protocol.exited == Exit(code=3)
        assert await child.protocol.ended == Exit(code=3)
        assert child.transport.pid is None
        assert child.transport.exit == Exit(code=3)
        assert child.transport.exit.words == "exit status 3"

    async def test_a_good_end_and_a_violent_one_are_told_apart(self) -> None:
        assert await self.python("pass").protocol.ended == Exit(code=0)
        child = self.python("say('ready', os.getpid()); time.sleep(600)")
        await self.ready()
        child.transport.signalProcess("KILL")
        assert await child.protocol.ended == Exit(signal=signal.SIGKILL)
        with pytest.raises(ProcessExitedAlready):
            child.transport.signalProcess("TERM")

    async def test_an_end_is_told_while_a_grandchild_holds_the_output(self) -> None:
        child = self.python(
            """
            if os.fork() == 0:
                say('ready', os.getpid())
                time.sleep(600)
            """
        )
        await child.protocol.ended
        grandchildren = await self.ready()
        await self.stop(child)
        self.assert_gone(grandchildren)

    def test_what_cannot_be_started_is_said_in_a_sentence(self) -> None:
        plain = self.directory / "plain"
        plain.write_text("no program\n")
        broken = self.directory / "broken"
        broken.write_text("#!/nowhere/interpreter\n")
        odd = self.directory / "odd"
        odd.write_bytes(b"\x00\x01\x02")
        for path in (broken, odd):
            path.chmod(0o755)
        before = os.listdir("/proc/self/fd")
        for argv, sentence in (
            (("/nowhere/program",), "/nowhere/program is missing"),
            (("no-such-program-anywhere",), "no-such-program-anywhere is missing"),
            ((str(plain),), f"{plain} is not executable"),
            ((str(broken),), f"{broken} names an interpreter in its first line that is missing"),
            ((str(odd),), f"{odd} is neither a program nor a script with #! in its first line"),
            (("/bin/true", "a\0b"), "/bin/true cannot be executed: embedded null byte"),
        ):
            with pytest.raises(CannotSpawn) as caught:
                self.spawn(Program(argv, {"PATH": "/usr/bin:/bin"}, self.directory))
            assert str(caught.value) == sentence
        with pytest.raises(CannotSpawn, match="its directory /nowhere is missing"):
            self.spawn(Program(("/bin/true",), {}, Path("/nowhere")))
        assert os.listdir("/proc/self/fd") == before

    async def test_limits_hold_from_the_first_instruction(self) -> None:
        nice = os.getpriority(os.PRIO_PROCESS, 0)
        child = self.python(
            """
            import resource
            say(*resource.getrlimit(resource.RLIMIT_AS))
            say(*resource.getrlimit(resource.RLIMIT_NOFILE))
            say(os.getpriority(os.PRIO_PROCESS, 0), os.getsid(0) == os.getpid())
            """,
            memory_max=2**30,
            open_files_max=77,
            nice=3,
        )
        assert await self.lines.get() == f"{2**30} {2**30}"
        assert await self.lines.get() == "77 77"
        assert await self.lines.get() == f"{min(19, nice + 3)} True"
        assert child.identity.pid > 0
        assert await child.protocol.ended == Exit(code=0)

    async def test_who_wants_more_memory_than_allowed_does_not_get_it(self) -> None:
        child = self.python("bytearray(2**31)", memory_max=2**29)
        assert await child.protocol.ended == Exit(code=1)

    def test_a_missing_program_is_said_with_limits_too(self) -> None:
        for argv, words in (
            (("/nowhere/program",), "/nowhere/program is missing"),
            (("no-such-program-anywhere",), "not in the search path /bin"),
        ):
            with pytest.raises(CannotSpawn, match=words):
                self.spawn(Program(argv, {"PATH": "/bin"}, self.directory, nice=1))

    async def test_a_protocol_that_fails_is_logged_and_told_the_rest(self) -> None:
        class Failing(Ending):
            def processExited(self, reason: Failure) -> None:
                raise RuntimeError("a fault of ours")

        protocol = Failing()
        writer = self.log.writer()
        spawn(reactor, protocol, self.program("pass"), output=writer)
        os.close(writer)
        assert await protocol.ended == Exit(code=0)
        assert len(self.flushLoggedErrors(RuntimeError)) == 1

    async def test_no_descriptor_is_left_open_or_handed_down(self) -> None:
        await self.python("pass").protocol.ended
        before = os.listdir("/proc/self/fd")
        child = self.python("say(sorted(map(int, os.listdir('/proc/self/fd')))[:3])")
        await child.protocol.ended
        children = self.python(
            """
            fds = set(os.listdir('/proc/self/fd'))
            say([fd for fd in fds if int(fd) > 2 and os.path.exists('/proc/self/fd/' + fd)])
            """
        )
        await children.protocol.ended
        assert await self.lines.get() == "[0, 1, 2]"
        assert await self.lines.get() == "[]"
        assert os.listdir("/proc/self/fd") == before


class Adopting(Case):
    async def test_a_child_of_ours_tells_its_status_to_a_second_transport(self) -> None:
        """After an upgrade the processes are still our children."""
        child = self.python("say('ready', os.getpid()); signal.pause()")
        await self.ready()
        child.transport.detach()
        second = Ending()
        transport = adopt(reactor, second, child.identity)
        transport.signalProcess("KILL")
        assert await second.ended == Exit(signal=signal.SIGKILL)
        assert not child.protocol.ended.called

    async def test_a_child_that_ended_meanwhile_tells_its_status_too(self) -> None:
        child = self.python("say('ready', os.getpid()); signal.pause()")
        await self.ready()
        child.transport.detach()
        os.kill(child.identity.pid, signal.SIGKILL)
        os.waitid(os.P_PID, child.identity.pid, os.WEXITED | os.WNOWAIT)
        second = Ending()
        adopt(reactor, second, child.identity)
        assert await second.ended == Exit(signal=signal.SIGKILL)

    async def test_the_end_of_a_stranger_is_told_though_not_how(self) -> None:
        parent = self.python(
            """
            if os.fork() == 0:
                os.setsid()
                say('ready', os.getpid())
                time.sleep(600)
            """
        )
        await parent.protocol.ended
        [orphan] = await self.ready()
        protocol = Ending()
        transport = adopt(reactor, protocol, orphan)
        assert transport.pid == orphan.pid
        transport.signalProcess("TERM")
        end = await protocol.ended
        assert end.unknown
        assert end.words == "ended; its status could not be read"

    async def test_another_process_with_the_same_number_is_not_adopted(self) -> None:
        child = self.python("say('ready', os.getpid()); time.sleep(600)")
        await self.ready()
        other = attrs.evolve(child.identity, start_ticks=child.identity.start_ticks + 1)
        with pytest.raises(NoSuchProcess):
            adopt(reactor, Ending(), other)
        await self.stop(child)
        await child.protocol.ended
        with pytest.raises(NoSuchProcess):
            adopt(reactor, Ending(), child.identity)


SERVER = """
def note(number, frame):
    say(role, signal.Signals(number).name)
    if (role, number) in LEAVES:
        os._exit(0)
for number in (signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, note)
role = "worker"
if os.fork() == 0:
    os.setsid()
else:
    role = "server"
say("ready", os.getpid())
while True: signal.pause()
"""


class StoppingServers(Case):
    """Whose first process ends the others itself, as PostgreSQL does."""

    async def said(self) -> list[str]:
        os.write(writer := self.log.writer(), b"no more\n")
        os.close(writer)
        lines = []
        while (line := await self.lines.get()) != "no more":
            lines.append(line)
        return lines

    async def test_only_the_leader_is_asked_and_the_others_when_he_is_gone(self) -> None:
        leaves = '{("server", signal.SIGINT), ("worker", signal.SIGINT)}'
        child = self.python(f"LEAVES = {leaves}\n{SERVER}")
        family = await self.ready(2)
        await self.stop(child, signal=signal.SIGINT, leader_first=True)
        self.assert_gone(family)
        assert await self.said() == ["server SIGINT", "worker SIGINT"]

    async def test_a_leader_who_does_not_leave_is_warned_before_everybody_is_killed(self) -> None:
        child = self.python(f'LEAVES = {{("server", signal.SIGQUIT)}}\n{SERVER}')
        family = await self.ready(2)
        await self.stop(
            child,
            signal=signal.SIGINT,
            timeout=0.05,
            leader_first=True,
            last_signal=signal.SIGQUIT,
        )
        self.assert_gone(family)
        assert await self.said() == ["server SIGINT", "server SIGQUIT"]
        assert await child.protocol.ended == Exit(code=0)


class Stopping(Case):
    async def test_nobody_of_a_family_survives(self) -> None:
        """In the group, deaf, in a session of its own, orphaned, and without an environment."""
        child = self.python(
            """
            def member(what):
                if os.fork() == 0:
                    what()
                    say('ready', os.getpid())
                    while True: time.sleep(600)
            def orphan():
                os.setsid()
                if os.fork(): os._exit(0)
            def cleared():
                os.setsid()
                code = 'import os, time; print("ready", os.getpid(), flush=True); time.sleep(600)'
                os.execve(sys.executable, [sys.executable, '-S', '-c', code], {})
            def deaf_elsewhere():
                deaf(signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
                os.setsid()
            member(lambda: None)
            member(lambda: deaf(signal.SIGTERM, signal.SIGHUP))
            member(os.setsid)
            member(deaf_elsewhere)
            member(orphan)
            member(cleared)
            say('ready', os.getpid())
            signal.pause()
            """
        )
        family = await self.ready(7)
        neighbour = self.python("say('ready', os.getpid()); time.sleep(600)")
        await self.ready()
        await self.stop(child, timeout=1)
        self.assert_gone(family)
        assert await child.protocol.ended == Exit(signal=signal.SIGTERM)
        assert neighbour.identity.is_running()
        await self.stop(neighbour)

    async def test_a_leader_that_is_gone_leaves_nobody(self) -> None:
        child = self.python(
            """
            if os.fork() == 0:
                say('ready', os.getpid())
                if os.fork() == 0:
                    os.setsid()
                    say('ready', os.getpid())
                time.sleep(600)
            """
        )
        family = await self.ready(2)
        await child.protocol.ended
        await self.stop(child)
        self.assert_gone(family)

    async def test_who_forks_while_being_killed_does_not_get_away(self) -> None:
        child = self.python(
            """
            def spread(*_):
                for _ in range(5):
                    if os.fork() == 0:
                        os.setsid()
                        say('ready', os.getpid())
                        if os.fork(): os._exit(0)
                        while True: time.sleep(600)
            signal.signal(signal.SIGTERM, spread)
            say('ready', os.getpid())
            while True: time.sleep(600)
            """
        )
        await self.ready()
        await self.stop(child, timeout=1)
        assert self.table.members(session=child.identity.pid, run_id=child.run_id) == frozenset()
        await child.protocol.ended

    async def test_a_chain_of_forks_is_cut(self) -> None:
        child = self.python(
            """
            deaf(signal.SIGTERM)
            say('ready', os.getpid())
            while True:
                time.sleep(0.02)
                if os.fork(): os._exit(0)
            """
        )
        await self.lines.get()  # it may be gone by the time that this is read
        await child.protocol.ended
        await self.stop(child, timeout=0.2)
        await self.table.fresh()
        assert self.table.members(session=child.identity.pid, run_id=child.run_id) == frozenset()

    async def test_who_was_stopped_can_still_end(self) -> None:
        child = self.python(
            """
            def bye(*_):
                say('tidied up')
                sys.exit(0)
            signal.signal(signal.SIGTERM, bye)
            say('ready', os.getpid())
            while True: time.sleep(600)
            """
        )
        await self.ready()
        child.transport.signalProcess("STOP")
        os.waitid(os.P_PID, child.identity.pid, os.WSTOPPED)
        await self.stop(child)
        assert await self.lines.get() == "tidied up"
        assert await child.protocol.ended == Exit(code=0)

    async def test_everybody_is_asked_once(self) -> None:
        child = self.python(
            """
            said = []
            def bye(*_):
                said.append(1)
            signal.signal(signal.SIGTERM, bye)
            leader = os.getpid()
            for _ in range(3):
                if os.getpid() == leader and os.fork() == 0:
                    break
            say('ready', os.getpid())
            while not said: time.sleep(0.02)
            if os.getpid() != leader:
                for _ in range(30): time.sleep(0.02)
                say('asked', len(said))
            """
        )
        family = await self.ready(4)
        await self.stop(child)
        self.assert_gone(family)
        assert [await self.lines.get() for _ in range(3)] == ["asked 1"] * 3
        await child.protocol.ended

    async def test_the_signal_may_be_another(self) -> None:
        child = self.python(
            """
            signal.signal(signal.SIGINT, lambda *_: sys.exit(7))
            deaf(signal.SIGTERM)
            say('ready', os.getpid())
            while True: time.sleep(600)
            """
        )
        await self.ready()
        await self.stop(child, signal=signal.SIGINT)
        assert await child.protocol.ended == Exit(code=7)

    async def test_the_deaf_cost_their_time_once_and_not_one_after_the_other(self) -> None:
        children = [
            self.python(
                """
                deaf(signal.SIGTERM)
                say('ready', os.getpid())
                while True: time.sleep(600)
                """
            )
            for _ in range(30)
        ]
        family = await self.ready(30)
        began = reactor.seconds()
        await gatherResults([self.stop(child, timeout=2) for child in children])
        took = reactor.seconds() - began
        self.assert_gone(family)
        assert 2 <= took < 2 * len(children)
        await gatherResults([child.protocol.ended for child in children])

    async def test_a_stop_of_what_is_gone_is_done(self) -> None:
        child = self.python("pass")
        await child.protocol.ended
        await self.stop(child)

    async def test_many_stop_together(self) -> None:
        program = Program(("/bin/sleep", "600"), {}, self.directory)
        children = [self.spawn(program) for _ in range(60)]
        await gatherResults([self.stop(child) for child in children])
        self.assert_gone(child.identity for child in children)
        ends = await gatherResults([child.protocol.ended for child in children])
        assert set(ends) == {Exit(signal=signal.SIGTERM)}


class Commands(Case):
    async def test_a_command_tells_status_and_words(self) -> None:
        done = await run(
            reactor,
            ["/bin/sh", "-c", "echo hello; echo oh >&2; exit 4"],
            timeout=30,
            limit_bytes=99,
        )
        assert (done.status, done.output) == (Exit(code=4), b"hello\noh\n")
        assert not done.timed_out
        assert not done.truncated
        assert not done.succeeded

    async def test_words_beyond_the_limit_are_dropped_and_the_command_still_ends(self) -> None:
        done = await run(
            reactor, ["/bin/sh", "-c", "head -c 5000000 /dev/zero"], timeout=30, limit_bytes=1000
        )
        assert (done.output, done.truncated, done.succeeded) == (b"\0" * 1000, True, True)

    async def test_a_command_that_takes_too_long_is_ended_with_its_family(self) -> None:
        code = "(setsid sleep 600 & echo $!; sleep 600 & echo $!; echo $$; sleep 600)"
        done = await run(reactor, ["/bin/bash", "-c", code], timeout=1, limit_bytes=1000)
        assert done.timed_out
        assert done.status == Exit(signal=signal.SIGKILL)
        for pid in done.output.split():
            with contextlib.suppress(NoSuchProcess):
                assert not ProcessIdentity.of(int(pid)).is_running()

    async def test_a_command_given_up_is_ended(self) -> None:
        marker = self.directory / "pid"
        done = run(
            reactor,
            ["/bin/sh", "-c", f"echo $$ > {marker}.new; mv {marker}.new {marker}; sleep 600"],
            timeout=600,
            limit_bytes=10,
        )
        while not marker.exists():
            await self.table.fresh()
        identity = ProcessIdentity.of(int(marker.read_text()))
        done.cancel()
        with pytest.raises(CancelledError):
            await done
        assert not identity.is_running()

    async def test_what_runs_on_in_the_background_is_not_waited_for(self) -> None:
        done = await run(
            reactor, ["/bin/sh", "-c", "sleep 600 & echo $!"], timeout=30, limit_bytes=100
        )
        assert done.succeeded
        os.kill(int(done.output), signal.SIGKILL)

    async def test_a_missing_command_is_said(self) -> None:
        with pytest.raises(CannotSpawn, match="/nowhere is missing"):
            await run(reactor, ["/nowhere"], timeout=1, limit_bytes=1)
