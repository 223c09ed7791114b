"""N children by reactor.spawnProcess, or by twisted.runner.procmon."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from typing import BinaryIO

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol
from twisted.python.logfile import LogFile

with open(sys.argv[1], encoding="utf-8") as stream:
    JOB = json.load(stream)

LOG = None
if JOB["log"]:
    LOG = LogFile.fromFullPath(
        JOB["log"], rotateLength=JOB["log_max_bytes"], maxRotatedFiles=JOB["log_backups"]
    )


class Child(ProcessProtocol):
    """Restarts at once; writes what it reads to the rotating file."""

    def connectionMade(self) -> None:
        running[self] = self.transport

    def outReceived(self, data: bytes) -> None:
        if LOG is not None:
            LOG.write(data)

    def processExited(self, reason: object) -> None:
        # not processEnded, which waits for whoever inherited the pipes
        del running[self]
        if stopping is None:
            if JOB["restart"]:
                spawn()
        elif not running:
            stopping.callback(None)


class Popened:
    """A transport over subprocess.Popen (vfork), its end told by a pidfd.

    What spawnProcess cannot do at its fast path comes free here: a session of
    its own and a working directory.
    """

    def __init__(self, child: Child) -> None:
        self.child = child
        self.popen = subprocess.Popen(
            JOB["cmd"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
            cwd=os.path.join(JOB["dir"], "log"),
            bufsize=0,
        )
        reactor.addReader(WideReader(self.popen.stdout, child.outReceived))
        reactor.addReader(WideReader(self.popen.stderr, lambda data: None))
        self.fd = os.pidfd_open(self.popen.pid)
        reactor.addReader(self)
        child.transport = self
        child.connectionMade()

    def signalProcess(self, name: str) -> None:
        try:
            os.killpg(self.popen.pid, getattr(signal, "SIG" + name))
        except ProcessLookupError:
            raise ProcessExitedAlready from None

    def fileno(self) -> int:
        return self.fd

    def logPrefix(self) -> str:
        return "pidfd"

    def doRead(self) -> None:
        reactor.removeReader(self)
        os.close(self.fd)
        self.popen.wait()
        self.popen.stdin.close()
        self.child.processExited(None)

    def connectionLost(self, reason: object) -> None:
        """The reactor's last words."""


class WideReader:
    """Takes 128 KiB from a pipe at a time; Twisted's own reader takes 8."""

    def __init__(self, pipe: BinaryIO, receive: Callable[[bytes], None]) -> None:
        self.pipe, self.receive = pipe, receive

    def fileno(self) -> int:
        return self.pipe.fileno()

    def logPrefix(self) -> str:
        return "pipe"

    def doRead(self) -> None:
        data = os.read(self.pipe.fileno(), 131072)
        if data:
            self.receive(data)
        else:
            reactor.removeReader(self)
            self.pipe.close()

    def connectionLost(self, reason: object) -> None:
        """The reactor's last words."""


SHIM = "import os, sys; os.setsid(); os.chdir(sys.argv[1]); os.execv(sys.argv[2], sys.argv[2:])"
running: dict[Child, object] = {}
stopping: "Deferred[None] | None" = None
VARIANT = JOB["variant"]
NULL = os.open(os.devnull, os.O_RDWR)


def spawn() -> None:
    extra, cmd = {}, JOB["cmd"]
    if VARIANT == "vfork":
        Popened(Child())
        return
    if VARIANT == "fork":
        extra["path"] = os.path.join(JOB["dir"], "log")
    elif VARIANT == "nopipes":
        extra["childFDs"] = {0: NULL, 1: NULL, 2: NULL}
    elif VARIANT == "setsid":
        cmd = [shutil.which("setsid"), *cmd]
    elif VARIANT == "pyshim":
        cmd = [JOB["python"], "-I", "-S", "-c", SHIM, JOB["dir"], *cmd]
    reactor.spawnProcess(Child(), cmd[0], cmd, env=None, **extra)


def signal_all(name: str) -> None:
    for transport in list(running.values()):
        with contextlib.suppress(ProcessExitedAlready):
            transport.signalProcess(name)


def stop() -> "Deferred[None] | None":
    global stopping
    if not running:
        return None
    stopping = Deferred()
    signal_all("TERM")
    reactor.callLater(JOB["stop_timeout"], signal_all, "KILL")
    return stopping


def start_spawn() -> None:
    for _ in range(JOB["n"]):
        spawn()
    reactor.addSystemEventTrigger("before", "shutdown", stop)


def start_procmon() -> None:
    from twisted.logger import globalLogBeginner, textFileLogObserver
    from twisted.runner.procmon import ProcessMonitor

    if LOG is not None:

        class Text:
            def write(self, text: str) -> None:
                LOG.write(text)

            def flush(self) -> None:
                LOG.flush()

        globalLogBeginner.beginLoggingTo([textFileLogObserver(Text())], redirectStandardIO=False)
    monitor = ProcessMonitor()
    monitor.killTime = JOB["stop_timeout"]
    if VARIANT == "fast":
        monitor.threshold = 0
    if not JOB["restart"]:
        monitor.minRestartDelay = monitor.threshold = 3600
    for number in range(JOB["n"]):
        monitor.addProcess(f"c{number:03d}", JOB["cmd"], env=dict(os.environ))
    monitor.startService()
    reactor.addSystemEventTrigger("before", "shutdown", monitor.stopService)


reactor.callWhenRunning(start_procmon if JOB["kind"] == "procmon" else start_spawn)
reactor.run()
