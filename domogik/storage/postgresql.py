"""PostgreSQL: one connection to the schema `domogik`, reopened after a restart of the server.

psycopg is imported when the first database of this kind is opened, so others do not need it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, cast

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorFromThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.python.threadpool import ThreadPool

from domogik.storage.database import BrokenDatabase, Connection, Rows, UnsupportedDatabase, newer

if TYPE_CHECKING:
    import psycopg

_T = TypeVar("_T")

SCHEMES = ("postgresql", "postgres")
#: seconds for a connection, and for another program that works on the same values
_TIMEOUT_S = 5
#: of `pg_advisory_xact_lock`: two programs must not migrate at once
_MIGRATION_LOCK = 0x646D6772

#: what makes schema number i + 1 of number i; never changed once released, only added to
MIGRATIONS: tuple[tuple[str, ...], ...] = (
    (
        """
        CREATE TABLE plugin_config (
            host TEXT NOT NULL,
            plugin TEXT NOT NULL,
            key TEXT NOT NULL,
            value TEXT NOT NULL,
            changed DOUBLE PRECISION NOT NULL,
            PRIMARY KEY (host, plugin, key)
        )
        """,
    ),
)


@attrs.define(eq=False)
class PostgresqlDatabase:
    """A `Database` on a PostgreSQL server."""

    _reactor: IReactorTime
    _url: str = attrs.field(repr=False)
    _name: str = ""
    _password: str = attrs.field(default="", repr=False)
    _pool: ThreadPool = attrs.field(
        init=False, factory=lambda: ThreadPool(minthreads=0, maxthreads=1, name="postgresql")
    )
    #: touched in the thread only
    _connection: psycopg.Connection[Any] | None = attrs.field(init=False, default=None)
    _closed: bool = attrs.field(init=False, default=False)

    @classmethod
    async def open(cls, reactor: IReactorTime, url: str) -> PostgresqlDatabase:
        """Return the database with its schema, `domogik`, up to date.

        Raises `UnsupportedDatabase` if psycopg is missing, `BrokenDatabase` and `NewerDatabase`,
        each with one line that contains no password.
        """
        database = cls(reactor, url)
        database._pool.start()
        try:
            await database._in_thread(database._parse_url)
            await database.run(lambda connection: migrate(connection, database.name))
        except BaseException:
            await database.close()
            raise
        return database

    @property
    def name(self) -> str:
        return self._name

    async def run(self, work: Callable[[Connection], _T]) -> _T:
        if self._closed:
            raise BrokenDatabase(f"{self._name} is closed")
        return await self._in_thread(lambda: self._run(work))

    async def check(self) -> None:
        await self.run(
            lambda connection: connection.execute("SELECT sum(length(value)) FROM plugin_config")
        )

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        await self._in_thread(self._disconnect)
        self._pool.stop()  # it joins its thread, which has nothing to do any more

    def _in_thread(self, work: Callable[[], _T]) -> Deferred[_T]:
        return deferToThreadPool(cast(IReactorFromThreads, self._reactor), self._pool, work)

    # In the thread

    def _parse_url(self) -> None:
        try:
            import psycopg.conninfo
        except ImportError as error:
            raise UnsupportedDatabase(
                "a PostgreSQL database needs the Python package psycopg: install it with "
                f"pip install 'domogik[postgresql]' ({error})"
            ) from error
        try:
            words = psycopg.conninfo.conninfo_to_dict(self._url)
        except psycopg.Error:
            # What libpq says would quote a part of it, which may be the password's.
            raise UnsupportedDatabase(
                "the address of the database is not valid: it is postgresql://<user>:<password>@"
                "<host>:<port>/<database>, and special characters are written as %XX"
            ) from None
        self._password = str(words.get("password") or "")
        host, port = words.get("host") or "", words.get("port")
        self._name = f"postgresql://{host}{f':{port}' if port else ''}/{words.get('dbname') or ''}"

    def _run(self, work: Callable[[Connection], _T]) -> _T:
        import psycopg

        try:
            connection = self._live_connection()
            try:
                result = work(_Translated(connection))
                connection.commit()
            except BaseException:
                self._rollback(connection)
                raise
            return result
        except psycopg.Error as error:
            raise BrokenDatabase(f"{self._name}: {self._error_text(error)}") from None

    def _live_connection(self) -> psycopg.Connection[Any]:
        """Return a connection in a transaction, reconnecting if it broke while it was idle."""
        import psycopg

        if self._connection is not None:
            try:
                self._connection.execute("SELECT 1")
            except psycopg.Error:
                self._disconnect()
        if self._connection is None:
            self._connection = self._connected()
        return self._connection

    def _connected(self) -> psycopg.Connection[Any]:
        import psycopg

        connection = psycopg.connect(
            self._url,
            connect_timeout=_TIMEOUT_S,
            tcp_user_timeout=2000 * _TIMEOUT_S,
            fallback_application_name="domogik",
            client_encoding="UTF8",
        )
        try:
            connection.execute("SET search_path TO domogik")
            connection.execute(f"SET lock_timeout TO '{_TIMEOUT_S}s'")
            connection.execute(f"SET statement_timeout TO '{2 * _TIMEOUT_S}s'")
            connection.commit()
        except BaseException:
            connection.close()
            raise
        return connection

    def _rollback(self, connection: psycopg.Connection[Any]) -> None:
        import psycopg

        try:
            connection.rollback()
        except psycopg.Error:  # it is gone, and what was not committed with it
            self._disconnect()

    def _disconnect(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def _error_text(self, error: Exception) -> str:
        text = " ".join(str(error).split()) or type(error).__name__
        return text.replace(self._password, "***") if self._password else text


@attrs.frozen
class _Translated:
    """A connection whose statements have `?` instead of psycopg's `%s`."""

    _connection: psycopg.Connection[Any]

    def execute(self, statement: str, values: Sequence[object] = ()) -> Rows:
        translated = cast(Any, statement.replace("?", "%s"))
        found = self._connection.execute(translated, values or None)
        return found if found.description is not None else _NOTHING


class _Nothing:
    def __iter__(self) -> Any:
        return iter(())

    def fetchone(self) -> None:
        return None


_NOTHING = _Nothing()


def migrate(
    connection: Connection, name: str, migrations: Sequence[Sequence[str]] = MIGRATIONS
) -> None:
    """Bring the schema to number `len(migrations)`, in the current transaction.

    Raises `NewerDatabase` if its number is higher.
    """
    connection.execute("SELECT pg_advisory_xact_lock(?)", (_MIGRATION_LOCK,))
    (is_there,) = connection.execute("SELECT to_regclass('domogik.schema_number')").fetchone()
    if is_there is None:
        if not connection.execute(
            "SELECT 1 FROM pg_namespace WHERE nspname = 'domogik'"
        ).fetchone():
            connection.execute("CREATE SCHEMA domogik")
        connection.execute("CREATE TABLE domogik.schema_number (number INTEGER NOT NULL)")
        connection.execute("INSERT INTO domogik.schema_number VALUES (0)")
    (number,) = connection.execute("SELECT number FROM domogik.schema_number").fetchone()
    if number > len(migrations):
        raise newer(name, number, len(migrations))
    for statements in migrations[number:]:
        for statement in statements:
            connection.execute(statement)
    if number < len(migrations):
        connection.execute("UPDATE domogik.schema_number SET number = ?", (len(migrations),))
