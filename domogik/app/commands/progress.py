"""How far the start has come: for systemd, for `--wait`, for a person at a terminal."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, MutableMapping

import attrs
from twisted.internet.defer import CancelledError
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.errors import DomogikError

#: systemd passes over what begins so
WORDS = "X_DOMOGIK"

Write = Callable[[str], None]


def notify_socket(path: str) -> Write:
    """Lines to systemd's notification socket (sd_notify(3)); `@` begins an abstract name."""
    address = f"\0{path[1:]}" if path.startswith("@") else path

    def write(line: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.connect(address)
            out.sendall(line.encode())

    return write


def pipe(descriptor: int) -> Write:
    """Lines to whoever waits at the other end of a pipe."""

    def write(line: str) -> None:
        os.write(descriptor, f"{line}\n".encode())

    return write


@attrs.define(eq=False)
class StartProgress:
    """Says each step once to everyone who listens; a listener that is gone is left out."""

    _listeners: list[Write] = attrs.field(factory=list)
    on_ready: list[Callable[[], None]] = attrs.field(factory=list)
    #: what whoever waits in front of the background is to know, as soon as anything is said
    words: Callable[[], tuple[str, ...]] | None = None
    _log: Logger = Logger()

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> StartProgress:
        """With systemd where it listens; its variable is taken out, children are not to use it."""
        path = environment.pop("NOTIFY_SOCKET", "")
        return cls([notify_socket(path)] if path else [])

    def add(self, listener: Write) -> None:
        """One more who wants to know."""
        self._listeners.append(listener)

    def status(self, text: str) -> None:
        """What it does now, in a few words."""
        self._log.info("{text}", text=text)
        self._tell()
        self._say(f"STATUS={text}")

    def ready(self) -> None:
        """Every door is open."""
        self._tell()
        self._say("READY=1")
        for callback in self.on_ready:
            callback()

    def failed(self, text: str) -> None:
        """It cannot start; one line that says what to change."""
        self._say(f"ERROR={text}")

    def start_failed(self, failure: Failure, on_failure: Callable[[str], None]) -> None:
        """Tell that the start failed, unless it was only cancelled; a fault of ours is logged."""
        if failure.check(CancelledError):
            return
        if not failure.check(DomogikError):
            self._log.failure("the start failed", failure)
        line = failure.getErrorMessage()
        self.failed(line)
        on_failure(line)

    def stopping(self) -> None:
        """It was told to stop."""
        self._say("STOPPING=1")

    def _tell(self) -> None:
        words, self.words = self.words, None
        for line in words() if words is not None else ():
            self._say(f"{WORDS}={line}")

    def _say(self, line: str) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(line)
            except OSError:
                self._listeners.remove(listener)
