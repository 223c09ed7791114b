"""`dmg_daemon run KIND`: a server for as long as this command runs, and not a moment longer."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred

from domogik import __version__
from domogik.clock import keep_steady
from domogik.config.files import read_bounded
from domogik.daemons import throwaway
from domogik.daemons.base import ManagedDaemon
from domogik.daemons.errors import ManagedDaemonError
from domogik.daemons.keeper import LOG
from domogik.daemons.kinds import daemon_class, kinds
from domogik.daemons.parameters import Option
from domogik.errors import DomogikError
from domogik.supervisor.identity import NoSuchProcess
from domogik.supervisor.pidfd import ProcessHandle

_PAUSE = 0.1  # seconds between two looks at its log
_CHUNK = 64 * 1024
_LARGEST_PASSWORD = 8192
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


def run(arguments: Sequence[str]) -> int:
    """The exit status: 0 when it was told to end, 1 when something failed, 2 for wrong usage."""
    from twisted.internet import reactor

    keep_steady(reactor)
    parser = _parser()
    given = parser.parse_args(arguments)
    try:
        options = _options(given)
    except DomogikError as error:
        parser.error(str(error))
    except OSError as error:
        parser.error(f"{given.password_file}: {error.strerror}")
    daemon = daemon_class(given.kind)(reactor)  # type: ignore[arg-type]  # the module stands for it
    return _Foreground(reactor, daemon, options, verbose=given.verbose).run()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="dmg_daemon", description="A throw-away server in the foreground."
    )
    parser.add_argument("-V", "--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "run",
        help="run a server until Ctrl-C, then remove it",
        description="Start a new server, print its address, and remove it and its data at Ctrl-C.",
    )
    command.add_argument("kind", choices=kinds(), metavar="KIND", help=", ".join(kinds()))
    command.add_argument("--port", type=_port, metavar="N", help="default: a free one")
    command.add_argument("--bind", default="127.0.0.1", metavar="A", help="default: 127.0.0.1")
    command.add_argument(
        "--password-file", type=Path, metavar="F", help="the first line is its password"
    )
    command.add_argument("--run-as", metavar="U", help="as this user; for root only")
    command.add_argument(
        "--directory", metavar="D", help="work there; new or empty, and removed in the end"
    )
    command.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="K=V",
        help="an option of its kind; may be given several times",
    )
    command.add_argument("-v", "--verbose", action="store_true", help="what it logs, on stderr")
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise ValueError
    return port


class _WrongUsage(DomogikError):
    """An option nobody knows, or of another type."""


def _options(given: argparse.Namespace) -> dict[str, Any]:
    password = None
    if given.password_file is not None:
        content = read_bounded(given.password_file, _LARGEST_PASSWORD)
        password = content.decode("utf-8", "replace").split("\n")[0].removesuffix("\r")
    defaults = daemon_class(given.kind).defaults
    options: dict[str, Any] = {}
    for text in given.option:
        name, equals, value = text.partition("=")
        if not equals or name not in defaults:
            known = ", ".join(sorted(defaults))
            raise _WrongUsage(f"'{text}' is no option of a {given.kind}: it has {known}")
        options[name] = _typed(name, value, defaults[name])
    return {
        "directory": given.directory,
        "port": given.port,
        "bind_host": given.bind,
        "password": password,
        "run_as": given.run_as,
        **options,
    }


def _typed(name: str, value: str, default: Option) -> Option:
    if isinstance(default, bool):
        if value.lower() not in (*_YES, *_NO):
            raise _WrongUsage(f"{name} is yes or no, not '{value}'")
        return value.lower() in _YES
    if isinstance(default, int):
        try:
            return int(value)
        except ValueError:
            raise _WrongUsage(f"{name} is a number, not '{value}'") from None
    return value.split() if isinstance(default, list) else value


@attrs.define(eq=False)
class _Foreground:
    """One run. Whatever ends it, the server is gone before the command is."""

    _reactor: Any
    _daemon: ManagedDaemon
    _options: dict[str, Any]
    _verbose: bool = attrs.field(kw_only=True)
    _status: int = attrs.field(init=False, default=0)
    _place: Path | None = attrs.field(init=False, default=None)
    _told: Deferred[None] = attrs.field(init=False, factory=Deferred)
    _beginning: Deferred[ManagedDaemon] | None = attrs.field(init=False, default=None)
    _shown: int = attrs.field(init=False, default=0)

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda *_: self._reactor.callFromThread(self._end))
        self._reactor.callWhenRunning(self._go)
        self._reactor.run(installSignalHandlers=False)
        return self._status

    def _go(self) -> None:
        _ = Deferred.fromCoroutine(self._serve()).addBoth(self._finished)

    def _finished(self, outcome: Any) -> None:
        if outcome is not None:
            self._status = 1
            sys.stderr.write(outcome.getTraceback())
        self._reactor.stop()

    def _end(self) -> None:
        if not self._told.called:
            self._told.callback(None)
        if self._beginning is not None:
            self._beginning.cancel()

    async def _serve(self) -> None:
        self._beginning = throwaway.begin(self._daemon, **self._options)
        try:
            await self._beginning
        except CancelledError:
            return
        except ManagedDaemonError as error:
            if not self._told.called:
                self._fail(error.sentence if self._verbose else error.line)
                self._say_last_words(error)
            return
        finally:
            self._beginning = None
        self._place = self._daemon.directory.path
        try:
            sys.stdout.write(f"{self._daemon.url}\n")
            sys.stdout.flush()
            await self._until_told()
        except BrokenPipeError:
            self._status = 1
        finally:
            self._show_log()
            await throwaway.end(self._daemon, self._place)

    def _fail(self, line: str) -> None:
        self._status = 1
        sys.stderr.write(f"dmg_daemon: {line}\n")

    def _say_last_words(self, error: ManagedDaemonError) -> None:
        if self._verbose and error.output:
            sys.stderr.write(f"{error.output.rstrip()}\n")

    async def _until_told(self) -> None:
        identity = self._daemon.identity
        try:
            if identity is None:
                raise NoSuchProcess("it has ended")
            handle = ProcessHandle.open(self._reactor, identity, self._ended)
        except NoSuchProcess:
            self._ended()
            return
        self._show_log_again()
        await self._told
        handle.close()

    def _ended(self) -> None:
        if not self._told.called:
            self._fail(f"{self._daemon.title} has ended by itself")
            self._told.callback(None)

    def _show_log_again(self) -> None:
        if self._verbose and not self._told.called:
            self._show_log()
            self._reactor.callLater(_PAUSE, self._show_log_again)

    def _show_log(self) -> None:
        if not self._verbose or self._place is None:
            return
        path = self._place / LOG / f"{self._daemon.kind}.log"
        try:
            with path.open("rb") as log:
                if log.seek(0, os.SEEK_END) < self._shown:
                    self._shown = 0  # it was put aside, and this is a new one
                log.seek(self._shown)
                while chunk := log.read(_CHUNK):
                    self._shown += len(chunk)
                    sys.stderr.buffer.write(chunk)
        except FileNotFoundError:
            return
        sys.stderr.flush()
