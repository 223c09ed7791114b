"""`dmg_daemon run KIND...`: servers that exist as long as this command runs."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults
from twisted.internet.threads import deferToThreadPool
from twisted.python.failure import Failure

from domogik import __version__
from domogik.app.reactor import IWholeReactor, steady_reactor
from domogik.config.files import read_bounded
from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.core.parameters import Option
from domogik.daemons.core.standalone import LOG
from domogik.daemons.kinds import daemon_class, kinds
from domogik.daemons.throwaway import servers as throwaway
from domogik.errors import DomogikError
from domogik.supervisor.processes.identity import NoSuchProcess
from domogik.supervisor.processes.mark import inherited_mark
from domogik.supervisor.processes.pidfd import ProcessHandle

_COMMAND_PATIENCE = 10.0  # seconds for the command to end once it was told to
_PAUSE = 0.1  # seconds between two looks at its log
_CHUNK = 64 * 1024
_LARGEST_PASSWORD = 8192
_YES, _NO = ("yes", "true", "on", "1"), ("no", "false", "off", "0")


def run(arguments: Sequence[str]) -> int:
    """Run `dmg_daemon`; return 0 when told to end, 1 on a failure, 2 for wrong usage.

    With a command the exit status is that of the command, 128 plus the signal number if a signal
    ended it.
    """
    reactor = steady_reactor()
    parser, run_parser = _parsers()
    own, dashes, command = list(arguments), "--" in arguments, []
    if dashes:
        end = own.index("--")
        own, command = own[:end], own[end + 1 :]
    given = parser.parse_args(own)
    if dashes and not command:
        run_parser.error("after -- a command is missing")
    if command and given.json:
        run_parser.error("--json cannot be used with a command")
    try:
        options = _options(given)
    except DomogikError as error:
        run_parser.error(str(error))
    except OSError as error:
        run_parser.error(f"{given.password_file}: {error.strerror}")
    servers = [(daemon_class(kind)(reactor), options[kind]) for kind in given.kinds]
    return _Foreground(reactor, servers, command, verbose=given.verbose, json=given.json).run()


def _parsers() -> tuple[argparse.ArgumentParser, argparse.ArgumentParser]:
    """Return the parsers of `dmg_daemon` and of `dmg_daemon run`."""
    parser = argparse.ArgumentParser(
        prog="dmg_daemon", description="Throw-away servers in the foreground."
    )
    parser.add_argument("-V", "--version", action="version", version=__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    command = commands.add_parser(
        "run",
        help="run servers until Ctrl-C, or for a command, then remove them",
        usage="%(prog)s [options] KIND [KIND ...] [-- COMMAND ...]",
        description="Start new servers, print their addresses, and remove them and their data at "
        "Ctrl-C; or run COMMAND with the addresses in its environment (REDIS_URL, REDIS_HOST, "
        "REDIS_PORT, REDIS_PASSWORD, ...), and remove them when it has ended.",
    )
    command.add_argument(
        "kinds", choices=kinds(), metavar="KIND", nargs="+", help=", ".join(kinds())
    )
    command.add_argument("--json", action="store_true", help="the addresses as one JSON object")
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
        "-o",
        "--option",
        action="append",
        default=[],
        metavar="K=V",
        help="an option of its kind; may be given several times",
    )
    command.add_argument("-v", "--verbose", action="store_true", help="what it logs, on stderr")
    return parser, command


def _port(text: str) -> int:
    if not re.fullmatch("[0-9]{1,5}", text) or not 1 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"a number from 1 to 65535, not '{text}'")
    return int(text)


class _WrongUsage(DomogikError):
    """An option is unknown or has a value of the wrong type."""


def _options(given: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """Return the options of each kind."""
    password = None
    if given.password_file is not None:
        content = read_bounded(given.password_file, _LARGEST_PASSWORD)
        password = content.decode("utf-8", "replace").split("\n")[0].removesuffix("\r")
    if len(set(given.kinds)) < len(given.kinds):
        raise _WrongUsage("each kind is named once")
    if len(given.kinds) > 1 and (given.port or given.directory):
        raise _WrongUsage("--port and --directory are for one kind alone")
    classes = {kind: daemon_class(kind) for kind in given.kinds}
    options: dict[str, dict[str, Any]] = {
        kind: {
            "directory": given.directory,
            "port": given.port,
            "bind_host": given.bind,
            "password": password if len(classes) == 1 or one.takes_password else None,
            "run_as": given.run_as,
        }
        for kind, one in classes.items()
    }
    for text in given.option:
        name, equals, value = text.partition("=")
        having = [kind for kind, one in classes.items() if name in one.defaults]
        if not having:
            known = ", ".join(sorted({name for one in classes.values() for name in one.defaults}))
            raise _WrongUsage(f"'{text}' is no option of {', '.join(classes)}: there are {known}")
        if not equals:
            raise _WrongUsage(f"'{text}' lacks =VALUE")
        for kind in having:
            options[kind][name] = _typed(name, value, classes[kind].defaults[name])
    return options


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
    """One run of the command. The servers are removed before it returns, whatever ends it."""

    _reactor: IWholeReactor
    _servers: list[tuple[ManagedDaemon, dict[str, Any]]]
    _command: Sequence[str]
    _verbose: bool = attrs.field(kw_only=True)
    _json: bool = attrs.field(kw_only=True)
    _status: int = attrs.field(init=False, default=0)
    _running: list[ManagedDaemon] = attrs.field(init=False, factory=list)
    _told: Deferred[None] = attrs.field(init=False, factory=Deferred)
    _beginnings: list[Deferred[ManagedDaemon]] = attrs.field(init=False, factory=list)
    _process: subprocess.Popen[bytes] | None = attrs.field(init=False, default=None)
    #: how much of each log was shown
    _shown: dict[Path, int] = attrs.field(init=False, factory=dict)

    def run(self) -> int:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda got, _: self._reactor.callFromThread(self._end, got))
        self._reactor.callWhenRunning(self._go)
        self._reactor.run(installSignalHandlers=False)  # type: ignore[call-arg]
        return self._status

    def _go(self) -> None:
        _ = Deferred.fromCoroutine(self._serve()).addBoth(self._finished)

    def _finished(self, outcome: Any) -> None:
        if outcome is not None:
            self._status = 1
            sys.stderr.write(outcome.getTraceback())
        self._reactor.stop()

    def _end(self, number: int) -> None:
        if self._process is not None:
            self._pass_on(self._process, number)
            return
        if self._command:
            self._status = 128 + number
        self._give_up()

    def _give_up(self) -> None:
        if not self._told.called:
            self._told.callback(None)
        for beginning in self._beginnings:
            beginning.cancel()

    def _pass_on(self, process: subprocess.Popen[bytes], number: int) -> None:
        """Send the signal to the command; SIGINT only without a terminal, which sends it itself."""
        if number == signal.SIGINT and _has_terminal():
            return
        process.send_signal(number)
        if number != signal.SIGINT:
            self._reactor.callLater(_COMMAND_PATIENCE, process.kill)

    async def _serve(self) -> None:
        try:
            if not await self._begin_all():
                return
            if self._command:
                self._status = await self._run_command()
                return
            sys.stdout.write(self._addresses())
            sys.stdout.flush()
            await self._until_told()
        except BrokenPipeError:
            self._status = 1
        finally:
            self._show_log()
            ends = [throwaway.end(one, one.directory.path) for one in self._running]
            await gatherResults(ends, consumeErrors=True)

    async def _begin_all(self) -> bool:
        """Start all servers; return whether all are ready. A failure cancels the other starts."""
        for daemon, options in self._servers:
            beginning = throwaway.begin(daemon, **options)
            self._beginnings.append(beginning)
            _ = beginning.addCallbacks(self._running.append, self._not_begun)
        await DeferredList(self._beginnings)
        self._beginnings = []
        order = [daemon for daemon, _ in self._servers]
        self._running.sort(key=order.index)
        return len(self._running) == len(order) and not self._told.called

    def _not_begun(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        error = failure.value
        if not isinstance(error, ManagedDaemonError):
            self._status = 1
            sys.stderr.write(failure.getTraceback())
        elif not self._told.called:
            self._fail(error.sentence if self._verbose else error.line)
            self._say_last_words(error)
        self._give_up()

    def _fail(self, line: str) -> None:
        self._status = 1
        sys.stderr.write(f"dmg_daemon: {line}\n")

    def _say_last_words(self, error: ManagedDaemonError) -> None:
        if self._verbose and error.output:
            sys.stderr.write(f"{error.output.rstrip()}\n")

    def _addresses(self) -> str:
        if not self._json:
            return "".join(f"{one.url}\n" for one in self._running)
        found = {
            one.kind: {**_address(one), "directory": str(one.directory.path)}
            for one in self._running
        }
        return f"{json.dumps(found)}\n"

    async def _run_command(self) -> int:
        mark = self._running[0].directory.id  # ending that server ends all processes with this mark
        environment = {**os.environ, "DOMOGIK_RUN_ID": mark}
        for one in self._running:
            prefix = re.sub("[^A-Z0-9]", "_", one.kind.upper())
            for name, value in _address(one).items():
                environment.pop(f"{prefix}_{name.upper()}", None)
                if value is not None:
                    environment[f"{prefix}_{name.upper()}"] = str(value)
        try:
            process = self._process = _executed(self._command, environment, mark)
        except OSError as error:
            self._fail(f"{self._command[0]}: {error.strerror}")
            return 127 if isinstance(error, FileNotFoundError) else 126
        self._show_log_again()
        pool = self._reactor.getThreadPool()
        status = await deferToThreadPool(self._reactor, pool, process.wait)
        self._told.callback(None)
        return status if status >= 0 else 128 - status

    async def _until_told(self) -> None:
        handles = []
        for daemon in self._running:
            try:
                if (identity := daemon.identity) is None:
                    raise NoSuchProcess("it has ended")
                ended = partial(self._ended, daemon)
                handles.append(ProcessHandle.open(self._reactor, identity, ended))
            except NoSuchProcess:
                self._ended(daemon)
        self._show_log_again()
        await self._told
        for handle in handles:
            handle.close()

    def _ended(self, daemon: ManagedDaemon) -> None:
        if not self._told.called:
            self._fail(f"{daemon.title} has ended by itself")
            self._told.callback(None)

    def _show_log_again(self) -> None:
        if self._verbose and not self._told.called:
            self._show_log()
            self._reactor.callLater(_PAUSE, self._show_log_again)

    def _show_log(self) -> None:
        for daemon in self._running if self._verbose else ():
            path = daemon.directory / LOG / f"{daemon.kind}.log"
            with contextlib.suppress(FileNotFoundError):
                self._shown[path] = _show(path, self._shown.get(path, 0))


def _executed(
    argv: Sequence[str], environment: dict[str, str], mark: str
) -> subprocess.Popen[bytes]:
    with inherited_mark(mark):
        return subprocess.Popen(argv, env=environment)


def _show(path: Path, begin: int) -> int:
    """Copy the file to standard error from that offset; return the new offset."""
    with path.open("rb") as log:
        if log.seek(0, os.SEEK_END) < begin:
            begin = 0  # it was put aside, and this is a new one
        log.seek(begin)
        while chunk := log.read(_CHUNK):
            begin += len(chunk)
            sys.stderr.buffer.write(chunk)
    sys.stderr.flush()
    return begin


def _address(daemon: ManagedDaemon) -> dict[str, str | int | None]:
    parameters = daemon.parameters
    return {
        "url": daemon.url,
        "host": parameters.reachable_host,
        "port": parameters.port,
        "password": parameters.password,
    }


def _has_terminal() -> bool:
    """Return whether Ctrl-C on the terminal signals this process group."""
    try:
        terminal = os.open("/dev/tty", os.O_RDONLY | os.O_NOCTTY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return os.tcgetpgrp(terminal) == os.getpgrp()
    finally:
        os.close(terminal)
