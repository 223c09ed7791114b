"""The progress of a daemon's start, reported to systemd, to `--wait` and to a terminal."""

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
    """Return a function that sends a line to systemd's socket (sd_notify(3)).

    A path that starts with `@` is an abstract name.
    """
    address = f"\0{path[1:]}" if path.startswith("@") else path

    def write(line: str) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as out:
            out.connect(address)
            out.sendall(line.encode())

    return write


def pipe(descriptor: int) -> Write:
    """Return a function that writes a line to a pipe."""

    def write(line: str) -> None:
        os.write(descriptor, f"{line}\n".encode())

    return write


@attrs.define(eq=False)
class StartProgress:
    """Sends each step of a start to all listeners; a listener that fails is removed."""

    _listeners: list[Write] = attrs.field(factory=list)
    on_ready: list[Callable[[], None]] = attrs.field(factory=list)
    #: lines for the terminal that started the background, sent before the first report
    words: Callable[[], tuple[str, ...]] | None = None
    _log: Logger = Logger()

    @classmethod
    def from_environment(cls, environment: MutableMapping[str, str]) -> StartProgress:
        """Return a progress that reports to systemd if `NOTIFY_SOCKET` is set.

        The variable is removed, so that children do not use it.
        """
        path = environment.pop("NOTIFY_SOCKET", "")
        return cls([notify_socket(path)] if path else [])

    def status(self, text: str) -> None:
        """Report the current step, in a few words."""
        self._log.info("{text}", text=text)
        self._tell()
        self._say(f"STATUS={text}")

    def ready(self) -> None:
        """Report that the daemon is ready, and call `on_ready`."""
        self._tell()
        self._say("READY=1")
        for callback in self.on_ready:
            callback()

    def failed(self, text: str) -> None:
        """Report that the daemon cannot start, with one line that says what to change."""
        self._say(f"ERROR={text}")

    def start_failed(self, failure: Failure, on_failure: Callable[[str], None]) -> None:
        """Report a failed start, unless it was cancelled; an unexpected error is logged."""
        if failure.check(CancelledError):
            return
        if not failure.check(DomogikError):
            self._log.failure("the start failed", failure)
        line = failure.getErrorMessage()
        self.failed(line)
        on_failure(line)

    def stopping(self) -> None:
        """Report that the daemon stops."""
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
