"""What all managed daemons have in common: from `configure` to `destroy`.

A kind says what its server needs (`initialise`, `configuration`, `argv`, `probe`, ...); everything
else is here. A daemon runs on its own, by a `Keeper`, or as a component of a manager, which starts
and watches it itself and asks for `prepare` and `probe` only.
"""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.python.failure import Failure
from zope.interface import implementer

from domogik.answers import Answer, answer_of
from domogik.daemons.core import backups
from domogik.daemons.core.arguments import (
    LOOPBACK,
    Callback,
    ErrorCallback,
    absolute_path,
    password_or_callback,
)
from domogik.daemons.core.directory import CONFIGURATION, PARAMETERS, WorkingDirectory
from domogik.daemons.core.errors import InvalidParameters, ManagedDaemonError
from domogik.daemons.core.instance import Instance
from domogik.daemons.core.interfaces import IManagedDaemon
from domogik.daemons.core.parameters import Option, Parameters
from domogik.daemons.core.server import exit_status
from domogik.daemons.core.standalone import Keeper
from domogik.errors import DomogikError
from domogik.supervisor.interfaces import Program
from domogik.supervisor.ports.listeners import described, holders
from domogik.supervisor.ports.reservation import PortTaken
from domogik.supervisor.processes.adoption import ProcessRecord
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity

T = TypeVar("T")
NOT_RUNNING = "Not running, no action taken."


@implementer(IManagedDaemon)
@attrs.define(eq=False)
class ManagedDaemon(Instance):
    """One instance of a server, from `configure` to `destroy`.

    `reactor` is a whole one; `tools` are made for it unless they are given. Operations on one
    object queue; other programs that work on the same directory at the same time are refused.
    """

    _lock: DeferredLock = attrs.field(init=False, factory=DeferredLock)
    #: the data are being replaced, and those of before are aside
    _is_restoring: bool = attrs.field(init=False, default=False)
    _starts: list[Deferred[str]] = attrs.field(init=False, factory=list)

    # What everybody asks

    def configure(
        self,
        working_dir: str | os.PathLike[str],
        port: int | None = None,
        bind_host: str = LOOPBACK,
        callback: Callback | str | None = None,
        error_callback: ErrorCallback | None = None,
        password: str | None = None,
        *,
        run_as: str | None = None,
        **options: Option,
    ) -> Deferred[str]:
        """See `IManagedDaemon`; a text in the place of `callback` is the password."""
        given = {"port": port, "bind_host": bind_host, "run_as": run_as, **options}
        return self._configured(working_dir, callback, error_callback, password, given)

    def _configured(
        self,
        working_dir: str | os.PathLike[str],
        callback: Callback | str | None,
        error_callback: ErrorCallback | None,
        password: str | None,
        given: dict[str, Any],
        *,
        problem: str = "",
    ) -> Deferred[str]:
        """Configure it with what a signature has sorted out; `problem` is why it could not."""

        async def configure() -> str:
            with self.translated(f"{self.title} cannot be configured"):
                if problem:
                    raise InvalidParameters(problem)
                word = password_or_callback(callback, password)[1]
                return await self._configure(absolute_path(working_dir), word, **given)

        told = None if isinstance(callback, str) else callback
        return self._told(lambda: self._do(configure), told, error_callback)

    def load_parameters(self, working_dir: str | os.PathLike[str]) -> None:
        """See `IManagedDaemon`; raises the kind's error, and nothing else."""
        with self.translated(f"{self.title} in {working_dir} cannot be used"):
            place = WorkingDirectory(absolute_path(working_dir), self.kind)
            place.check()
            self._take(place, Parameters.load(place))

    def save_parameters(self) -> None:
        """See `IManagedDaemon`; raises the kind's error."""
        with self.translated(f"the parameters of {self.title} cannot be saved"):
            self.parameters.save(self.directory)

    def start(
        self, callback: Callback | None = None, error_callback: ErrorCallback | None = None
    ) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._told(self._begin_start, callback, error_callback)

    def _begin_start(self) -> Deferred[str]:
        started: Deferred[str] = Answer()
        self._starts.append(started)
        if len(self._starts) == 1:
            _ = self._do(self._start).addBoth(self._tell_starts)
        return started

    def start_if_not_running(
        self, callback: Callback | None = None, error_callback: ErrorCallback | None = None
    ) -> Deferred[str]:
        """See `IManagedDaemon`."""
        if self._starts:
            return self.start(callback, error_callback)
        return self._told(lambda: self._do(self._start_if_not_running), callback, error_callback)

    def stop(
        self,
        callback: Callback | None = None,
        error_callback: ErrorCallback | None = None,
        sig: int | None = None,
    ) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._told(lambda: self._do(lambda: self._stop(sig)), callback, error_callback)

    def reload(
        self, callback: Callback | None = None, error_callback: ErrorCallback | None = None
    ) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._told(lambda: self._do(self._reload), callback, error_callback)

    def destroy(
        self, callback: Callback | None = None, error_callback: ErrorCallback | None = None
    ) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._told(lambda: self._do(self._destroy), callback, error_callback)

    def _told(
        self,
        begin: Callable[[], Deferred[str]],
        callback: Callback | None,
        error_callback: ErrorCallback | None,
    ) -> Deferred[str]:
        """Begin, and tell the outcome to whoever prefers callbacks; the Deferred is theirs then."""
        places: dict[str, object] = {"callback": callback, "error_callback": error_callback}
        for name, given in places.items():
            if given is not None and not callable(given):  # not quoted: it may be a password
                found = type(given).__name__
                text = f"{name} is of type {found} and cannot be called: name it, as in sig="
                return answer_of(self._refused(text))
        operation = begin()
        if callback is None and error_callback is None:
            return operation
        succeeded: Callback = callback or (lambda _: None)
        _ = operation.addCallbacks(succeeded, lambda failure: _tell(error_callback, failure))
        return operation

    async def _refused(self, text: str) -> str:
        raise self.error(text)

    def backup(self, target: str | os.PathLike[str]) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._do(lambda: self._backup(target))

    def restore(self, source: str | os.PathLike[str]) -> Deferred[str]:
        """See `IManagedDaemon`."""
        return self._do(lambda: self._restore(source))

    def is_running(self, keyword: str | None = None) -> bool:
        """See `IManagedDaemon`."""
        if self._directory is None or (identity := self.identity) is None:
            return False
        return keyword is None or keyword in identity.command_line()

    def get_port(self) -> int:
        """See `IManagedDaemon`."""
        return self.parameters.port

    def get_pid(self) -> int | None:
        """See `IManagedDaemon`."""
        identity = None if self._directory is None else self.identity
        return None if identity is None else identity.pid

    def get_configuration_path(self, working_dir: str | os.PathLike[str]) -> Path:
        """See `IManagedDaemon`."""
        return Path(working_dir) / CONFIGURATION

    def get_parameters_path(self, working_dir: str | os.PathLike[str]) -> Path:
        """See `IManagedDaemon`."""
        return Path(working_dir) / PARAMETERS

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

    def _refuse_taken_port(self) -> None:
        for host, port in self.addresses:
            found = holders(host, port)
            if found:
                raise PortTaken(port, described(found))

    async def _start(self) -> str:
        with self.translated(f"{self.title} did not start"), self.directory.lock():
            await self._start_locked()
        return "In appropriate state."

    async def _start_if_not_running(self) -> str:
        if self.is_running():
            return "Already running."
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

    async def _stop(self, sig: int | None = None) -> str:
        with self.translated(f"{self.title} did not stop"), self.directory.lock():
            was_running = self.is_running()
            if was_running and sig is None:
                await self.before_stop()
            keeper = self._keeping()
            stopped = await (keeper.stop() if sig is None else keeper.stop_by(_signal_name(sig)))
            self.remove_leftovers()
        return "Process has finished." if stopped or was_running else NOT_RUNNING

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
                await self._keeping().kill_all(self.directory.id)  # its tools, and what they left
                await self.end_orphans()
                await self.tools.in_thread(self.directory.remove)
            if self._reservation is not None:
                self._reservation.release()
                self._reservation = None
            self._keeper = self._parameters = self._directory = None
        return f"Removed {self.title} instance."

    async def _backup(self, target: str | os.PathLike[str]) -> str:
        with self.translated(f"{self.title} was not backed up"):
            path = absolute_path(target, "file")
            with self.directory.lock():
                manifest = await backups.back_up(self, path)
        return f"Backed up {self.title}: {manifest.size} bytes."

    async def _restore(self, source: str | os.PathLike[str]) -> str:
        with self.translated(f"{self.title} was not restored"):
            path = absolute_path(source, "file")
            with self.directory.lock():
                self._is_restoring = True
                try:
                    manifest = await backups.restore(self, path)
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

    def release_processes(self) -> None:
        """Watch no longer; what runs goes on, and another object can take it over."""
        if self._keeper is not None:
            self._keeper.release_processes()
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
            records.begin(ProcessRecord(id, run_id, started, ProcessIdentity.of(pid)))

    def _do(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> Deferred[T]:
        return answer_of(self._in_turn(operation))

    async def _in_turn(self, operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
        async with self._lock:
            return await operation()


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name.removeprefix("SIG")
    except ValueError:
        raise InvalidParameters(f"{number!r} is not the number of a signal") from None


def _tell(error_callback: ErrorCallback | None, failure: Failure) -> None:
    """Call `error_callback` with the sentence and, unless it takes one argument, the exception."""
    given: tuple[Any, ...] = failure.getErrorMessage(), failure.value
    if error_callback is None:
        return
    with contextlib.suppress(ValueError):  # a signature that Python does not know
        try:
            inspect.signature(error_callback).bind(*given)
        except TypeError:
            given = given[:1]
    error_callback(*given)
