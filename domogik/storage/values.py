"""The values people set for plugins, per host, plugin and key."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar, cast

import attrs
from twisted.enterprise import adbapi
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool

from domogik.components.model import ConfigValue
from domogik.errors import DomogikError
from domogik.storage.sqlite import (
    BUSY_TIMEOUT_S,
    BrokenDatabase,
    configure,
    migrate,
    prepare_file,
)

#: characters
MAXIMUM_VALUE = 64 * 1024
_MAXIMUM_NAME = 255
#: an alias, because the store has a method called `list`
Values = list[ConfigValue]

_T = TypeVar("_T")


class UnsupportedDatabase(DomogikError):
    """An address of a kind of database that this Domogik does not speak with."""


class InvalidConfigValue(DomogikError):
    """A name or value that is not stored."""


def sqlite_url(path: Path) -> str:
    """The address of a database in a file, as `[database] url` takes it."""
    return f"sqlite:///{path}"


def path_of(url: str) -> Path:
    """The file that a `sqlite:///` address means; always absolute. Raises `UnsupportedDatabase`."""
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise UnsupportedDatabase(f"'{url}' is not the address of a database (sqlite:///<path>)")
    if scheme != "sqlite":
        # The address may hold a password: only its kind is quoted.
        raise UnsupportedDatabase(
            f"a database of kind '{scheme}' is not supported yet: use sqlite:///<path>"
        )
    path = rest.removeprefix("//")
    if not rest.startswith("///") or not path.strip("/") or "\0" in path:
        raise UnsupportedDatabase(f"'{url}' does not name a file: use sqlite:///<path>")
    return Path("/" + path.lstrip("/"))


@attrs.define(eq=False)
class ConfigStore:
    """One connection in a thread of its own, so that a slow disk delays nobody else.

    Every Deferred fails with `BrokenDatabase` where the file cannot be read or written, and what
    changes something with `InvalidConfigValue` for names and values that are not stored: names
    are 1 to 255 characters on one line, values up to 65,536 characters.
    """

    _reactor: IReactorTime
    _pool: adbapi.ConnectionPool
    _path: Path
    _closed: bool = False

    @classmethod
    def open(cls, reactor: IReactorTime, url: str) -> Deferred[ConfigStore]:
        """Fires with the store once its schema is up to date.

        Makes file and directory where they are missing. Fails with `UnsupportedDatabase`,
        `BrokenDatabase` or `NewerDatabase`, each naming the file in one line. `reactor`, which has
        to be a whole one, is also the clock that says the Unix time of a change.
        """
        return Deferred.fromCoroutine(cls._open(reactor, url))

    @classmethod
    async def _open(cls, reactor: IReactorTime, url: str) -> ConfigStore:
        path = path_of(url)
        pool = adbapi.ConnectionPool(
            "sqlite3",
            str(path),
            timeout=BUSY_TIMEOUT_S,
            # The pool closes its connection in the reactor's thread, when its own has ended.
            check_same_thread=False,
            cp_min=1,
            cp_max=1,
            cp_openfun=configure,
            cp_reactor=reactor,
        )
        store = cls(reactor, pool, path)
        try:
            await store._in_thread(lambda: prepare_file(path))
            await store._run(lambda connection: migrate(connection, path))
        except BaseException:
            await store.close()
            raise
        return store

    def get(self, host: str, plugin: str, key: str) -> Deferred[str | None]:
        """Fires with the value, None when none is stored."""
        return Deferred.fromCoroutine(self._get(host, plugin, key))

    async def _get(self, host: str, plugin: str, key: str) -> str | None:
        found = await self._select(host, plugin, key)
        return found[0].value if found else None

    def set(self, host: str, plugin: str, key: str, value: str) -> Deferred[ConfigValue]:
        """Store a value, or with an empty one delete what is stored; fires with what holds now."""
        return Deferred.fromCoroutine(self._set(ConfigValue(host, plugin, key, value)))

    async def _set(self, new: ConfigValue) -> ConfigValue:
        _check_value(new.value)
        names = _names(new.host, new.plugin, new.key)
        if not new.value:
            await self._delete(*names)
            return new
        changed = self._reactor.seconds()

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT INTO plugin_config VALUES (?, ?, ?, ?, ?) ON CONFLICT DO UPDATE"
                " SET value = excluded.value, changed = excluded.changed"
                " WHERE value != excluded.value",
                (*names, new.value, changed),
            )

        await self._run(write)
        return new

    def delete(self, host: str, plugin: str, key: str | None = None) -> Deferred[Values]:
        """Delete one value, or all of a plugin; fires with what was deleted, sorted by key."""
        return Deferred.fromCoroutine(self._delete(host, plugin, key))

    async def _delete(self, host: str, plugin: str, key: str | None = None) -> Values:
        where, names = _condition(host, plugin, key)

        def remove(connection: sqlite3.Connection) -> Values:
            connection.execute("BEGIN IMMEDIATE")
            gone = _rows(connection, where, names)
            connection.execute(f"DELETE FROM plugin_config {where}", names)  # noqa: S608 - ours
            return gone

        return await self._run(remove)

    def list(
        self, host: str | None = None, plugin: str | None = None, key: str | None = None
    ) -> Deferred[Values]:
        """Fires with the stored values, or those of a host, plugin or key, sorted."""
        return Deferred.fromCoroutine(self._select(host, plugin, key))

    async def _select(self, host: str | None, plugin: str | None, key: str | None) -> Values:
        where, names = _condition(host, plugin, key)
        return await self._run(lambda connection: _rows(connection, where, names))

    def check(self) -> Deferred[None]:
        """Fires when the file was read through; fails with `BrokenDatabase` where it is damaged."""
        return Deferred.fromCoroutine(self._run(self._check))

    def _check(self, connection: sqlite3.Connection) -> None:
        (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise BrokenDatabase(f"{self._path}: {found}")

    def close(self) -> Deferred[None]:
        """Fires when what was asked before is done and the file is closed; may be called twice."""
        return Deferred.fromCoroutine(self._close())

    async def _close(self) -> None:
        if self._closed:
            return
        self._closed = True
        # The pool joins its thread in the reactor's: when its queue is empty that takes no time.
        await self._in_thread(lambda: None)
        self._pool.close()

    def _in_thread(self, work: Callable[[], None]) -> Deferred[None]:
        reactor = cast(IReactorFromThreads, self._reactor)
        return deferToThreadPool(reactor, self._pool.threadpool, work)

    async def _run(self, work: Callable[[sqlite3.Connection], _T]) -> _T:
        """Do `work` in the thread; what it began is committed, or undone where it raises."""
        if self._closed:
            raise BrokenDatabase(f"{self._path} is closed")
        try:
            result: _T = await self._pool.runWithConnection(work)
        except sqlite3.Error as error:
            raise BrokenDatabase(f"{self._path}: {error}") from error
        return result


def _rows(connection: sqlite3.Connection, where: str, names: tuple[str, ...]) -> Values:
    query = f"SELECT host, plugin, key, value FROM plugin_config {where} ORDER BY 1, 2, 3"  # noqa: S608 - ours
    return [ConfigValue(*row) for row in connection.execute(query, names)]


def _condition(
    host: str | None, plugin: str | None, key: str | None
) -> tuple[str, tuple[str, ...]]:
    """The WHERE of a statement, and the names that go into it."""
    given = {
        column: name
        for column, name in (("host", host), ("plugin", plugin), ("key", key))
        if name is not None
    }
    where = f"WHERE {' AND '.join(f'{column} = ?' for column in given)}" if given else ""
    return where, _names(*given.values())


def _names(*names: str) -> tuple[str, ...]:
    for name in names:
        if not 0 < len(name) <= _MAXIMUM_NAME or not name.isprintable():
            raise InvalidConfigValue(
                f"{name[:60]!r} is no name: 1 to {_MAXIMUM_NAME} printable characters"
            )
    return names


def _check_value(value: str) -> None:
    if len(value) > MAXIMUM_VALUE:
        raise InvalidConfigValue(
            f"a value of {len(value)} characters; {MAXIMUM_VALUE} are the most that is stored"
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidConfigValue("a value that UTF-8 cannot say") from None
