"""What all managed daemons have in common: from `configure` to `destroy`.

A kind says what its server needs (`initialise`, `configuration`, `argv`, `probe`, ...); everything
else is here. A daemon runs on its own, by a `Keeper`, or as a component of a manager, which starts
and watches it itself and asks for `prepare` and `probe` only.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from zope.interface import implementer

from domogik.daemons import backups
from domogik.daemons.directory import CONFIGURATION, PARAMETERS, WorkingDirectory
from domogik.daemons.errors import InvalidParameters, ManagedDaemonError, UnknownUser
from domogik.daemons.interfaces import IManagedDaemon
from domogik.daemons.keeper import Keeper, end_marked
from domogik.daemons.parameters import Option, Parameters, address
from domogik.daemons.server import Server, exit_status
from domogik.daemons.users import Account
from domogik.errors import DomogikError
from domogik.supervisor.adoption import Record
from domogik.supervisor.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.interfaces import Program, User
from domogik.supervisor.ports import PortTaken, Reservation
from domogik.supervisor.sockets import described, holders

T = TypeVar("T")
_CANDIDATE = f".{CONFIGURATION}.new"


@implementer(IManagedDaemon)
@attrs.define(eq=False)
class ManagedDaemon(Server):
    """One instance of a server, from `configure` to `destroy`.

    `reactor` is a whole one; `tools` are made for it unless they are given. Operations on one
    object queue; other programs that work on the same directory at the same time are refused.
    """

    _reservation: Reservation | None = attrs.field(init=False, default=None)
    _keeper: Keeper | None = attrs.field(init=False, default=None)
    _lock: DeferredLock = attrs.field(init=False, factory=DeferredLock)
    #: the data are being replaced, and those of before are aside
    _is_restoring: bool = attrs.field(init=False, default=False)
    _starts: list[Deferred[str]] = attrs.field(init=False, factory=list)

    # What everybody asks

    def configure(
        self,
        working_dir: str | os.PathLike[str],
        port: int | None = None,
        bind_host: str = "127.0.0.1",
        password: str | None = None,
        *,
        run_as: str | None = None,
        **options: Option,
    ) -> Deferred[str]:
        """See `IManagedDaemon`."""
        wanted = {**self.defaults, **options}
        host = address(bind_host)
        path = Path(working_dir).absolute()
        return self._do(lambda: self._configure(path, port, host, password, run_as, wanted))

    def load_parameters(self, working_dir: str | os.PathLike[str]) -> None:
        """See `IManagedDaemon`; raises the kind's error, and nothing else."""
        with self.translated(f"{self.title} in {working_dir} cannot be used"):
            directory = WorkingDirectory(Path(working_dir).absolute(), self.kind)
            directory.check()
            self._take(directory, Parameters.load(directory))

    def save_parameters(self) -> None:
        """See `IManagedDaemon`; raises the kind's error."""
        with self.translated(f"the parameters of {self.title} cannot be saved"):
            self.parameters.save(self.directory)

    def start(self) -> Deferred[str]:
        """See `IManagedDaemon`."""
        started: Deferred[str] = Deferred()
        self._starts.append(started)
        if len(self._starts) == 1:
            _ = self._do(self._start).addBoth(self._tell_starts)
        return started

    def start_if_not_running(self) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._do(self._start_if_not_running) if not self._starts else self.start()

    def stop(self) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._do(self._stop)

    def reload(self) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._do(self._reload)

    def destroy(self) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._do(self._destroy)

    def backup(self, target: str | os.PathLike[str]) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._do(lambda: self._backup(Path(target).absolute()))

    def restore(self, source: str | os.PathLike[str]) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._do(lambda: self._restore(Path(source).absolute()))

    def is_running(self) -> bool:
        """See `IManagedDaemon`."""
        return self.identity is not None

    def get_port(self) -> int:
        """See `IManagedDaemon`."""
        return self.parameters.port

    def get_pid(self) -> int | None:
        """See `IManagedDaemon`."""
        identity = self.identity
        return None if identity is None else identity.pid

    def get_configuration_path(self, working_dir: str | os.PathLike[str]) -> Path:
        """See `IManagedDaemon`."""
        return Path(working_dir) / CONFIGURATION

    def get_parameters_path(self, working_dir: str | os.PathLike[str]) -> Path:
        """See `IManagedDaemon`."""
        return Path(working_dir) / PARAMETERS

    def is_configured_as(
        self,
        port: int | None,
        bind_host: str,
        password: str | None,
        run_as: str | None,
        options: Mapping[str, Option],
    ) -> bool:
        """Whether `configure` with these would change nothing."""
        now = self._parameters
        if now is None or not now.is_initialised:
            return False
        wanted = attrs.evolve(
            now,
            port=now.port if port is None else port,
            host=address(bind_host),
            password=password,
            run_as=run_as,
            options={**self.defaults, **options},
        )
        with contextlib.suppress(InvalidParameters):
            return self.completed(wanted, now) == now
        return False

    # Configuring

    async def _configure(
        self,
        path: Path,
        port: int | None,
        host: str,
        password: str | None,
        run_as: str | None,
        options: Mapping[str, Option],
    ) -> str:
        with self.translated(f"{self.title} cannot be configured"):
            self._refuse_unknown(options)
            directory = WorkingDirectory(path, self.kind, self._user(run_as))
            await self.tools.in_thread(directory.claim)
            with directory.lock():
                known = self._known(directory)
                parameters = Parameters(
                    kind=self.kind,
                    port=self._reserve(host, port, known),
                    host=host,
                    password=password,
                    run_as=run_as,
                    is_initialised=known is not None and known.is_initialised,
                    options=options,
                )
                await self._settle(directory, self.completed(parameters, known), known)
        return f"Successfully configured {self.title}."

    async def _settle(
        self, directory: WorkingDirectory, parameters: Parameters, known: Parameters | None
    ) -> None:
        before = self._parameters, self._directory
        self._take(directory, parameters)
        try:
            await self.find_programs()
            if known is not None and known.is_initialised:
                await self.reconfigured(known)
            else:
                if known is not None:
                    await end_marked(self.reactor, directory.id)
                    await self.end_orphans()
                await self.tools.in_thread(self._remove_data)
                await self.tools.in_thread(parameters.save, directory)
                await self.tools.in_thread(self._check_place)
                await self.initialise()
            self._parameters = attrs.evolve(parameters, is_initialised=True)
            await self.tools.in_thread(self._parameters.save, directory)
        except BaseException:
            self._parameters, self._directory = before
            raise

    def _refuse_unknown(self, options: Mapping[str, Option]) -> None:
        unknown = sorted(options.keys() - self.defaults.keys())
        if unknown:
            raise InvalidParameters(f"{self.title} has no option {', '.join(unknown)}")

    def _user(self, run_as: str | None) -> User | None:
        if run_as is not None:
            account = Account.named(run_as)
            if account.user.uid == os.geteuid():
                return None
            if os.geteuid() != 0:
                raise UnknownUser(f"only root may run it as {run_as}")
            return account.user
        if self.refuses_root and os.geteuid() == 0:
            raise UnknownUser("it refuses to run as root: name an ordinary user in run_as")
        return None

    def _known(self, directory: WorkingDirectory) -> Parameters | None:
        """What was configured before; None where nothing was.

        Before there are data there are parameters: data without them are somebody's, not the rest
        of a `configure` that was killed.
        """
        if (directory / PARAMETERS).exists():
            return Parameters.load(directory)
        for name in self.data_names:
            if (directory / name).exists():
                raise InvalidParameters(
                    f"{directory / PARAMETERS} is missing, but there are data in "
                    f"{directory / name}: put it back, or move them away"
                )
        return None

    def _reserve(self, host: str, port: int | None, known: Parameters | None) -> int:
        if known is not None and port in (None, known.port) and known.is_initialised:
            return known.port
        if self._reservation is not None:
            if port in (None, self._reservation.port):
                return self._reservation.port
            self._reservation.release()
            self._reservation = None
        self._reservation = self.tools.ports.reserve(host, port)
        return self._reservation.port

    def _take(self, directory: WorkingDirectory, parameters: Parameters) -> None:
        lives = self._directory
        if self._keeper is not None and lives is not None and lives.path != directory.path:
            raise self.error(f"this {self.title} lives in {lives.path} already")
        user = directory.user or self._user(parameters.run_as)
        self._directory = attrs.evolve(directory, user=user)
        self._parameters = parameters

    def _remove_data(self) -> None:
        for name in self.data_names:
            with contextlib.suppress(FileNotFoundError):
                shutil.rmtree(self.directory / name)

    # Starting

    async def prepare(self, program: Program) -> Program:
        """Make everything ready for a start, and say what to execute in place of `program`.

        The limits of `program` stay. Fails with the kind's error, which says why it cannot start.
        """
        with self.translated(f"{self.title} cannot start"):
            if not self.parameters.is_initialised:
                raise self.error(f"{self.title} is not configured to its end: configure it again")
            await self.find_programs()
            await self.end_orphans()
            await self.tools.in_thread(self._check_before_start)
            await self.install_configuration()
            self.remove_leftovers()
            return attrs.evolve(
                program,
                argv=self.argv(),
                environment={
                    **self.tools.environment,
                    "HOME": str(self.directory.path),
                    **self.environment(),
                },
                directory=self.directory.path,
                user=self.user,
            )

    def _check_before_start(self) -> None:
        self.directory.check()
        self._check_place()
        if not self._is_restoring:
            backups.put_back(self.directory, self.data_names)
        self.check_data()
        self._refuse_taken_port()

    def _check_place(self) -> None:
        run_as = self.parameters.run_as
        if self.user is not None and run_as is not None:
            Account.named(run_as).check_may_enter(self.directory.path)

    def _refuse_taken_port(self) -> None:
        for host, port in self.addresses:
            found = holders(host, port)
            if found:
                raise PortTaken(port, described(found))

    async def _start(self) -> str:
        with self.translated(f"{self.title} did not start"), self.directory.lock():
            await self._start_locked()
        return "In appropriate state"

    async def _start_if_not_running(self) -> str:
        if self.is_running():
            return "Already running"
        return await self._start()

    async def _start_locked(self) -> None:
        keeper = self._keeping()
        identity = self.identity
        if identity is not None:
            raise self.error(f"it is already running (process {identity.pid})")
        await keeper.stop()  # one that died this moment, and whom it leaves behind
        try:
            await keeper.start()
        except DomogikError as error:
            told = self._start_error(keeper, error)
            await keeper.stop()  # a start fails before its processes are gone
            if isinstance(error, self.error):
                raise
            raise told from error
        if self._reservation is not None:  # from here on the server itself holds it
            self._reservation.release()
            self._reservation = None

    def _start_error(self, keeper: Keeper, error: DomogikError) -> ManagedDaemonError:
        status = keeper.status
        return self.error(
            f"{self.title} did not start: {status.reason or error}",
            command=keeper.argv,
            exit_status=None if status.exit is None else exit_status(status.exit),
            output=keeper.output.tail(),
        )

    def _tell_starts(self, result: Any) -> None:
        waiting, self._starts = self._starts, []
        for started in waiting:
            started.callback(result)  # a Failure is taken for one

    def _keeping(self) -> Keeper:
        if self._keeper is None:
            self._keeper = Keeper(self.tools, self, self.directory, self.policy)
        return self._keeper

    # Ending

    async def _stop(self) -> str:
        with self.translated(f"{self.title} did not stop"), self.directory.lock():
            was_running = self.is_running()
            if was_running:
                await self.before_stop()
            stopped = await self._keeping().stop()
            self.remove_leftovers()
        return "Finished" if stopped or was_running else "Not running, no action taken."

    async def _reload(self) -> str:
        with self.translated(f"{self.title} was not reloaded"), self.directory.lock():
            if not self.is_running():
                raise self.error("it is not running")
            await self.find_programs()
            path = self.directory / CONFIGURATION
            good = await self.tools.in_thread(path.read_text)
            await self.install_configuration()
            try:
                await self.reread()
            except ManagedDaemonError:
                self.directory.write(CONFIGURATION, good)
                raise
        return f"Reloaded {self.title}."

    async def _destroy(self) -> str:
        with self.translated(f"{self.title} was not destroyed"):
            await self.tools.in_thread(self.directory.check)
            with self.directory.lock():
                await self._keeping().kill()
                await end_marked(self.reactor, self.directory.id)  # its tools, and what they left
                await self.end_orphans()
                await self.tools.in_thread(self.directory.remove)
            if self._reservation is not None:
                self._reservation.release()
                self._reservation = None
            self._keeper = self._parameters = self._directory = None
        return f"Removed {self.title} instance."

    async def _backup(self, target: Path) -> str:
        with self.translated(f"{self.title} was not backed up"), self.directory.lock():
            manifest = await backups.back_up(self, target)
        return f"Backed up {self.title}: {manifest.size} bytes."

    async def _restore(self, source: Path) -> str:
        with self.translated(f"{self.title} was not restored"), self.directory.lock():
            self._is_restoring = True
            try:
                manifest = await backups.restore(self, source)
            finally:
                self._is_restoring = False
        return f"Restored {self.title} as it was on {manifest.made}."

    async def start_serving(self) -> None:
        """Start it within another operation; see `backups`."""
        await self._start_locked()

    async def end_serving(self, *, gently: bool) -> None:
        """Stop it within another operation; see `backups`."""
        keeper = self._keeping()
        if not gently:
            await keeper.kill()
        elif self.is_running():
            await self.before_stop()
            await keeper.stop()
        self.remove_leftovers()

    def let_go(self) -> None:
        """Watch no longer; what runs goes on, and another object can take it over."""
        if self._keeper is not None:
            self._keeper.let_go()
            self._keeper = None

    def note(self, pid: int | None, run_id: str, started: float) -> None:
        """A manager runs it: keep the record of its process where others look for it.

        Without a `pid` there is none. `started` is Unix time.
        """
        records, id = self.directory.records, f"daemon:{self.kind}"
        if pid is None:
            records.remove(id)
            return
        with contextlib.suppress(NoSuchProcess):
            records.begin(Record(id, run_id, started, ProcessIdentity.of(pid)))

    def _do(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
        return Deferred.fromCoroutine(self._in_turn(operation))

    async def _in_turn(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._lock:
            return await operation()


def with_callbacks(
    operation: Deferred[str],
    callback: Callable[[str], object],
    error_callback: Callable[[str, Exception], object],
) -> None:
    """Tell the outcome of an operation in the style of callbacks.

    `callback(message)` or `error_callback(message, exception)` is called, once.
    """
    _ = operation.addCallbacks(
        callback, lambda failure: error_callback(failure.getErrorMessage(), failure.value)
    )
