"""Backups of PostgreSQL: one file of SQL, made by `pg_dumpall` and `pg_dump`, read by `psql`.

What is in a database is counted in the very snapshot that is dumped, so that a backup of a server
that is being written to can be compared too.
"""

from __future__ import annotations

import contextlib
import hashlib
import mmap
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import ClassVar, Protocol

import attrs

from domogik.daemons.core.backups import BackupContents
from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.core.tools import DaemonTools, IDaemonReactor
from domogik.daemons.postgres.programs import Programs
from domogik.daemons.postgres.wire import Login, Session
from domogik.supervisor.processes.command import Completed

_PART, _PASSFILE = ".part", ".pgpass"
_PATIENCE = 24 * 3600.0  # seconds; big data take their time
#: in every cluster from the beginning
_GIVEN = frozenset(("postgres", "template1"))
# Statements of `pg_dumpall` about the superuser, who is there already and keeps his password.
_ABOUT_US = (b"\nCREATE ROLE postgres;", b"\nALTER ROLE postgres WITH ")
_DATABASES = 'SELECT datname FROM pg_database WHERE datallowconn ORDER BY datname COLLATE "C"'
_TABLESPACES = "SELECT spcname FROM pg_tablespace WHERE spcname !~ '^pg_'"
_RELATIONS = """
    SELECT format('%I.%I', nspname, relname), relkind
    FROM pg_class JOIN pg_namespace ON pg_namespace.oid = relnamespace
    WHERE relkind IN ('r', 'm', 'S') AND nspname !~ '^pg_' AND nspname != 'information_schema'
    ORDER BY 1
"""


class Served(Protocol):
    """What is asked of a PostgreSQL that serves."""

    error: ClassVar[type[ManagedDaemonError]]
    reactor: IDaemonReactor
    tools: DaemonTools

    @property
    def directory(self) -> WorkingDirectory: ...

    @property
    def programs(self) -> Programs: ...

    def login(self, password: str | None = None, database: str = "postgres") -> Login: ...

    async def command(
        self, argv: tuple[str, ...], what: str, *, environment: dict[str, str], time_limit: float
    ) -> Completed: ...


@attrs.define
class ClusterContents:
    """What databases hold, in few words: the order of rows does not matter."""

    databases: int = 0
    tables: int = 0
    rows: int = 0
    _digest: hashlib._Hash = attrs.field(factory=hashlib.sha256)

    async def add(self, name: str, session: Session) -> None:
        """Count the database of that session."""
        self.databases += 1
        self._note(name)
        for relation, kind in await session.query(_RELATIONS):
            assert relation is not None
            if kind == "S":
                [found] = await session.query(f"SELECT last_value, is_called FROM {relation}")  # noqa: S608
            else:
                [found] = await session.query(
                    "SELECT count(*), coalesce(sum(hashtextextended(one::text, 0)), 0)"  # noqa: S608
                    f" FROM ONLY {relation} AS one",
                    _PATIENCE,
                )
                self.tables += 1
                self.rows += int(found[0] or 0)
            self._note(relation, *map(str, found))

    def _note(self, *words: str) -> None:
        self._digest.update(b"".join(word.encode() + b"\0" for word in words) + b"\n")

    def contents(self, version: str) -> BackupContents:
        """As a manifest keeps it."""
        return BackupContents(
            version,
            {
                "databases": self.databases,
                "tables": self.tables,
                "rows": self.rows,
                "digest": self._digest.hexdigest(),
            },
        )


async def dump(daemon: Served, payload: Path) -> BackupContents:
    """Everything into the new file `payload`; raises the kind's error."""
    inventory = ClusterContents()
    async with _session(daemon) as session:
        if found := await session.query(_TABLESPACES):
            raise daemon.error(f"the tablespace {found[0][0]} is outside of what can be backed up")
        databases = [name for (name,) in await session.query(_DATABASES) if name is not None]
    with _credentials(daemon) as environment:
        command = (daemon.programs / "pg_dumpall", "--globals-only", f"--file={payload}")
        await daemon.command(
            (*command, *_where(daemon)),
            "its roles cannot be dumped",
            environment=environment,
            time_limit=_PATIENCE,
        )
        await daemon.tools.in_thread(_leave_us_out, payload)
        for name in databases:
            await _dump_one(daemon, name, payload, inventory, environment)
    return inventory.contents(daemon.programs.version)


async def _dump_one(
    daemon: Served,
    name: str,
    payload: Path,
    inventory: ClusterContents,
    environment: dict[str, str],
) -> None:
    part = daemon.directory / _PART
    async with _session(daemon, name) as session:
        await session.query("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
        [(snapshot,)] = await session.query("SELECT pg_export_snapshot()")
        command = (daemon.programs / "pg_dump", f"--snapshot={snapshot}", f"--file={part}")
        try:
            await daemon.command(
                (*command, *(() if name in _GIVEN else ("--create",)), *_where(daemon, name)),
                f"the database {name} cannot be dumped",
                environment=environment,
                time_limit=_PATIENCE,
            )
            await inventory.add(name, session)
            head = f"\\connect {name}\n" if name in _GIVEN else ""
            await daemon.tools.in_thread(_append, payload, head, part)
        finally:
            part.unlink(missing_ok=True)


async def load_served(daemon: Served, payload: Path) -> None:
    """Take `payload` in, up to its first error; raises the kind's error."""
    options = ("--no-psqlrc", "--quiet", "--set=ON_ERROR_STOP=1", "--output=/dev/null")
    with _credentials(daemon) as environment:
        await daemon.command(
            (daemon.programs / "psql", *options, f"--file={payload}", *_where(daemon)),
            "the backup cannot be taken in",
            environment=environment,
            time_limit=_PATIENCE,
        )


async def compare(daemon: Served, contents: BackupContents) -> None:
    """Raises the kind's error unless the server holds `contents`."""
    inventory = ClusterContents()
    async with _session(daemon) as session:
        databases = [name for (name,) in await session.query(_DATABASES) if name is not None]
    for name in databases:
        async with _session(daemon, name) as session:
            await inventory.add(name, session)
    found = inventory.contents("").facts
    if found != contents.facts:
        raise daemon.error(f"what came back is not what went in: {found}, not {contents.facts}")


@contextlib.asynccontextmanager
async def _session(daemon: Served, database: str = "postgres") -> AsyncIterator[Session]:
    session = await Session.open(daemon.reactor, daemon.login(database=database))
    try:
        # nothing that a person's own search path or form of dates could change
        await session.query("SET search_path = ''; SET datestyle = 'ISO'; SET timezone = 'UTC'")
        yield session
    finally:
        session.close()


def _where(daemon: Served, database: str = "postgres") -> tuple[str, ...]:
    login = daemon.login()
    name = database.replace("\\", "\\\\").replace("'", "\\'")
    return (
        "--no-password",
        f"--dbname=host={login.host} port={login.port} user={login.user} dbname='{name}'",
    )


@contextlib.contextmanager
def _credentials(daemon: Served) -> Iterator[dict[str, str]]:
    """Variables that lead the server's programs to the password, for the time being."""
    login = daemon.login()
    secret = login.password.replace("\\", "\\\\").replace(":", "\\:")
    path = daemon.directory.write(_PASSFILE, f"*:*:*:*:{secret}\n")
    try:
        yield {"PGPASSFILE": str(path)}
    finally:
        path.unlink(missing_ok=True)


def _leave_us_out(payload: Path) -> None:
    """Make comments of what is said about the superuser, in the place where it stands; blocks."""
    with payload.open("r+b") as file, mmap.mmap(file.fileno(), 0) as text:
        for statement in _ABOUT_US:
            at = text.find(statement)
            if at >= 0:
                text[at + 1 : at + 3] = b"--"


def _append(payload: Path, head: str, part: Path) -> None:
    with payload.open("ab") as target, part.open("rb") as source:
        target.write(head.encode())
        shutil.copyfileobj(source, target, 2**20)
