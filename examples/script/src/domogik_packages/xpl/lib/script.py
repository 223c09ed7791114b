"""One command, started without a shell, with an end and a bounded output."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import psutil
from twisted.internet.defer import Deferred
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

#: bytes of output that are kept; the command may say more, nobody will read it
KEPT_BYTES = 4096
#: seconds in which the last output is awaited when the command has ended: something it started may
#: hold its output open
LAST_WORDS_S = 1.0
#: of our environment: it may hold passwords of databases. The run's id lets the manager find what
#: a command leaves behind
PASSED_ON = ("PATH", "HOME", "LANG", "TZ", "USER", "DOMOGIK_RUN_ID")


class Command(ProcessProtocol):
    """A command that runs.

    `ended` fires with its exit status, or minus the number of the signal that ended it, and `gone`
    after that.
    """

    def __init__(self, reactor: Any, argv: Sequence[str], timeout: float) -> None:
        """Start it; `OSError` where it cannot be."""
        if not os.access(argv[0], os.X_OK):
            raise OSError(f"{argv[0]} is not there, or may not be executed")
        self.ended: Deferred[int] = Deferred()
        self.gone: Deferred[None] = Deferred()
        self.was_too_slow = False
        self.kept = b""
        self._reactor = reactor
        environment = {name: os.environ[name] for name in PASSED_ON if name in os.environ}
        reactor.spawnProcess(self, argv[0], list(argv), env=environment)
        self._limit = reactor.callLater(timeout, self._too_slow)

    @property
    def output(self) -> str:
        """What it said, first things first."""
        return self.kept.decode("utf-8", "replace")

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """Keep the beginning."""
        self.kept += data[: KEPT_BYTES - len(self.kept)]

    def processExited(self, reason: Failure) -> None:
        """It is gone; its last words may still be in the pipe."""
        if self._limit.active():
            self._limit.cancel()
        self._limit = self._reactor.callLater(LAST_WORDS_S, self.transport.loseConnection)

    def processEnded(self, reason: Failure) -> None:
        """Nothing more will come."""
        if self._limit.active():
            self._limit.cancel()
        status: Any = reason.value
        self.ended.callback(-status.signal if status.signal else status.exitCode or 0)
        self.gone.callback(None)

    def _too_slow(self) -> None:
        self.was_too_slow = True
        self.kill()

    def kill(self) -> None:
        """End it and everything it has started."""
        if self.transport.pid is None:
            return
        try:
            process = psutil.Process(self.transport.pid)
            family = [*process.children(recursive=True), process]
        except psutil.NoSuchProcess:
            return
        for member in family:
            try:
                member.kill()
            except psutil.NoSuchProcess:
                continue
