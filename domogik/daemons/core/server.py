"""One server with a working directory: what its kind says of it, and what a kind may use."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, ClassVar

import attrs
from twisted.logger import Logger

from domogik.daemons.core.backups import BackupContents
from domogik.daemons.core.directory import CONFIGURATION, WorkingDirectory
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.core.parameters import Option, Parameters
from domogik.daemons.core.standalone import LOG, tail
from domogik.daemons.core.tools import DaemonTools, IDaemonReactor
from domogik.errors import DomogikError
from domogik.supervisor.interfaces import Exit, Policy, User
from domogik.supervisor.processes.command import Completed
from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.supervisor.processes.pidfd import send_signal
from domogik.supervisor.processes.spawn import signal_number
from domogik.supervisor.reactors import usual_reactor

_CANDIDATE = f".{CONFIGURATION}.new"
#: what programs say of their version, for as long as they are the same files
_VERSIONS: dict[tuple[str, int, int, int], str] = {}

#: program -> the package of Debian that brings it
_DEBIAN = {
    "redis-server": "redis-server",
    "nginx": "nginx",
    "apache2": "apache2",
    "rabbitmq-server": "rabbitmq-server",
    "mosquitto": "mosquitto",
    "mosquitto_passwd": "mosquitto",
    "postgres": "postgresql",
}


@attrs.define(eq=False)
class Server:
    """What a kind overrides, and what it finds to work with."""

    #: of `IManagedDaemon`; `title` is its name in sentences
    kind: ClassVar[str]
    title: ClassVar[str]
    error: ClassVar[type[ManagedDaemonError]] = ManagedDaemonError
    pid_file: ClassVar[str]
    #: how long its start and its stop may take, in seconds, and the signal that asks it to stop
    policy: ClassVar[Policy] = Policy(start_timeout=30, stop_timeout=30)
    #: the signal that ends it at once, whatever becomes of its data; one that is killed may leave
    #: something in the kernel
    end_signal: ClassVar[str] = "KILL"
    #: whether a throw-away one may lie in /dev/shm; AppArmor does not let some servers go there
    may_lie_in_memory: ClassVar[bool] = True
    #: whether the server does not run as root
    refuses_root: ClassVar[bool] = False
    #: the names that the kind needs in a directory that may hold files of other programs; None if
    #: the directory must be the instance's own
    needed_names: ClassVar[tuple[str, ...] | None] = None
    #: whether the server asks for a password
    takes_password: ClassVar[bool] = True
    #: the kind's own options and what they are unless they are given
    defaults: ClassVar[Mapping[str, Option]] = {}
    _log: ClassVar[Logger] = Logger()

    reactor: IDaemonReactor = attrs.field(factory=usual_reactor)
    tools: DaemonTools = attrs.field()
    #: whether the first configuration is checked as the later ones are, which replace a good one;
    #: else the server itself says what is wrong with it
    checks_first: bool = attrs.field(init=False, default=True)
    _parameters: Parameters | None = attrs.field(init=False, default=None)
    _directory: WorkingDirectory | None = attrs.field(init=False, default=None)

    @tools.default
    def _usual_tools(self) -> DaemonTools:
        return DaemonTools.of(self.reactor)

    # What a kind says of its server

    async def find_programs(self) -> None:
        """Look which of its programs are here; awaited before any of them is used."""

    def completed(self, wanted: Parameters, known: Parameters | None) -> Parameters:
        """`wanted`, checked, with what the kind chooses itself; `known` is it until now.

        Raises `InvalidParameters`, `CannotReserve`.
        """
        return wanted

    async def initialise(self) -> None:
        """Make the data of a new instance; what a crash left of an earlier try has been removed."""

    def check_data(self) -> None:
        """Whether this server can work with the data that are there; blocks."""

    def configuration(self) -> Mapping[str, str]:
        """The files that it reads, by their names in the directory; `service.conf` is one."""
        raise NotImplementedError

    def checker(self, configuration: Path) -> tuple[str, ...] | None:
        """The command that checks `configuration`, in place of `service.conf`; None without one."""
        return None

    def argv(self) -> tuple[str, ...]:
        """The server, in the foreground."""
        raise NotImplementedError

    def environment(self) -> Mapping[str, str]:
        """Its variables, beside those every daemon gets."""
        return {}

    async def probe(self) -> None:
        """Ask it in its own protocol whether it serves.

        Raises `NotReady` while it does not, and the kind's error where waiting does not help.
        """
        raise NotImplementedError

    def remove_leftovers(self) -> None:
        """What a server that was killed left and the next one stumbles over."""
        self.get_pid_path().unlink(missing_ok=True)

    async def end_orphans(self) -> None:
        """End what a killed server left running, beside those who bear its mark.

        Awaited before a start, and before its directory is removed.
        """

    async def reread(self) -> None:
        """Have the running server read its configuration again."""
        self.signal("HUP")

    @property
    def configured_sentence(self) -> str:
        """What `configure` fires with."""
        return f"Successfully configured {self.title}."

    def get_client(self) -> Any:
        """Return a client of it, made with the usual library; raises the kind's error."""
        raise self.error(f"there is no client of {self.title} here: connect to its url")

    @property
    def url(self) -> str:
        """Where it is reached, with its credentials: a secret."""
        raise NotImplementedError

    @property
    def password(self) -> str:
        """Of the kinds that always have one; raises the kind's error where its file was lost."""
        password = self.parameters.password
        if password is None:
            raise self.error(f"the password of {self.title} is missing: its file was removed")
        return password

    @property
    def addresses(self) -> tuple[tuple[str, int], ...]:
        """Where it is going to listen."""
        return ((self.parameters.host, self.parameters.port),)

    @property
    def data_names(self) -> tuple[str, ...]:
        """The subdirectories that hold data; removed before a `configure` that was killed."""
        return ("data",)

    async def reconfigured(self, known: Parameters) -> None:
        """An instance that has data is configured anew; `known` is what it was configured with."""

    async def dump(self, payload: Path) -> BackupContents:
        """It serves: write all its data to `payload`; see `backups`, also for the next three."""
        raise self.error(f"{self.title} has no data that are backed up")

    async def load(self, payload: Path) -> None:
        """It does not run and has no data: make them of `payload`, or new ones."""
        raise self.error(f"{self.title} has no data that are restored")

    async def load_served(self, payload: Path) -> None:
        """It serves: what is left of `load`."""

    async def compare(self, contents: BackupContents) -> None:
        """It serves: raise the kind's error unless it holds `contents`."""

    async def before_stop(self) -> None:
        """What has to be done while it serves still, so that a stop loses nothing.

        Raises the kind's error where the stop would lose data: it goes on running then. It may end
        the server itself.
        """

    # What it knows

    @property
    def parameters(self) -> Parameters:
        """What it was configured with; raises the kind's error before that."""
        if self._parameters is None:
            raise self.error(f"this {self.title} is not configured")
        return self._parameters

    @property
    def directory(self) -> WorkingDirectory:
        """Where it lives; raises the kind's error before it is configured."""
        if self._directory is None:
            raise self.error(f"this {self.title} is not configured")
        return self._directory

    @property
    def port(self) -> int | None:
        """As `get_port`; None before it is configured."""
        return None if self._parameters is None else self._parameters.port

    @property
    def has_password(self) -> bool:
        """Whether it asks for one."""
        return self._parameters is not None and self._parameters.password is not None

    @property
    def user(self) -> User | None:
        """Whom it runs as; None for this program's own user."""
        return self.directory.user

    @property
    def identity(self) -> ProcessIdentity | None:
        """Its first process, while that is there."""
        record = self.directory.record
        process = None if record is None else record.process
        return process if process is not None and process.is_running() else None

    def option(self, name: str) -> Any:
        """One of the kind's own; an older `service.json` may not have it."""
        return self.parameters.options.get(name, self.defaults.get(name))

    def get_pid_path(self) -> Path:
        """See `IManagedDaemon`."""
        return self.directory / self.pid_file

    # What a kind uses

    def signal(self, name: str) -> None:
        """Send a signal to its first process; raises the kind's error if that is gone."""
        identity = self.identity
        if identity is None:
            raise self.error(f"{self.title} is not running")
        send_signal(identity, signal_number(name))

    async def command(
        self,
        argv: tuple[str, ...],
        what: str,
        *,
        environment: Mapping[str, str] | None = None,
        time_limit: float = 120.0,
    ) -> Completed:
        """Run `argv` in its directory as its user; raises the kind's error: "`what`: ..."."""
        completed = await self.tools.run(
            argv,
            directory=self.directory.path,
            user=self.user,
            environment={
                **self.environment(),
                **(environment or {}),
                "DOMOGIK_RUN_ID": self.directory.id,
            },
            timeout=time_limit,
        )
        if not completed.succeeded:
            words = "took too long" if completed.timed_out else completed.status.words
            raise self.error(
                f"{what}: {Path(argv[0]).name} {words}",
                command=argv,
                exit_status=exit_status(completed.status),
                output=completed.output.decode(errors="replace"),
            )
        return completed

    def binary(self, *names: str, directories: tuple[Path, ...] = ()) -> str:
        """The program that the option `binary` names, or else the first of `names` there is.

        Raises the kind's error.
        """
        given = self.option("binary")
        found = self.tools.find(*((given,) if given else names), directories=directories)
        if found is None:
            missing = given or " or ".join(names)
            raise self.error(_missing(self.title, missing))
        return str(found)

    async def version_of(self, program: str, *before: str) -> str:
        """What `program *before --version` says; asked once for each file.

        Raises the kind's error.
        """
        with self.translated(f"{program} cannot be asked for its version"):
            there = await self.tools.in_thread(Path(program).stat)
        key = program, there.st_ino, there.st_size, there.st_mtime_ns
        if key not in _VERSIONS:
            said = await self.command(
                (program, *before, "--version"), "its version cannot be asked"
            )
            _VERSIONS[key] = said.output.decode(errors="replace")
        return _VERSIONS[key]

    def companion(self, name: str) -> str:
        """A tool that comes with the server: beside the one that `binary` names, or anywhere.

        Raises the kind's error.
        """
        given = self.option("binary")
        beside = () if given is None else (Path(given).parent,)
        found = self.tools.find(name, directories=beside)
        if found is None:
            raise self.error(_missing(self.title, name))
        return str(found)

    def late(self, error: Exception) -> ManagedDaemonError:
        """Return the kind's error for a time-out, with the last lines of the server's log."""
        said = "" if self._directory is None else self.last_lines()
        return self.error(f"{self.title} takes too long: {error}", output=said)

    def last_lines(self) -> str:
        """Return the end of the server's log; empty where a manager keeps it."""
        return tail(self.directory / LOG / f"{self.kind}.log")

    @contextlib.contextmanager
    def translated(self, sentence: str) -> Iterator[None]:
        """What goes wrong within is the kind's error, with `sentence` before it."""
        try:
            yield
        except self.error:
            raise
        except DomogikError as error:
            raise self.error(f"{sentence}: {error}") from error
        except OSError as error:
            what = f"{error.strerror}: {error.filename}" if error.filename else error.strerror
            raise self.error(f"{sentence}: {what}") from error

    async def install_configuration(self) -> None:
        """The checker decides before the last good one is replaced; see `checks_first`."""
        files = dict(self.configuration())
        main = files.pop(CONFIGURATION)
        for name, text in files.items():
            self.directory.write(name, text)
        candidate = self.directory.write(_CANDIDATE, main)
        try:
            is_first = not (self.directory / CONFIGURATION).exists()
            check = self.checker(candidate) if self.checks_first or not is_first else None
            if check is not None:
                await self.command(check, f"the configuration of {self.title} is not valid")
            candidate.rename(self.directory / CONFIGURATION)
        finally:
            candidate.unlink(missing_ok=True)


def exit_status(status: Exit) -> int | None:
    """As errors carry it: negative for a signal."""
    return status.code if status.signal is None else -status.signal


def _missing(title: str, program: str) -> str:
    text = f"{title} needs the program {program}, which is missing here"
    package = _DEBIAN.get(program.partition(" ")[0])
    return f"{text}. On Debian: apt-get install {package}" if package else text
