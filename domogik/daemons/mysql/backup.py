"""Backups of MariaDB and MySQL: one file of SQL, made by `mariadb-dump`, read by the client.

All databases of people are dumped in one transaction, with all that belongs to them, and then the
server's own with its users. The same data give the same dump: that is how what came back is
compared with what went in, also when the server was being written to.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import ClassVar, Protocol

from domogik.daemons.core.backups import BackupContents
from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.core.tools import DaemonTools
from domogik.daemons.mysql.files import ServerVersion
from domogik.supervisor.processes.command import Completed

_PART = ".part"
_PATIENCE = 24 * 3600.0  # seconds; big data take their time
_DATABASES = (
    "SELECT HEX(schema_name) FROM information_schema.schemata WHERE schema_name NOT IN"
    " ('mysql', 'sys', 'information_schema', 'performance_schema') ORDER BY 1"
)
_DUMP = (
    "--single-transaction",
    "--quick",
    "--routines",
    "--events",
    "--triggers",
    "--hex-blob",
    "--skip-dump-date",
    "--skip-comments",
    "--flush-privileges",
    "--max-allowed-packet=1G",
)


class Served(Protocol):
    """What is asked of a server that serves."""

    error: ClassVar[type[ManagedDaemonError]]
    tools: DaemonTools

    @property
    def directory(self) -> WorkingDirectory: ...

    @property
    def version(self) -> ServerVersion: ...

    def beside(self, *names: str) -> str: ...

    def credentials(self) -> AbstractContextManager[Path]: ...

    async def client(self, sql: str, what: str, *, time_limit: float = 60.0) -> str: ...

    async def command(
        self, argv: tuple[str, ...], what: str, *, time_limit: float
    ) -> Completed: ...


async def dump(daemon: Served, payload: Path) -> BackupContents:
    """Everything into the new file `payload`; raises the kind's error."""
    names = await _databases(daemon)
    facts = await _dump_people(daemon, names, payload)
    own = daemon.directory / _PART
    try:
        await _run(daemon, own, ["mysql"])
        await daemon.tools.in_thread(_append, payload, own)
    finally:
        own.unlink(missing_ok=True)
    return BackupContents(daemon.version.text, facts)


async def load_served(daemon: Served, payload: Path, after: Path) -> None:
    """Take `payload` in, and then what `after` says, up to the first error.

    Raises the kind's error.
    """
    # They are where the client stands: names with nothing to quote.
    await daemon.client(
        f"source {payload.name}\nsource {after.name}",
        "the backup cannot be taken in",
        time_limit=_PATIENCE,
    )


async def compare(daemon: Served, contents: BackupContents) -> None:
    """Raises the kind's error unless the server holds `contents`."""
    again = daemon.directory / _PART
    try:
        found = await _dump_people(daemon, await _databases(daemon), again)
    finally:
        again.unlink(missing_ok=True)
    if found != contents.facts:
        raise daemon.error(f"what came back is not what went in: {found}, not {contents.facts}")


async def _databases(daemon: Served) -> list[str]:
    said = await daemon.client(_DATABASES, "its databases cannot be listed")
    return [bytes.fromhex(line).decode() for line in said.split()]


async def _dump_people(daemon: Served, names: Sequence[str], target: Path) -> dict[str, str | int]:
    if names:
        await _run(daemon, target, names)
    else:
        daemon.directory.write(target.name, "")
    return await daemon.tools.in_thread(_facts, target, len(names))


async def _run(daemon: Served, target: Path, names: Sequence[str]) -> None:
    names_of_it = (*(("mariadb-dump",) if daemon.version.is_mariadb else ()), "mysqldump")
    program = daemon.beside(*names_of_it)
    daemon.directory.write(target.name, "")
    with daemon.credentials() as path:
        await daemon.command(
            (
                program,
                f"--defaults-file={path}",
                *_DUMP,
                f"--result-file={target.name}",
                "--databases",
                "--",
                *names,
            ),
            "its data cannot be dumped",
            time_limit=_PATIENCE,
        )


def _facts(dumped: Path, databases: int) -> dict[str, str | int]:
    with dumped.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return {"databases": databases, "bytes": file.tell(), "digest": digest}


def _append(payload: Path, part: Path) -> None:
    with payload.open("ab") as target, part.open("rb") as source:
        shutil.copyfileobj(source, target, 2**20)
