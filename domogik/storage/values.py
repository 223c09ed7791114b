"""The store of plugin configuration values, by host, plugin and key."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from domogik.answers import deferred
from domogik.components.model import ConfigValue
from domogik.config.load import Setting
from domogik.errors import DomogikError
from domogik.storage.database import Connection, Database, UnsupportedDatabase
from domogik.storage.postgresql import SCHEMES, PostgresqlDatabase
from domogik.storage.sqlite import SqliteDatabase

#: characters
MAXIMUM_VALUE = 64 * 1024
_MAXIMUM_NAME = 255
#: an alias, because the store has a method called `list`
Values = list[ConfigValue]


class InvalidConfigValue(DomogikError):
    """A name or value cannot be stored."""


def sqlite_url(path: Path) -> str:
    """Return the URL of a database file, as `[database] url` takes it."""
    return f"sqlite:///{path}"


def path_of(url: str) -> Path:
    """Return the absolute path in a `sqlite:///` URL; raise `UnsupportedDatabase` if it has
    none."""
    scheme, colon, rest = url.partition(":")
    if not colon:
        raise UnsupportedDatabase(f"'{url}' is not the address of a database (sqlite:///<path>)")
    if scheme != "sqlite":
        # The address may hold a password: only its kind is quoted.
        raise UnsupportedDatabase(
            f"a database of kind '{scheme}' is not supported: use sqlite:///<path>, "
            "postgresql://<user>:<password>@<host>/<database> or daemon:<name>"
        )
    path = rest.removeprefix("//")
    if not rest.startswith("///") or not path.strip("/") or "\0" in path:
        raise UnsupportedDatabase(f"'{url}' does not name a file: use sqlite:///<path>")
    return Path("/" + path.lstrip("/"))


def check_url(setting: Setting) -> None:
    """Raise `BrokenConfiguration` if the setting is not the URL of a database."""
    if setting.text() and setting.text().partition(":")[0] not in (*SCHEMES, "daemon"):
        try:
            path_of(setting.text())
        except UnsupportedDatabase as error:
            raise setting.refused(f"url in [database]: {error}") from None


async def open_database(reactor: IReactorTime, url: str, *, must_exist: bool = False) -> Database:
    """Return the database that `url` names, with its schema up to date.

    A missing file is created, unless it `must_exist`. Raises `UnsupportedDatabase`,
    `BrokenDatabase` or `NewerDatabase`, each with one line that names the database and no password.
    """
    if url.partition(":")[0] in SCHEMES:
        return await PostgresqlDatabase.open(reactor, url)
    return await SqliteDatabase.open(reactor, path_of(url), must_exist=must_exist)


@attrs.define(eq=False)
class ConfigStore:
    """The configuration values in a database.

    Every Deferred fails with `BrokenDatabase` if the database cannot be read or written, and with
    `InvalidConfigValue` for names and values that cannot be stored: names have 1 to 255 characters
    on one line, values up to 65,536 characters without a zero byte.
    """

    _database: Database
    _wall_clock: Callable[[], float]

    @classmethod
    @deferred
    async def open(
        cls,
        reactor: IReactorTime,
        url: str,
        wall_clock: Callable[[], float],
        *,
        must_exist: bool = False,
    ) -> ConfigStore:
        """Return a Deferred of the store, which fails like `open_database`.

        The caller replaces `daemon:<name>` by the daemon's URL. `wall_clock` returns the Unix time
        of a change.
        """
        return cls(await open_database(reactor, url, must_exist=must_exist), wall_clock)

    @deferred
    async def get(self, host: str, plugin: str, key: str) -> str | None:
        """Return a Deferred of the value, None if none is stored."""
        found = await self.list(host, plugin, key)
        return found[0].value if found else None

    @deferred
    async def set(self, host: str, plugin: str, key: str, value: str) -> ConfigValue:
        """Store a value, or delete it if it is empty; the Deferred fires with the new value."""
        new = ConfigValue(host, plugin, key, value)
        _check_value(value)
        names = _names(host, plugin, key)
        if not value:
            await self.delete(*names)
            return new
        changed = self._wall_clock()

        def write(connection: Connection) -> None:
            connection.execute(
                "INSERT INTO plugin_config (host, plugin, key, value, changed)"
                " VALUES (?, ?, ?, ?, ?) ON CONFLICT (host, plugin, key) DO UPDATE"
                " SET value = excluded.value, changed = excluded.changed"
                " WHERE plugin_config.value != excluded.value",
                (*names, value, changed),
            )

        await self._database.run(write)
        return new

    @deferred
    async def delete(self, host: str, plugin: str, key: str | None = None) -> Values:
        """Delete one value, or all of a plugin; fires with those deleted, sorted by key."""
        where, names = _condition(host, plugin, key)
        statement = f"DELETE FROM plugin_config {where} RETURNING host, plugin, key, value"  # noqa: S608 - ours
        return await self._database.run(lambda connection: _rows(connection, statement, names))

    @deferred
    async def list(
        self, host: str | None = None, plugin: str | None = None, key: str | None = None
    ) -> Values:
        """Return a Deferred of the stored values of a host, plugin or key, sorted."""
        where, names = _condition(host, plugin, key)
        statement = f"SELECT host, plugin, key, value FROM plugin_config {where}"  # noqa: S608 - ours
        return await self._database.run(lambda connection: _rows(connection, statement, names))

    async def look(self) -> None:
        """Raise `BrokenDatabase` if the database cannot be reached."""
        await self._database.run(lambda connection: connection.execute("SELECT 1").fetchone())

    def check(self) -> Deferred[None]:
        """Read the whole database; the Deferred fails with `BrokenDatabase` if it is damaged."""
        return Deferred.fromCoroutine(self._database.check())

    def close(self) -> Deferred[None]:
        """Return a Deferred that fires when earlier operations are done and the database is
        closed."""
        return Deferred.fromCoroutine(self._database.close())


def _rows(connection: Connection, statement: str, names: tuple[str, ...]) -> Values:
    # A database may sort by its locale.
    found = [ConfigValue(*row) for row in connection.execute(statement, names)]
    return sorted(found, key=lambda value: (value.host, value.plugin, value.key))


def _condition(
    host: str | None, plugin: str | None, key: str | None
) -> tuple[str, tuple[str, ...]]:
    """Return the WHERE clause of a statement and its values."""
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
    if "\0" in value:
        raise InvalidConfigValue("a value with a zero byte, which not every database keeps")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidConfigValue("a value that UTF-8 cannot say") from None
