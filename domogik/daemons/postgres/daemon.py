"""PostgreSQL: a cluster of its own in `data/`, whose superuser is `postgres`.

Everybody has to know the password, also those who come by the socket in `socket/`, which only its
own user can reach. An instance that is configured without one gets a random one.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import quote

import attrs
from twisted.internet.defer import Deferred

from domogik.config.files import read_bounded
from domogik.daemons.core import backups
from domogik.daemons.core.arguments import LOOPBACK, Callback, ErrorCallback
from domogik.daemons.core.backups import BackupContents
from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.directory import CONFIGURATION
from domogik.daemons.core.errors import InvalidParameters, ManagedDaemonError, NotReady
from domogik.daemons.core.parameters import Option, Parameters
from domogik.daemons.core.processes_in_directory import ProcessesInDirectory
from domogik.daemons.core.templates import Template, new_password
from domogik.daemons.postgres import backup as pgbackup
from domogik.daemons.postgres.programs import Programs, candidates, fitting, parsed
from domogik.daemons.postgres.scram import verifier
from domogik.daemons.postgres.wire import Login, Refused, Session
from domogik.supervisor.interfaces import Policy

SUPERUSER = "postgres"
_FORMER_PASSWORD = ".former-password"  # noqa: S105 - the name of a file
_NEW_PASSWORD = ".new-password"  # noqa: S105 - the name of a file
_HBA = "pg_hba.conf"
_WHO_MAY = """\
local all,replication all scram-sha-256
host all,replication all all scram-sha-256
"""
_SETTING = re.compile(r"([A-Za-z_][\w.]*)\s*=\s*(\S.*)")
_OURS = frozenset(
    ("listen_addresses", "port", "unix_socket_directories", "hba_file", "data_directory")
)
_WRONG_PASSWORD = "28P01"  # noqa: S105 - a code of SQLSTATE (PostgreSQL 15, appendix A)
#: it serves, though not us: too many are served already, or the database was dropped
_SERVES = frozenset(("53300", "3D000"))


class PostgresDaemonError(ManagedDaemonError):
    """PostgreSQL was not configured, started, stopped, ..."""

    # a bad value, an unknown name, a line that cannot be read; or what ended it
    reason = re.compile(
        r"(?:LOG:  (?=.*parameter|syntax error)|FATAL:  (?!configuration))(.+?)(?: in file .*)?$",
        re.MULTILINE,
    )


@attrs.define(eq=False)
class PostgresDaemon(ManagedDaemon):
    """A PostgreSQL server."""

    kind: ClassVar[str] = "postgres"
    title: ClassVar[str] = "PostgreSQL"
    error: ClassVar[type[ManagedDaemonError]] = PostgresDaemonError
    pid_file: ClassVar[str] = "data/postmaster.pid"
    # INT ends all sessions ("fast"), where TERM waits for them to leave; QUIT is "immediate". Its
    # processes take the same signals to mean other things (PostgreSQL 15, 19.5).
    policy: ClassVar[Policy] = Policy(
        start_timeout=300,  # after a crash it reads the log of its changes first
        stop_signal="INT",
        stop_timeout=60,
        leader_first=True,
        last_signal="QUIT",
    )
    # killed, it would leave a segment of shared memory (18.4.1)
    end_signal: ClassVar[str] = "QUIT"
    refuses_root: ClassVar[bool] = True
    defaults: ClassVar[Mapping[str, Option]] = {
        "binaries": None,
        "max_connections": 100,
        "shared_buffers": "128MB",
        "fsync": True,
        "settings": [],
    }
    _programs: Programs | None = attrs.field(init=False, default=None)

    # Which server

    @property
    def programs(self) -> Programs:
        """What `find_programs` found; raises the kind's error before that."""
        if self._programs is None:
            raise self.error(f"the programs of {self.title} were not looked for")
        return self._programs

    async def find_programs(self) -> None:
        """The newest that fits the data, if there are any; raises the kind's error."""
        series = await self.tools.in_thread(self._series)
        found = await self._all_programs()
        self._programs = fitting(found, series)
        if self._programs is None:
            raise self._unfit(found, series)

    async def _all_programs(self) -> list[Programs]:
        given = self.option("binaries")
        path = self.tools.environment["PATH"]
        directories = [Path(given)] if given else await self.tools.in_thread(candidates, path)
        found = []
        for directory in directories:
            programs = parsed(directory, await self.version_of(str(directory / "postgres")))
            if programs is not None:
                found.append(programs)
        return found

    def _unfit(self, found: list[Programs], series: str | None) -> ManagedDaemonError:
        if not found:
            return self.error(
                f"{self.title} needs the program postgres, which is missing here: install it, or "
                "name its directory in the option binaries"
            )
        here = ", ".join(f"{one.version} in {one.directory}" for one in found)
        return self.error(
            f"the data in {self.directory / 'data'} are of {self.title} {series}, and here is "
            f"{here}: install {self.title} {series} to use them (or to back them up, and restore "
            "that into a new instance)"
        )

    def _series(self) -> str | None:
        """What the data are of; None where there are none yet."""
        if not self.parameters.is_initialised:
            return None
        # While a backup is restored, and after one that was killed, there may be two.
        for data in (f"data{backups.BEFORE}", "data"):
            with contextlib.suppress(FileNotFoundError):
                path = self.directory / data / "PG_VERSION"
                return read_bounded(path, 100).decode(errors="replace").strip()
        raise self.error(f"{path} is missing: these are not the data of a server")

    # Its data and its files

    def configure(  # type: ignore[override]  # as the original has it
        self,
        working_dir: str | os.PathLike[str],
        postgres_binaries_path: str | os.PathLike[str] | int | None = None,
        port: int | str | None = None,
        bind_host: str = LOOPBACK,
        callback: Callback | str | None = None,
        error_callback: ErrorCallback | None = None,
        password: str | None = None,
        *,
        run_as: str | None = None,
        **options: Option,
    ) -> Deferred[str]:
        """See `IManagedDaemon`. Without the path of its programs the port comes second, too."""
        given: dict[str, Any] = {"run_as": run_as, **options}
        if isinstance(port, str):
            # port, bind_host, password, each one place further to the left
            if bind_host != LOOPBACK:
                callback = bind_host if callback is None else callback
            bind_host, port = port, None
        if isinstance(postgres_binaries_path, int):
            postgres_binaries_path, port = None, postgres_binaries_path
        if postgres_binaries_path is not None:
            given["binaries"] = os.fspath(postgres_binaries_path)
        given |= {"port": port, "bind_host": bind_host}
        return self._configured(working_dir, callback, error_callback, password, given)

    @property
    def configured_sentence(self) -> str:
        """What the original said."""
        return "Successfully created Postgres database."

    def completed(self, wanted: Parameters, known: Parameters | None) -> Parameters:
        """Without a password it keeps the one it has, or gets a random one."""
        return wanted.protected(known)

    async def initialise(self) -> None:
        """`initdb`: all access by SCRAM, checksums, UTF-8 in the order of code points."""
        self.configuration()
        making: tuple[str, ...] = (
            self.programs / "initdb",
            f"--username={SUPERUSER}",
            "--auth=scram-sha-256",
            "--encoding=UTF8",
            "--locale=C.UTF-8",
            "--data-checksums",
        )
        if self.option("fsync"):
            await self._make_data(making, self.password)
            return
        making = (*making, "--no-sync", "--wal-segsize=1")
        template = Template(self.tools, self.kind, (*making, self.programs.version))
        former = await self.tools.in_thread(lambda: template.password)
        if former is None or not await template.copy_to(self.directory):
            former = new_password()
            await self._make_data(making, former)
            await template.keep(self.directory, former)
        await self.tools.in_thread(self._write_former, former)

    async def _make_data(self, making: tuple[str, ...], password: str) -> None:
        self.directory.subdirectory("data")
        new = self.directory.write(_NEW_PASSWORD, f"{password}\n")
        command = (*making, f"--pgdata={self.directory / 'data'}", f"--pwfile={new}")
        try:
            await self.command(command, "its data cannot be made", time_limit=300)
        finally:
            new.unlink(missing_ok=True)
        await self.tools.in_thread(self._include_ours)

    def _include_ours(self) -> None:
        """Its own file ends in ours, so that ours counts."""
        own = read_bounded(self.directory / "data" / "postgresql.conf", 2**20).decode()
        self.directory.write("data/postgresql.conf", f"{own}\ninclude '../{CONFIGURATION}'\n")

    def configuration(self) -> Mapping[str, str]:
        """Settings, and who may come in; raises `InvalidParameters`."""
        settings = "".join(f"{line}\n" for line in (*self._settings(), *self._further_settings()))
        return {CONFIGURATION: settings, _HBA: _WHO_MAY}

    def _settings(self) -> list[str]:
        parameters = self.parameters
        is_safe = bool(self.option("fsync"))
        settings: dict[str, Option] = {
            "listen_addresses": parameters.host,
            "port": parameters.port,
            # Seen from `data`: an absolute path may be too long for a socket.
            "unix_socket_directories": "../socket",
            "unix_socket_permissions": "0700",
            "hba_file": str(self.directory / _HBA),
            "password_encryption": "scram-sha-256",
            "max_connections": self.option("max_connections"),
            "shared_buffers": self.option("shared_buffers"),
            # A server without it may be ended by a signal soon: nothing stays in /dev/shm.
            **({} if is_safe else {"dynamic_shared_memory_type": "mmap"}),
            "fsync": is_safe,
            "full_page_writes": is_safe,
            "logging_collector": False,
            "log_destination": "stderr",
        }
        return [f"{name} = {quoted(value)}" for name, value in settings.items()]

    def _further_settings(self) -> list[str]:
        """The option `settings`: lines of a person's own."""
        lines = self.option("settings")
        for line in lines:
            found = _SETTING.fullmatch(line.strip()) if isinstance(line, str) else None
            if found is None:
                raise InvalidParameters(f"{line!r} is not a setting: name = value")
            if found[1].lower() in _OURS:
                raise InvalidParameters(f"{found[1]} is set by this program")
        return [line.strip() for line in lines]

    def checker(self, configuration: Path) -> tuple[str, ...]:
        """The server itself, asked for one setting, reads all of them."""
        return (*self._server, "-c", f"config_file={configuration}", "-C", "port")

    @property
    def _server(self) -> tuple[str, ...]:
        return (self.programs / "postgres", "-D", str(self.directory / "data"))

    def argv(self) -> tuple[str, ...]:
        """It finds its settings in `data`."""
        return self._server

    # Its start

    def check_data(self) -> None:
        """That they fit was seen when the programs were looked for."""
        self.directory.subdirectory("socket")

    async def end_orphans(self) -> None:
        """Sessions go on for a while after the server was killed."""
        await self._inhabitants.end_orphans(self.reactor)

    @property
    def _inhabitants(self) -> ProcessesInDirectory:
        return ProcessesInDirectory(self.directory / "data", "postgres")

    def remove_leftovers(self) -> None:
        """Its PID file keeps a second server from the data: it is removed if its process is gone.

        The server itself would believe in a stranger who has the number that is in it.
        """
        if self._inhabitants.are_gone():
            self.get_pid_path().unlink(missing_ok=True)
            for left in (self.directory / "socket").glob(".s.PGSQL.*"):
                left.unlink(missing_ok=True)

    async def probe(self) -> None:
        """Log in; "the database system is starting up" is not yet."""
        try:
            session = await self._log_in()
        except Refused as refused:
            if refused.code.startswith("28"):
                raise self.error(f"{self.title} answers: {refused}") from refused
            if refused.code not in _SERVES:
                raise NotReady(str(refused)) from refused
        else:
            session.close()

    def login(self, password: str | None = None, database: str = "postgres") -> Login:
        """Of the superuser."""
        parameters = self.parameters
        password = self.password if password is None else password
        return Login(parameters.reachable_host, parameters.port, SUPERUSER, password, database)

    # Its password

    async def _log_in(self) -> Session:
        """With the password it was configured with, which it is told if it knows another yet."""
        former = self.directory / _FORMER_PASSWORD
        if not former.exists():
            return await Session.open(self.reactor, self.login())
        try:
            session = await Session.open(self.reactor, self.login(former.read_text()))
        except Refused as refused:
            if refused.code != _WRONG_PASSWORD:
                raise
            session = await Session.open(self.reactor, self.login())
        else:
            await self._change_password(session)
        former.unlink(missing_ok=True)
        return session

    async def _change_password(self, session: Session) -> None:
        # not the password: it may be logged
        kept = verifier(self.password, secrets.token_bytes(16))
        try:
            await session.query(f"ALTER ROLE {SUPERUSER} PASSWORD '{kept}'")
        except BaseException:
            session.close()
            raise

    async def reconfigured(self, known: Parameters) -> None:
        """A new password is told to the server: now, if it runs, or when it is started next."""
        self.configuration()
        former = self.directory / _FORMER_PASSWORD
        if known.password not in (None, self.password) and not former.exists():
            await self.tools.in_thread(self._write_former, known.password)
        if former.exists() and self.is_running():
            (await self._log_in()).close()

    def _write_former(self, password: str) -> None:
        attrs.evolve(self.directory, user=None).write(_FORMER_PASSWORD, password)

    # Its backups

    async def dump(self, payload: Path) -> BackupContents:
        """See `pgbackup`."""
        await self.find_programs()
        self.directory.write(payload.name, "")
        return await pgbackup.dump(self, payload)

    async def load(self, payload: Path) -> None:
        """Empty data: the server itself takes the payload in."""
        await self.find_programs()
        await self.initialise()

    async def load_served(self, payload: Path) -> None:
        """See `pgbackup`."""
        await pgbackup.load_served(self, payload)

    async def compare(self, contents: BackupContents) -> None:
        """See `pgbackup`."""
        await pgbackup.compare(self, contents)

    @property
    def url(self) -> str:
        """`postgresql://postgres:<password>@<host>:<port>/postgres`."""
        host, port = self.parameters.reachable_host, self.parameters.port
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"postgresql://{SUPERUSER}:{quote(self.password, safe='')}@{where}/postgres"


def quoted(value: Option) -> str:
    r"""As `postgresql.conf` takes any value: in quotes, which are doubled, and `\` too."""
    if isinstance(value, bool):
        return "on" if value else "off"
    text = str(value).replace("\\", "\\\\").replace("'", "''").replace("\n", "\\n")
    return f"'{text}'"
