"""Runs a daemon without twistd: background, signals, exit status, upgrade."""

from __future__ import annotations

import atexit
import ctypes
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from typing import Any, NoReturn

import attrs

from domogik.app.parts.foundation import CannotStart
from domogik.app.progress import WORDS, StartProgress, pipe
from domogik.app.reactor import IWholeReactor, steady_reactor

#: seconds that a daemon started for one command has to stop; it leaves its children alone
STOP_TIMEOUT = 30.0
_PR_SET_PDEATHSIG = 1
_ENDED_EARLY = "it ended before it was ready; its log says more"

Make = Callable[["DaemonRun"], Any]


@attrs.define(eq=False)
class DaemonRun:
    """One run of a daemon, with what its service decides about the end.

    `upgrade_command` is executed in place of this program when an upgrade was asked for.
    """

    reactor: IWholeReactor
    progress: StartProgress
    upgrade_command: list[str]
    status: int = 0
    _upgrading: bool = False

    def fail(self, line: str) -> None:
        """Print the line and stop with status 1."""
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
        self.status = 1
        # under twistd, which would end with 0, this is the last word
        atexit.register(self._exit)
        self._stop_reactor()

    def upgrade(self) -> None:
        """Stop, then execute the program again with the same process id."""
        if not self._upgrading:
            self._upgrading = True
            atexit.register(self._execute)
            self._stop_reactor()

    def _stop_reactor(self) -> None:
        if self.reactor.running:
            self.reactor.stop()
        else:
            self.reactor.callWhenRunning(self.reactor.stop)

    def _exit(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(self.status)

    def _execute(self) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        # a repeated signal would end the new program before it has its handlers
        for number in (signal.SIGHUP, signal.SIGUSR2):
            signal.signal(number, signal.SIG_IGN)
        os.execv(self.upgrade_command[0], self.upgrade_command)  # noqa: S606 - the whole point


def catch_signals(
    reactor: IWholeReactor,
    *,
    reload: Callable[[], None] | None = None,
    upgrade: Callable[[], None] | None = None,
    terminal: bool = False,
) -> None:
    """TERM and INT stop, HUP re-reads the configuration, USR2 upgrades, where that is offered.

    With `terminal`, a HUP because the terminal went away is a plain stop. Must be installed after
    the reactor's own handlers, under which twistd would end by the signal and not with status 0.
    """

    def stop() -> None:
        if reactor.running:
            reactor.stop()

    def hang_up() -> None:
        if reload is None or (terminal and not _has_terminal()):
            stop()
        else:
            reload()

    def install() -> None:
        for number, action in (
            (signal.SIGTERM, stop),
            (signal.SIGINT, stop),
            (signal.SIGHUP, hang_up),
            (signal.SIGUSR2, upgrade),
        ):
            if action is not None:
                signal.signal(number, lambda *_, action=action: reactor.callFromThread(action))

    reactor.callWhenRunning(install)


def _has_terminal() -> bool:
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def run_foreground(make: Make, progress: StartProgress, upgrade_command: list[str]) -> NoReturn:
    """Run the daemon until it is told to stop; exits with its status."""
    reactor = steady_reactor()
    run = DaemonRun(reactor, progress, upgrade_command)
    try:
        service = make(run)
    except CannotStart as error:
        progress.failed(str(error))
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    sys.exit(run.status)


def run_background(foreground: Callable[[StartProgress], NoReturn], *, wait: bool) -> NoReturn:
    """Start the daemon in the background; exit when it has started, with `wait` when it is ready.

    With `wait` its progress is printed. Its address, its log and how to stop it are always printed.
    Exits with 1 and the reason if it cannot start.
    """
    _, said = _fork(foreground, twice=True)
    for word, text in said:
        if word == "ERROR":
            sys.stderr.write(f"{text}\n")
            sys.exit(1)
        if word == WORDS or (word == "STATUS" and wait):
            _print(text)
        if word == "READY" and wait:
            _print("ready")
        if word == "READY" or (word == "STATUS" and not wait):
            sys.exit(0)
    sys.stderr.write(f"{_ENDED_EARLY}\n")
    sys.exit(1)


def _print(line: str) -> None:
    """Print the line; if the reader has closed standard output, nothing more is printed."""
    try:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()
    except BrokenPipeError:
        from domogik.cli.program import forget_output

        forget_output()


def start_background(foreground: Callable[[StartProgress], NoReturn]) -> Callable[[], None]:
    """Start a daemon for this program; return when it is ready, with the function that stops it.

    Raises `CannotStart` with the line that the daemon reported; the daemon is gone then, and when
    the wait is interrupted.
    """
    pid, said = _fork(foreground, twice=False)
    try:
        for word, text in said:
            if word == "READY":
                return lambda: _stop(pid)
            if word == "ERROR":
                raise CannotStart(text)
        raise CannotStart(_ENDED_EARLY)
    except BaseException:
        _stop(pid)
        raise


def _fork(
    foreground: Callable[[StartProgress], NoReturn], *, twice: bool
) -> tuple[int, Iterator[tuple[str, str]]]:
    """Fork the daemon in a session of its own; return its pid and its progress, as word and text.

    Forked `twice` it is a child of init and can never get a terminal.
    """
    reading, writing = os.pipe()
    parent = os.getpid()
    pid = os.fork()
    if pid == 0:
        os.close(reading)
        if not twice:
            _end_with(parent)
        os.setsid()
        if twice and os.fork():
            os._exit(0)
        _detach()
        foreground(StartProgress([pipe(writing)]))
    os.close(writing)
    return pid, _said(reading)


def _end_with(parent: int) -> None:
    """Have SIGTERM sent to this process when its parent ends: prctl(2), PR_SET_PDEATHSIG."""
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "prctl")
    if os.getppid() != parent:
        os._exit(1)


def _said(reading: int) -> Iterator[tuple[str, str]]:
    with os.fdopen(reading, encoding="utf-8") as lines:
        for line in lines:
            word, _, text = line.rstrip("\n").partition("=")
            yield word, text


def _stop(pid: int) -> None:
    """Send SIGTERM to a child, then SIGKILL if it has not ended in time."""
    descriptor = os.pidfd_open(pid)
    try:
        os.kill(pid, signal.SIGTERM)
        if not select.select([descriptor], [], [], STOP_TIMEOUT)[0]:
            os.kill(pid, signal.SIGKILL)
    finally:
        os.close(descriptor)
        os.waitpid(pid, 0)


def _detach() -> None:
    os.chdir("/")
    os.umask(0o077)
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    os.close(null)
