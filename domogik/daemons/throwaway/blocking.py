"""Daemons for programs that wait: no reactor runs, no thread; a call turns one until it is done."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.kinds import daemon_class
from domogik.daemons.throwaway import servers
from domogik.supervisor.reactors import TurnedReactor

T = TypeVar("T")


class Turns(TurnedReactor):
    """A reactor that runs while a call waits, and daemons on it."""

    def daemon(self, kind: str | type[ManagedDaemon]) -> ManagedDaemon:
        """A daemon on this reactor; raises `UnknownKind`."""
        made = daemon_class(kind) if isinstance(kind, str) else kind
        return made(self.reactor)


class Reached:
    """How the server of `daemon` is reached."""

    daemon: ManagedDaemon

    @property
    def url(self) -> str:
        """Where it is reached, with its credentials."""
        return self.daemon.url

    @property
    def host(self) -> str:
        """The address at which it is reached."""
        return self.daemon.parameters.reachable_host

    @property
    def port(self) -> int:
        """Its TCP port."""
        return self.daemon.get_port()

    @property
    def password(self) -> str | None:
        """What it asks for; None where it asks for nothing."""
        return self.daemon.parameters.password


class BlockingDaemon(Reached):
    """One throw-away server, for a program that waits.

    It serves when the object is there; `options` are those of `servers.begin`. What goes wrong
    raises the kind's error. `daemon` is the daemon itself, whose Deferreds fire during calls of
    this object only. A process that was forked leaves the server to its parent.
    """

    def __init__(self, kind: str | type[ManagedDaemon], **options: Any) -> None:
        self._turns = Turns()
        self._pid = os.getpid()
        try:
            self.daemon = self._turns.daemon(kind)
            self.wait(servers.begin(self.daemon, **options))
        except BaseException:
            self._turns.close()
            raise
        self.directory = self.daemon.directory.path

    @property
    def pid(self) -> int | None:
        """The number of its first process; None while it does not run."""
        return self.daemon.get_pid()

    def is_running(self) -> bool:
        """Whether its first process is there."""
        return self.daemon.is_running()

    def start(self) -> None:
        """Until it answers."""
        self._do(self.daemon.start)

    def stop(self) -> None:
        """Until none of its processes is left; its data stay."""
        self._do(self.daemon.stop)

    def restart(self) -> None:
        """`stop`, then `start`."""
        self.stop()
        self.start()

    def reload(self) -> None:
        """Have it read its configuration again."""
        self._do(self.daemon.reload)

    def configure(self, **options: Any) -> None:
        """Change what is given; it counts from the next start or `reload`."""
        now = self.daemon.parameters
        usual = {
            "port": now.port,
            "bind_host": now.host,
            "password": now.password,
            "run_as": now.run_as,
            **now.options,
        }
        self._do(lambda: self.daemon.configure(self.directory, **{**usual, **options}))

    def kill(self) -> None:
        """As a crash would: its first process, at once; it can be started again."""
        if self.is_running():
            self.daemon.signal("KILL")
            while self.daemon.is_running():
                self.wait(deferLater(self.daemon.reactor, 0.001))
            self._do(self.daemon.stop)

    def backup(self, target: str | os.PathLike[str]) -> None:
        """Write all its data into one new file."""
        self._do(lambda: self.daemon.backup(target))

    def restore(self, source: str | os.PathLike[str]) -> None:
        """Put what `backup` wrote in place of its data."""
        self._do(lambda: self.daemon.restore(source))

    def destroy(self) -> None:
        """Server, data and directory are gone; a second call does nothing."""
        if self._turns.is_closed:
            return
        try:
            if os.getpid() == self._pid:
                self.wait(servers.end(self.daemon, self.directory))
        finally:
            self._turns.close()

    def wait(self, operation: Deferred[T]) -> T:
        """What a Deferred of `daemon` fires with."""
        try:
            return self._turns.wait(operation)
        except TimeoutError as error:
            raise self.daemon.late(error) from error

    def _do(self, begin: Callable[[], Deferred[T]]) -> T:
        """Begin an operation and wait for it; raises the kind's error where it was destroyed."""
        if self._turns.is_closed:
            raise self.daemon.error(f"this {self.daemon.title} was destroyed: make another")
        with self._turns.lock:
            return self.wait(begin())

    def __enter__(self) -> BlockingDaemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.destroy()
