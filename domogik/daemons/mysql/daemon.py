"""MariaDB, or MySQL: data of its own in `data/`, whose administrator is `root`.

Which of the two a server is, its `--version` says. MariaDB is what the tests run; MySQL's commands
and files are tested with a program that only records them.

`root` has two accounts, at `localhost` and at `%`, and both have the password; how far away one may
be is for `bind` to say. An instance that is configured without a password gets a random one. It is
told to the server by `.init.sql`, which is there until one could log in with it.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote

import attrs

from domogik.config.files import read_bounded
from domogik.daemons.core.backups import BackupContents
from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.directory import CONFIGURATION
from domogik.daemons.core.errors import ManagedDaemonError, NotReady
from domogik.daemons.core.parameters import Option, Parameters
from domogik.daemons.core.probing import exchange
from domogik.daemons.core.templates import Template
from domogik.daemons.mysql import backup
from domogik.daemons.mysql.client import Refused, Row, ask, check_greeting
from domogik.daemons.mysql.files import (
    ServerVersion,
    further_settings,
    option_file,
    password_statements,
    size_bytes,
)
from domogik.supervisor.interfaces import Policy

_INIT = ".init.sql"
_AFTER = ".after.sql"
_CLIENT = ".client.cnf"
_VERSION = "data.version"
#: what the server, or the program that upgrades data, leaves in them
_VERSION_FILES = ("mariadb_upgrade_info", "mysql_upgrade_info")
_DENIED = frozenset((1045, 1698, 1251, 1862))
#: bytes; of the log of an instance without `fsync`, whose 96 MB would be most of what is copied
_SMALL_LOG = 8 << 20
_TOO_MANY = 1040  # it serves, though not us


class MySQLDaemonError(ManagedDaemonError):
    """MySQL or MariaDB was not configured, started, stopped, ..."""

    reason = re.compile(r"\[ERROR\] (?:\S*mariadbd: |\[.*?\] )*(.+)")


@attrs.define(eq=False)
class MySQLDaemon(ManagedDaemon):
    """A MariaDB or MySQL server."""

    kind: ClassVar[str] = "mysql"
    title: ClassVar[str] = "MySQL"
    error: ClassVar[type[ManagedDaemonError]] = MySQLDaemonError
    may_lie_in_memory: ClassVar[bool] = False
    pid_file: ClassVar[str] = "mysql.pid"
    # After a crash it reads the log of its changes first.
    policy: ClassVar[Policy] = Policy(start_timeout=300, stop_timeout=60)
    defaults: ClassVar[Mapping[str, Option]] = {
        "binary": None,
        "max_connections": 151,
        "buffer_pool_size": "128M",
        "fsync": True,
        "settings": [],
    }
    _server: Path | None = attrs.field(init=False, default=None)
    _version: ServerVersion | None = attrs.field(init=False, default=None)

    # Which server

    async def find_programs(self) -> None:
        """The server, and which it is; raises the kind's error."""
        server = Path(self.binary("mariadbd", "mysqld"))
        said = await self.version_of(str(server), "--no-defaults")
        version = ServerVersion.parse(said)
        if version is None:
            raise self.error(f"{server} is neither MariaDB nor MySQL: it says {said[:200]!r}")
        self._server, self._version = server, version

    @property
    def server(self) -> Path:
        """The program; raises the kind's error before `find_programs`."""
        if self._server is None:
            raise self.error(f"the programs of {self.title} were not looked for")
        return self._server

    @property
    def version(self) -> ServerVersion:
        """Of the program; raises the kind's error before `find_programs`."""
        if self._version is None:
            raise self.error(f"the programs of {self.title} were not looked for")
        return self._version

    def beside(self, *names: str) -> str:
        """Another program of the same installation; raises the kind's error."""
        above = self.server.parent.parent
        places = (self.server.parent, above / "bin", above / "scripts")
        found = self.tools.find(*names, directories=places)
        if found is None:
            raise self.error(f"{self.title} needs the program {' or '.join(names)}: it is missing")
        return str(found)

    def check_data(self) -> None:
        """A server changes data of an older series, and cannot use those of a newer one."""
        for name in ("socket", "tmp"):
            self.directory.subdirectory(name)
        if not (self.directory / "data").is_dir():
            raise self.error(f"{self.directory / 'data'} is missing: there are no data")
        data, here = self._data_version(), self.version
        if data is not None and not data.is_of_the_series_of(here):
            raise self.error(
                f"the data in {self.directory / 'data'} are of {data}, and here is {here}: install "
                f"{data.series} to use them (or to back them up, and restore that into a new "
                "instance)"
            )

    def _data_version(self) -> ServerVersion | None:
        """What last worked on the data; None if nothing says so."""
        own = self._read(self.directory / _VERSION)
        for name in _VERSION_FILES:
            said = self._read(self.directory / "data" / name)
            if said is not None:
                return ServerVersion.parse(f"Ver {said}")
        return None if own is None else ServerVersion.parse(f"Ver {own}")

    def _read(self, path: Path) -> str | None:
        with contextlib.suppress(FileNotFoundError):
            return read_bounded(path, 200).decode(errors="replace").strip("\0\n ")
        return None

    # Its data and its files

    def completed(self, wanted: Parameters, known: Parameters | None) -> Parameters:
        """Without a password it keeps the one it has, or gets a random one."""
        return wanted.protected(known)

    @property
    def configured_sentence(self) -> str:
        """What the original said."""
        return "Successfully created MySQL database."

    async def initialise(self) -> None:
        """The server's own tables, and no user who could come in yet."""
        for name in ("socket", "tmp"):
            self.directory.subdirectory(name)
        self.directory.write(_VERSION, str(self.version.text))
        self.directory.write(CONFIGURATION, self.configuration()[CONFIGURATION])
        making = self._making_mariadb() if self.version.is_mariadb else self._making_mysql()
        if self.option("fsync") or not self.version.is_mariadb:
            await self._make_data(making)
        else:
            template = Template(self.tools, self.kind, (*making, self.version.text))
            known = await self.tools.in_thread(lambda: template.password)
            if known is None or not await template.copy_to(self.directory):
                await self._make_data(making)
                await template.keep(self.directory, "")  # no user can come in yet
        self._leave_password()

    async def _make_data(self, making: tuple[str, ...]) -> None:
        data = self.directory.subdirectory("data")
        command = (*making, f"--datadir={data}") if self.version.is_mariadb else making
        await self.command(command, "its data cannot be made", time_limit=300)

    def environment(self) -> Mapping[str, str]:
        """A server that starts removes temporary tables where it finds them, also another's."""
        return {"TMPDIR": str(self.directory / "tmp")}

    def _making_mariadb(self) -> tuple[str, ...]:
        base = self.server.parent.parent
        return (
            self.beside("mariadb-install-db", "mysql_install_db"),
            "--no-defaults",  # has to be the first
            *(() if base == Path("/usr") else (f"--basedir={base}",)),
            "--auth-root-authentication-method=normal",
            "--skip-test-db",
            # For the server. As --user=root the script would take it, give a directory of the
            # system's own to that user too, and stumble over a space in the path.
            *(("-uroot",) if self._is_root else ()),
            *(() if self.option("fsync") else (f"--innodb-log-file-size={_SMALL_LOG}",)),
        )

    def _making_mysql(self) -> tuple[str, ...]:
        configuration = self.directory / CONFIGURATION
        return (str(self.server), f"--defaults-file={configuration}", "--initialize-insecure")

    def _leave_password(self) -> None:
        statements = password_statements(self.password, self.version)
        self.directory.write(_INIT, "".join(f"{statement};\n" for statement in statements))

    @property
    def _is_root(self) -> bool:
        return self.user is None and os.geteuid() == 0

    def configuration(self) -> Mapping[str, str]:
        """One file, which is read in place of the system's; raises `InvalidParameters`."""
        parameters = self.parameters
        settings: list[tuple[str, Option]] = [
            ("datadir", str(self.directory / "data")),
            ("tmpdir", str(self.directory / "tmp")),
            ("pid-file", str(self.get_pid_path())),
            # Seen from `data`: an absolute path may be too long for a socket.
            ("socket", "../socket/mysql.sock"),
            ("bind-address", parameters.host),
            ("port", parameters.port),
            ("skip-name-resolve", True),
            ("character-set-server", "utf8mb4"),
            ("max_connections", self.option("max_connections")),
            ("innodb_buffer_pool_size", size_bytes(self.option("buffer_pool_size"))),
            ("innodb_flush_log_at_trx_commit", 1 if self.option("fsync") else 0),
        ]
        if self._is_root:
            settings.append(("user", "root"))
        if self.version.is_mariadb and not self.option("fsync"):
            settings.append(("innodb_log_file_size", _SMALL_LOG))
        if not self.version.is_mariadb:
            settings += [("mysqlx", False), ("disable-log-bin", True)]
        return {CONFIGURATION: option_file("mysqld", settings + self._further_settings())}

    def _further_settings(self) -> list[tuple[str, Option]]:
        return further_settings(self.option("settings"))

    def checker(self, configuration: Path) -> tuple[str, ...]:
        """MariaDB has no such thing, but says what it does not know before it offers its help."""
        how = ("--verbose", "--help") if self.version.is_mariadb else ("--validate-config",)
        return (str(self.server), f"--defaults-file={configuration}", *how)

    def argv(self) -> tuple[str, ...]:
        """It takes its settings from `service.conf` alone."""
        init = self.directory / _INIT
        return (
            str(self.server),
            f"--defaults-file={self.directory / CONFIGURATION}",  # has to be the first
            *((f"--init-file={init}",) if init.exists() else ()),
        )

    # Whether it serves

    async def probe(self) -> None:
        """Log in as `root`."""
        try:
            if self._version is None:
                await self.find_programs()
            if self.version.is_mariadb:
                await self.ask()
            else:
                await self._probe_mysql()
        except Refused as refused:
            if refused.code in _DENIED:
                raise self.error(f"{self.title} answers: {refused}") from refused
            if refused.code != _TOO_MANY:
                raise NotReady(str(refused)) from refused
            return
        (self.directory / _INIT).unlink(missing_ok=True)

    async def ask(self, *statements: str, password: str | None = None) -> tuple[Row, ...]:
        """Say the statements to MariaDB, as `myclient.ask`; `password` is one it had before."""
        parameters = self.parameters
        host, port = parameters.reachable_host, parameters.port
        password = self.password if password is None else password
        return await self.tools.in_thread(ask, host, port, password, *statements)

    async def _probe_mysql(self) -> None:
        """Its greeting, and then its own client: it asks for the password in ways of its own."""
        parameters = self.parameters
        host, port = parameters.reachable_host, parameters.port
        answer = await exchange(self.reactor, host, port, b"", _is_packet)
        check_greeting(answer[4:])
        try:
            await self.client("SELECT 1", "one cannot log in")
        except ManagedDaemonError as error:
            if any(f"ERROR {code} " in error.output for code in _DENIED):
                raise
            raise NotReady(str(error)) from error

    async def client(self, sql: str, what: str, *, time_limit: float = 60.0) -> str:
        """What the server's own client is answered; raises the kind's error: "`what`: ..."."""
        program = self.beside(*(("mariadb",) if self.version.is_mariadb else ()), "mysql")
        with self.credentials() as path:
            abort = ("--abort-source-on-error",) if self.version.is_mariadb else ()
            argv = (program, f"--defaults-file={path}", "--batch", "-N", *abort, "-e", sql)
            completed = await self.command(argv, what, time_limit=time_limit)
        return completed.output.decode(errors="replace")

    @contextlib.contextmanager
    def credentials(self) -> Iterator[Path]:
        """A file of options with which its own programs log in, for the time being."""
        parameters = self.parameters
        options: list[tuple[str, Option]] = [
            ("host", parameters.reachable_host),
            ("port", parameters.port),
            ("protocol", "tcp"),
            ("user", "root"),
            ("password", self.password),
            ("default-character-set", "utf8mb4"),
        ]
        path = self.directory.write(_CLIENT, option_file("client", options))
        try:
            yield path
        finally:
            path.unlink(missing_ok=True)

    # What changes while it runs

    async def reconfigured(self, known: Parameters) -> None:
        """A new password is told to the server: now, if it runs, and when it is started next."""
        self.configuration()
        if known.password == self.password:
            return
        self._leave_password()
        if known.password is None or not self.is_running() or not self.version.is_mariadb:
            return
        statements = password_statements(self.password, self.version)
        await self.ask(*statements, password=known.password)
        (self.directory / _INIT).unlink(missing_ok=True)

    async def reread(self) -> None:
        """It reads its file at its start only: what can be changed meanwhile is told to it."""
        changes = (
            f"SET GLOBAL max_connections = {int(self.option('max_connections'))}",
            f"SET GLOBAL innodb_buffer_pool_size = {size_bytes(self.option('buffer_pool_size'))}",
            f"SET GLOBAL innodb_flush_log_at_trx_commit = {1 if self.option('fsync') else 0}",
        )
        if self.version.is_mariadb:
            await self.ask(*changes)
        else:
            await self.client("; ".join(changes), "its settings cannot be changed")

    # Its backups

    async def dump(self, payload: Path) -> BackupContents:
        """See `mybackup`."""
        await self.find_programs()
        return await backup.dump(self, payload)

    async def load(self, payload: Path) -> None:
        """Empty data: the server itself takes the payload in."""
        await self.find_programs()
        await self.initialise()

    async def load_served(self, payload: Path) -> None:
        """See `mybackup`; the password of `root` is the one that this instance has."""
        again = "; ".join(password_statements(self.password, self.version))
        # In the same session: with the last line of the payload that password is another one.
        path = self.directory.write(_AFTER, f"{again};\n")
        try:
            await backup.load_served(self, payload, path)
        finally:
            path.unlink(missing_ok=True)

    async def compare(self, contents: BackupContents) -> None:
        """See `mybackup`."""
        await backup.compare(self, contents)

    @property
    def url(self) -> str:
        """`mysql://root:<password>@<host>:<port>/`."""
        host, port = self.parameters.reachable_host, self.parameters.port
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        return f"mysql://root:{quote(self.password, safe='')}@{where}/"


def _is_packet(data: bytes) -> bool:
    return len(data) >= 4 and len(data) >= 4 + int.from_bytes(data[:3], "little")
