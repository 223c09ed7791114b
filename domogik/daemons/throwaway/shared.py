"""One server for many tests, and on it something fresh for each of them.

Where several processes run the tests, the first that needs a server starts it, and ends it when
the last of them is done with it.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import secrets
import shutil
import threading
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred

from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.kinds import daemon_class
from domogik.daemons.throwaway.blocking import BlockingDaemon, Reached, Turns
from domogik.daemons.throwaway.reaper import Reaper
from domogik.errors import DomogikError

T = TypeVar("T")
_MODE = 0o600
_TURNS = 3


@attrs.frozen(kw_only=True)
class Clean:
    """What one test has to itself: a database, virtual host, document root or prefix of topics.

    `url` leads to it, with credentials. `path` is the directory where there is one, and `name` what
    the server calls it. `server` is what it lies on, and is not to be stopped.
    """

    url: str
    name: str
    host: str
    port: int
    password: str | None
    server: Shared
    path: Path | None = None


class Shared(Reached):
    """A server that was begun here, or by another process of the same test run."""

    def __init__(self, kind: str, directory: Path | None) -> None:
        self._begun = BlockingDaemon(kind) if directory is None else None
        self._turns = Turns()
        if self._begun is not None:
            directory = self._begun.directory
        assert directory is not None
        self.directory = directory
        self.daemon = self._turns.daemon(kind)
        self.daemon.load_parameters(directory)

    @property
    def is_ours(self) -> bool:
        """Whether it was begun here."""
        return self._begun is not None

    def check_running(self) -> None:
        """Raise the kind's error, with the last lines of the server, if it has ended."""
        daemon = self.daemon
        if not daemon.is_running():
            raise daemon.error(
                f"the {daemon.title} that tests share has ended: a test that ends its server takes "
                f'{daemon.kind}_daemon or running("{daemon.kind}")',
                output=daemon.last_lines(),
            )

    def wait(self, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Return the result of `work`; raises its error. Threads take turns."""
        with self._turns.lock:
            try:
                return self._turns.wait(Deferred.fromCoroutine(work()))
            except DomogikError:
                self.check_running()
                raise
            finally:
                for _ in range(_TURNS):  # a connection that was closed or aborted is gone after
                    self._turns.reactor.runUntilCurrent()
                    self._turns.reactor.doIteration(0)

    def close(self) -> None:
        """The server goes, if it was begun here."""
        self._turns.close()
        if self._begun is not None:
            self._begun.destroy()


class Servers:
    """The servers of one test run, each begun when it is first asked for.

    `place` is a directory that the processes of the run have in common; None for one alone. With
    `until_end_of`, the process that began them all, a server outlives a crash of its beginner.
    Threads may share them; a process that was forked leaves them to its parent.
    """

    def __init__(self, place: Path | None = None, until_end_of: int | None = None) -> None:
        self._place = place
        self._until_end_of = until_end_of
        self._shared: dict[str, Shared] = {}
        self._in_use: dict[str, int] = {}
        self._pid = os.getpid()
        self._getting = threading.Lock()

    @property
    def _are_ours(self) -> bool:
        return os.getpid() == self._pid

    def get(self, kind: str) -> Shared:
        """Return the server of a kind; raises the kind's error."""
        with self._getting:
            if kind not in self._shared:
                alone = self._place is None
                self._shared[kind] = Shared(kind, None) if alone else self._common(kind)
            return self._shared[kind]

    def _common(self, kind: str) -> Shared:
        assert self._place is not None
        with self._locked(kind):
            known = self._place / f"{kind}.json"
            there = Path(json.loads(known.read_text())) if known.exists() else None
            if there is not None and not there.exists():
                there = None  # the process that began it was killed
            server = Shared(kind, there)
            if server.is_ours:
                if self._until_end_of is not None:
                    reaper = Reaper.of_process(self._until_end_of)
                    reaper.watch(kind, server.directory, server.daemon.end_signal)
                    Reaper.of_this_process().done(server.directory)
                known.write_text(json.dumps(str(server.directory)))
            self._in_use[kind] = os.open(
                self._place / f"{kind}.users", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE
            )
            fcntl.flock(self._in_use[kind], fcntl.LOCK_SH)
        return server

    @contextlib.contextmanager
    def _locked(self, kind: str) -> Iterator[None]:
        assert self._place is not None
        path = self._place / f"{kind}.lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            fcntl.flock(descriptor, fcntl.LOCK_UN)
            os.close(descriptor)

    def close(self) -> None:
        """All that were begun here are gone, once no other process uses them any more."""
        if not self._are_ours:
            return
        for users in self._in_use.values():  # all, before another process is waited for
            fcntl.flock(users, fcntl.LOCK_UN)
        for kind, server in self._shared.items():
            own = self._in_use.get(kind)
            if own is not None:
                if server.is_ours:
                    self._forget_when_unused(kind, own)
                fcntl.flock(own, fcntl.LOCK_UN)  # a child may still have it open
                os.close(own)
            server.close()
        self._shared.clear()
        self._in_use.clear()

    def _forget_when_unused(self, kind: str, users: int) -> None:
        assert self._place is not None
        while True:
            fcntl.flock(users, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_UN)
            with self._locked(kind), contextlib.suppress(BlockingIOError):
                fcntl.flock(users, fcntl.LOCK_EX | fcntl.LOCK_NB)
                (self._place / f"{kind}.json").unlink(missing_ok=True)
                return

    @contextlib.contextmanager
    def clean(self, kind: str) -> Iterator[Clean]:
        """Yield a new part of the kind's server, and remove it afterwards.

        Raises the kind's error, `UnknownKind`, and `ManagedDaemonError` for a kind without parts.
        """
        if kind not in _FRESH:
            title = daemon_class(kind).title
            raise ManagedDaemonError(
                f"a {title} has no part for one test: take a server for each, "
                f'{kind}_daemon or running("{kind}")'
            )
        server = self.get(kind)
        server.check_running()
        with contextlib.ExitStack() as undo:
            try:
                yield _FRESH[kind](server, f"t{secrets.token_hex(8)}", undo)
            finally:
                if not self._are_ours:
                    undo.pop_all()


def _clean(server: Shared, url: str, name: str, path: Path | None = None) -> Clean:
    return Clean(
        url=url,
        name=name,
        host=server.host,
        port=server.port,
        password=server.password,
        server=server,
        path=path,
    )


def _by_sql(
    say: Callable[[Any, str], Coroutine[Any, Any, object]],
    drop: Callable[[Any, str], Coroutine[Any, Any, object]],
    until: str,
) -> Callable[[Shared, str, contextlib.ExitStack], Clean]:
    def fresh(server: Shared, name: str, undo: contextlib.ExitStack) -> Clean:
        server.wait(lambda: say(server.daemon, f"CREATE DATABASE {name}"))
        undo.callback(server.wait, lambda: drop(server.daemon, name))
        return _clean(server, server.url.removesuffix(until) + name, name)

    return fresh


async def _say_to_postgres(daemon: Any, sql: str) -> None:
    from domogik.daemons.postgres.wire import Session

    session = await Session.open(daemon.reactor, daemon.login())
    try:
        await session.query(sql)
    finally:
        session.close()


async def _drop_postgres(daemon: Any, name: str) -> None:
    await _say_to_postgres(daemon, f"DROP DATABASE {name} WITH (FORCE)")


async def _say_to_mysql(daemon: Any, sql: str) -> None:
    await daemon.ask(sql)


async def _drop_mysql(daemon: Any, name: str) -> None:
    """Drop a database; the connections that are open to it are ended, as they might hold locks."""
    from domogik.daemons.mysql.client import Refused

    using = f"SELECT id FROM information_schema.processlist WHERE db = '{name}'"  # noqa: S608
    for (number,) in await daemon.ask(using):
        with contextlib.suppress(Refused):  # it has ended meanwhile
            await daemon.ask(f"KILL {number}")
    await daemon.ask(f"DROP DATABASE {name}")


def _redis(server: Shared, _: str, undo: contextlib.ExitStack) -> Clean:
    """The first of its numbered databases that no other test has; emptied before it is used."""
    for number in range(int(server.daemon.option("databases"))):
        path = server.directory / "run" / f".database-{number}"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, _MODE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            continue
        undo.callback(os.close, descriptor)
        undo.callback(fcntl.flock, descriptor, fcntl.LOCK_UN)  # a child may still have it open
        server.wait(lambda: _flush(server, number))  # noqa: B023 - it is done with at once
        return _clean(server, f"{server.url.removesuffix('0')}{number}", str(number))
    raise server.daemon.error("all numbered databases are in use: have a server, redis_daemon")


async def _flush(server: Shared, number: int) -> None:
    from domogik.daemons.core.probing import exchange
    from domogik.daemons.redis.resp import RedisError, command, replies

    known = server.daemon.parameters
    words = [("SELECT", str(number)), ("FLUSHDB",)]
    if known.password is not None:
        words.insert(0, ("AUTH", known.password))
    question = b"".join(command(*one) for one in words)

    def is_whole(data: bytes) -> bool:
        return len(replies(data)) >= len(words)

    where = server.daemon.reactor, known.reachable_host, known.port
    for reply in replies(await exchange(*where, question, is_whole)):
        if isinstance(reply, RedisError):
            raise server.daemon.error(f"database {number} is not emptied: {reply.text}")


def _rabbitmq(server: Shared, name: str, undo: contextlib.ExitStack) -> Clean:
    daemon: Any = server.daemon
    server.wait(lambda: daemon.add_virtual_host(name))
    undo.callback(server.wait, lambda: daemon.remove_virtual_host(name))
    return _clean(server, server.url.removesuffix("%2F") + name, name)


def _web(server: Shared, name: str, undo: contextlib.ExitStack) -> Clean:
    daemon: Any = server.daemon
    path: Path = daemon.root / name
    path.mkdir()
    undo.callback(shutil.rmtree, path)
    path.chmod(0o755)
    server.daemon.directory.give(path)
    return _clean(server, f"{server.url}{name}/", name, path)


def _mosquitto(server: Shared, name: str, _: contextlib.ExitStack) -> Clean:
    """Topics are not made: what begins with `name` is this test's, and may stay."""
    return _clean(server, server.url, f"{name}/")


_FRESH = {
    "redis": _redis,
    "postgres": _by_sql(_say_to_postgres, _drop_postgres, "postgres"),
    "mysql": _by_sql(_say_to_mysql, _drop_mysql, ""),
    "rabbitmq": _rabbitmq,
    "nginx": _web,
    "apache": _web,
    "mosquitto": _mosquitto,
}
