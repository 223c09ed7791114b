"""Child processes: the only module that starts one.

`reactor.spawnProcess` creates no session and, at its fast path, sets no directory, so
`subprocess.Popen` (vfork) and a pidfd are used; docs/adr/0001-processes.md has measurements. The
same transport drives the `ProcessProtocol` of a process that another manager started.
"""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import shutil
import signal
import subprocess
from collections.abc import Iterable

import attrs
from twisted.internet.error import ProcessDone, ProcessExitedAlready, ProcessTerminated
from twisted.internet.interfaces import (
    IAddress,
    IDelayedCall,
    IProcessProtocol,
    IProcessTransport,
)
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from domogik.errors import DomogikError
from domogik.supervisor.interfaces import Exit, Program
from domogik.supervisor.processes.identity import NoSuchProcess, ProcessIdentity
from domogik.supervisor.processes.mark import inherited_mark, mark
from domogik.supervisor.processes.pidfd import IProcessReactor, ProcessHandle


class CannotSpawn(DomogikError):
    """The program could not be executed; the text says what to change."""


_UMASK = 0o077  # whether the manager runs in the foreground or as a daemon
_COLLECT_EVERY = 0.01  # seconds; a debugger may hold a dead child for a short time
_COLLECT_TRIES = 100

#: pids of children that a transport here collects
watched: set[int] = set()


def spawn(
    reactor: IProcessReactor, protocol: IProcessProtocol, program: Program, *, output: int
) -> ProcessTransport:
    """Start `program` in a session of its own; its output goes to the descriptor `output`.

    The caller closes `output`. The reactor is blocked for about 0.6 ms (1.5 with limits).
    `processExited` and `processEnded` are called at the end, even if another process still has the
    output open. Raises `CannotSpawn`.
    """
    return watch(reactor, protocol, execute(program, output))


def execute(program: Program, output: int) -> int:
    """Execute `program` and return its pid, which the caller has to collect."""
    argv = _with_limits(program)
    user = program.user
    run_id = program.environment.get("DOMOGIK_RUN_ID", "")
    at_birth = inherited_mark(run_id) if program.marks_at_birth else contextlib.nullcontext()
    try:
        with at_birth:
            process = subprocess.Popen(
                argv,
                cwd=program.directory,
                env=dict(program.environment),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                umask=_UMASK,
                user=None if user is None else user.uid,
                group=None if user is None else user.gid,
                extra_groups=None if user is None else user.groups,
            )
    except OSError as error:
        raise CannotSpawn(_sentence(program, error)) from error
    except ValueError as error:  # a zero byte in an argument, a variable or the directory
        raise CannotSpawn(f"{program.argv[0]} cannot be executed: {error}") from error
    if run_id and not program.marks_at_birth:
        mark(process.pid, run_id)
    process.returncode = 0  # Popen must not collect it
    return process.pid


def watch(reactor: IProcessReactor, protocol: IProcessProtocol, pid: int) -> ProcessTransport:
    """Drive `protocol` for our child `pid`; kills it and raises `CannotSpawn` if that fails."""
    transport = ProcessTransport(reactor, protocol)
    try:
        transport.attach(ProcessIdentity.of(pid))
    except (OSError, NoSuchProcess) as error:
        with contextlib.suppress(OSError):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        raise CannotSpawn(f"a started process cannot be watched: {error}") from error
    protocol.makeConnection(transport)
    return transport


def adopt(
    reactor: IProcessReactor, protocol: IProcessProtocol, identity: ProcessIdentity
) -> ProcessTransport:
    """Drive `protocol` for a running process, our child or not.

    If it is not our child, its `exit` will be unknown. Raises `NoSuchProcess`.
    """
    transport = ProcessTransport(reactor, protocol)
    transport.attach(identity)
    protocol.makeConnection(transport)
    return transport


@implementer(IProcessTransport)
@attrs.define(eq=False)
class ProcessTransport:
    """One running process under a `ProcessProtocol`, without pipes.

    `exit` is None until it ends.
    """

    _log = Logger()

    _reactor: IProcessReactor
    _protocol: IProcessProtocol
    pid: int | None = None
    exit: Exit | None = None
    _handle: ProcessHandle | None = None
    _collecting: IDelayedCall | None = None

    def attach(self, identity: ProcessIdentity) -> None:
        """Start watching; raises `NoSuchProcess`."""
        self._handle = ProcessHandle.open(self._reactor, identity, self._collect)
        self.pid = identity.pid
        watched.add(identity.pid)

    @property
    def identity(self) -> ProcessIdentity:
        """The identity of the process."""
        assert self._handle is not None
        return self._handle.identity

    def detach(self) -> None:
        """Stop watching; the process continues, and the protocol is not called any more."""
        if self._handle is not None:
            self._handle.close()
        if self._collecting is not None and self._collecting.active():
            self._collecting.cancel()
        if self.pid is not None:
            watched.discard(self.pid)

    def signalProcess(self, signalID: str | int) -> None:
        """Send a signal, by number or by name with or without SIG, to this process alone."""
        assert self._handle is not None
        try:
            self._handle.signal(signal_number(signalID))
        except NoSuchProcess as error:
            raise ProcessExitedAlready from error

    def _collect(self, tries: int = _COLLECT_TRIES) -> None:
        try:
            pid, status = os.waitpid(self.identity.pid, os.WNOHANG)
        except ChildProcessError:
            self._ended(Exit(), status=None)
            return
        if pid == 0 and tries > 0:
            self._collecting = self._reactor.callLater(_COLLECT_EVERY, self._collect, tries - 1)
        elif pid == 0:
            self._ended(Exit(), status=None)
        elif os.WIFSIGNALED(status):
            self._ended(Exit(signal=os.WTERMSIG(status)), status)
        else:
            self._ended(Exit(code=os.WEXITSTATUS(status)), status)

    def _ended(self, exit: Exit, status: int | None) -> None:
        self.exit = exit
        watched.discard(self.identity.pid)
        reason = Failure(
            ProcessDone(status)
            if exit.code == 0
            else ProcessTerminated(exit.code, exit.signal, status)
        )
        with self._log.failuresHandled("while the exit of {pid} was reported", pid=self.pid):
            self._protocol.processExited(reason)
        self.pid = None
        with self._log.failuresHandled("while the end of a process was reported"):
            self._protocol.processEnded(reason)

    # The rest of IProcessTransport

    def writeToChild(self, childFD: int, data: bytes) -> None:
        raise KeyError(childFD)

    def write(self, data: bytes) -> None:
        self.writeToChild(0, data)

    def writeSequence(self, data: Iterable[bytes]) -> None:
        self.writeToChild(0, b"".join(data))

    def loseConnection(self) -> None:
        """Do nothing: there is no pipe, and the process continues."""

    closeStdin = closeStdout = closeStderr = loseConnection

    def closeChildFD(self, descriptor: int) -> None:
        """Do nothing: there is no pipe."""

    def getPeer(self) -> IAddress:
        raise NotImplementedError("a process has no address")

    getHost = getPeer


def exit_of(reason: Failure) -> Exit:
    """Return the exit in the reason that a protocol was given."""
    error = reason.value
    if isinstance(error, ProcessDone | ProcessTerminated):
        return Exit(code=error.exitCode, signal=error.signal)
    return Exit()


def signal_number(name: str | int) -> int:
    """Return 9 for `KILL`, `SIGKILL` and 9; raises `ValueError` for an unknown name."""
    if isinstance(name, int):
        return name
    try:
        return signal.Signals["SIG" + name.upper().removeprefix("SIG")]
    except KeyError:
        raise ValueError(f"'{name}' is not a signal") from None


def _with_limits(program: Program) -> list[str]:
    """Return the command, run by nice(1) and prlimit(1) if it has limits.

    Limits must apply before the program's first instruction; `preexec_fn` is unsafe with threads
    and slower than both launchers.
    """
    argv = list(program.argv)
    if not program.has_limits:
        return argv
    path = program.environment.get("PATH", os.defpath)
    if "/" not in argv[0] and shutil.which(argv[0], path=path) is None:
        raise CannotSpawn(f"{argv[0]} is not in the search path {path}")
    if "/" in argv[0]:
        _check_executable(program)
    limits = []
    if program.memory_max is not None:
        limits.append(f"--as={program.memory_max}")
    if program.open_files_max is not None:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if program.open_files_max > hard and os.geteuid() != 0:
            raise CannotSpawn(
                f"{program.open_files_max} open files were asked for, at most {hard} are allowed"
            )
        limits.append(f"--nofile={program.open_files_max}")
    if limits:
        argv = [_launcher("prlimit", "util-linux"), *limits, "--", *argv]
    if program.nice:
        argv = [_launcher("nice", "coreutils"), "-n", str(program.nice), *argv]
    return argv


def _launcher(name: str, package: str) -> str:
    found = shutil.which(name)
    if found is None:
        raise CannotSpawn(f"limits need the command {name} (package {package})")
    return found


def _check_executable(program: Program) -> None:
    """Raise `CannotSpawn` here, since a launcher's error would only be in the output."""
    path = program.directory / program.argv[0]
    if not path.is_file():
        raise CannotSpawn(_sentence(program, FileNotFoundError(errno.ENOENT, "", str(path))))
    if not os.access(path, os.X_OK):
        raise CannotSpawn(_sentence(program, PermissionError(errno.EACCES, "", str(path))))


def _sentence(program: Program, error: OSError) -> str:
    """Return what failed between fork and exec, as a sentence."""
    name, directory = program.argv[0], program.directory
    if not directory.is_dir():
        return f"its directory {directory} is missing"
    if not os.access(directory, os.X_OK):
        return f"its directory {directory} may not be entered"
    match error.errno:
        case errno.ENOENT | errno.ENOTDIR if (directory / name).exists():
            return f"{name} names an interpreter in its first line that is missing"
        case errno.ENOENT | errno.ENOTDIR:
            return f"{name} is missing"
        case errno.EACCES | errno.EPERM:
            return f"{name} is not executable"
        case errno.ENOEXEC:
            return f"{name} is neither a program nor a script with #! in its first line"
        case _:
            return f"{name} cannot be executed: {os.strerror(error.errno or 0)}"
