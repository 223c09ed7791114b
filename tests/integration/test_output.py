"""Output of real processes: nothing lost, also when the manager is killed."""

from __future__ import annotations

import gzip
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from domogik.supervisor.interfaces import Exit, Program
from domogik.supervisor.logs.output import OutputLog
from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.supervisor.processes.spawn import ProcessTransport, adopt, exit_of, spawn

pytestmark = pytest.mark.integration
reactor: Any = _reactor

WRITER = """
import os, sys
begin, end = map(int, sys.argv[1:3])
data = b"".join(b"%012d caf\\xc3\\xa9\\n" % number for number in range(begin, end))
view = memoryview(data)
while view:
    view = view[os.write(1, view[:65536]):]
"""

# Takes the place of a manager: reads on, says so, and starts one child if it is told to.
MANAGER = """
import os, sys
from pathlib import Path
from twisted.internet import reactor
from twisted.internet.protocol import ProcessProtocol
from domogik.supervisor.interfaces import Program
from domogik.supervisor.logs.output import OutputLog
from domogik.supervisor.processes.spawn import spawn
directory = Path(sys.argv[1])
log = OutputLog(reactor, directory / "fifo", directory / "log", max_size=100_000, files=99)
def begin():
    log.open()
    writer = log.writer()
    child = spawn(reactor, ProcessProtocol(), Program(tuple(sys.argv[2:]), {}, directory),
                  output=writer)
    os.close(writer)
    os.write(1, b"%d\\n" % child.pid)
reactor.callWhenRunning(begin)
reactor.run()
"""

# A line for every byte it is given, a thousand for an M: the test decides when it speaks.
PARROT = """
import os, sys
commands = os.open(sys.argv[1], os.O_RDWR)
number = 0
while True:
    for order in os.read(commands, 4096):
        count = 1000 if order == ord("M") else 1
        os.write(1, b"".join(b"%012d\\n" % n for n in range(number, number + count)))
        number += count
"""


class Ending(ProcessProtocol):
    def __init__(self) -> None:
        self.ended: Deferred[Exit] = Deferred()

    def processEnded(self, reason: Failure) -> None:
        self.ended.callback(exit_of(reason))


class Case(TestCase):
    timeout = 120

    def setUp(self) -> None:
        self.directory = Path(self.mktemp()).absolute()
        self.directory.mkdir(parents=True)

    def log(self, *, max_size: int = 10**6, files: int = 99) -> OutputLog:
        log = OutputLog(
            reactor,
            self.directory / "fifo",
            self.directory / "log",
            max_size=max_size,
            files=files,
        )
        log.open()
        self.addCleanup(log.close)
        return log

    def spawn(self, log: OutputLog, *argv: str) -> tuple[Ending, ProcessTransport]:
        protocol = Ending()
        writer = log.writer()
        try:
            transport = spawn(
                reactor,
                protocol,
                Program(argv, {"PATH": "/usr/bin:/bin"}, Path("/")),
                output=writer,
            )
        finally:
            os.close(writer)
        return protocol, transport

    def kept(self) -> bytes:
        data = b""
        for number in range(200, 0, -1):
            packed = self.directory / f"log.{number}.gz"
            plain = self.directory / f"log.{number}"
            if packed.exists():
                data += gzip.decompress(packed.read_bytes())
            elif plain.exists():
                data += plain.read_bytes()
        return data + (self.directory / "log").read_bytes()

    async def lines(self, log: OutputLog, count: int) -> None:
        """Until that many have come."""
        done: Deferred[None] = Deferred()
        heard = []

        def receive(line: str) -> None:
            heard.append(line)
            if len(heard) == count:
                done.callback(None)

        unfollow = log.follow(receive)
        await done
        unfollow()


class Capturing(Case):
    async def test_a_flood_is_complete_and_in_order(self) -> None:
        log = self.log()
        protocol, _ = self.spawn(log, sys.executable, "-S", "-c", WRITER, "0", "500000")
        assert await protocol.ended == Exit(code=0)
        log.drain()
        wanted = "".join(f"{number:012d} café\n" for number in range(500_000)).encode()
        assert self.kept() == wanted
        assert log.lost_bytes == 0
        assert await log.tail(2) == ["000000499998 café", "000000499999 café"]

    async def test_what_a_flood_leaves_is_bounded(self) -> None:
        log = self.log(max_size=10**5, files=3)
        protocol, _ = self.spawn(log, sys.executable, "-S", "-c", WRITER, "0", "200000")
        await protocol.ended
        log.drain()
        names = {path.name.removesuffix(".gz") for path in self.directory.iterdir()}
        assert names == {"fifo", "log", "log.1", "log.2", "log.3"}
        wanted = "".join(f"{number:012d} café\n" for number in range(200_000)).encode()
        assert wanted.endswith(self.kept())

    async def test_a_flood_does_not_keep_others_waiting(self) -> None:
        log = self.log(max_size=10**7, files=1)
        endless, flood = self.spawn(log, "/bin/sh", "-c", "exec yes")
        quiet, _ = self.spawn(log, "/bin/true")
        assert await quiet.ended == Exit(code=0)
        flood.signalProcess("KILL")
        await endless.ended

    async def test_old_pieces_are_compressed_when_it_is_quiet_again(self) -> None:
        log = self.log(max_size=10**5)
        protocol, _ = self.spawn(log, sys.executable, "-S", "-c", WRITER, "0", "20000")
        await protocol.ended
        log.drain()
        tick: Deferred[None]
        while not (self.directory / "log.3.gz").exists():
            tick = Deferred()
            reactor.callLater(0.05, tick.callback, None)
            await tick
        await log.close()
        wanted = "".join(f"{number:012d} café\n" for number in range(20_000)).encode()
        assert self.kept() == wanted


class Surviving(Case):
    async def manager(self, *argv: str) -> tuple[ProcessTransport, ProcessIdentity]:
        """A manager process that has started `argv`."""
        ours, its = os.pipe()
        program = Program(
            (sys.executable, "-c", MANAGER, str(self.directory), *argv),
            {"PYTHONPATH": str(Path(__file__).parents[2])},
            Path("/"),
        )
        protocol = Ending()
        transport = spawn(reactor, protocol, program, output=its)
        os.close(its)
        said: Deferred[bytes] = Deferred()
        reactor.callInThread(lambda: reactor.callFromThread(said.callback, os.read(ours, 100)))
        pid = int(await said)
        os.close(ours)
        self.ended = protocol.ended
        identity = ProcessIdentity.of(pid)
        self.addCleanup(lambda: identity.is_running() and os.kill(pid, signal.SIGKILL))
        return transport, identity

    async def test_a_child_talks_on_while_no_manager_is_there(self) -> None:
        """Nothing breaks for it, and the next manager reads what it said meanwhile."""
        os.mkfifo(self.directory / "commands")
        commands = os.open(self.directory / "commands", os.O_RDWR)
        self.addCleanup(os.close, commands)
        argv = sys.executable, "-S", "-c", PARROT, str(self.directory / "commands")
        manager, child = await self.manager(*argv)
        os.write(commands, b"." * 50)
        # what the manager had read and not yet written would die with it
        while len(self.kept().splitlines()) < 50:
            tick: Deferred[None] = Deferred()
            reactor.callLater(0.01, tick.callback, None)
            await tick
        manager.signalProcess("KILL")
        await self.ended
        os.write(commands, b"." * 70)
        log = self.log()
        os.write(commands, b"." * 80)
        seen = len(self.kept().splitlines())
        if seen < 200:
            await self.lines(log, 200 - seen)
        assert child.is_running()
        assert self.kept() == b"".join(b"%012d\n" % number for number in range(200))
        protocol = Ending()
        adopt(reactor, protocol, child).signalProcess("KILL")
        await protocol.ended

    async def test_a_child_that_talks_much_waits_for_the_next_manager(self) -> None:
        os.mkfifo(self.directory / "commands")
        commands = os.open(self.directory / "commands", os.O_RDWR)
        self.addCleanup(os.close, commands)
        argv = sys.executable, "-S", "-c", PARROT, str(self.directory / "commands")
        manager, child = await self.manager(*argv)
        manager.signalProcess("KILL")
        await self.ended
        os.write(commands, b"M" * 200)  # more than any pipe holds
        log = self.log()
        await self.lines(log, 200_000)
        assert self.kept() == b"".join(b"%012d\n" % number for number in range(200_000))
        protocol = Ending()
        adopt(reactor, protocol, child).signalProcess("KILL")
        await protocol.ended
