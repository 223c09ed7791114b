"""The checks of a managed daemon, each with its suggestions."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

import attrs
from twisted.internet.defer import CancelledError, Deferred, TimeoutError

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.components.model import State
from domogik.daemons.core.directory import PARAMETERS, PASSWORD, WorkingDirectory
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.core.parameters import Parameters
from domogik.errors import DomogikError
from domogik.manager.daemons.one_daemon import DeclaredDaemon
from domogik.manager.health.questions import (
    LITTLE_ROOM,
    RESTART,
    START,
    Question,
    find_large,
    look_at_logs,
    megabytes,
    only_by_hand,
    times,
)
from domogik.supervisor.interfaces import Status
from domogik.supervisor.ports.listeners import described, holders, owners

#: seconds that its own protocol has to answer
PATIENCE = 5.0

_OTHERS = stat.S_IRWXG | stat.S_IRWXO

_STATE = Question("daemon-state", "{name} is {state}", "{name} does not run: {reason}")
_STOPPED = Question("daemon-state", "{name} is {state}", "{name} is stopped")
_ENDED = Question("daemon-state", "{name} is {state}", "{name} {reason}")
_AGAIN = Question("daemon-state", "{name} is {state}", "{name} ended {times} and is {reason}")
_READY = Question(
    "daemon-ready",
    "{name} answers in its own protocol",
    "{name} does not answer as it should: {reason}",
)
_LISTENS = Question(
    "daemon-port",
    "{name} listens on port {port} of {address}",
    "Port {port} of {address} is {reason}",
)
_DIRECTORY = Question(
    "daemon-directory",
    "The directory {directory} was made for {name}",
    "The directory {directory} is none of {name}: {reason}",
)
_PARAMETERS = Question(
    "daemon-parameters",
    "The record of daemon {name} can be read",
    "The record of daemon {name} is {reason}",
)
_PRIVATE = Question(
    "daemon-permissions",
    "Nobody else may enter the directory of {name}, or read its secrets",
    "Other users may read what is of {name}: {reason}",
)
_ROOM = Question(
    "daemon-disk-space",
    "There is room on the disk of {name}: {free}",
    "Disk almost full: {free} free at {directory}",
)
_DATA = Question(
    "daemon-data",
    "The data of {name} are such as its server can work with",
    "The server of {name} cannot work with its data: {reason}",
)


@attrs.frozen
class DaemonChecks:
    """Checks one daemon, given the ids of its processes."""

    _entry: DeclaredDaemon
    _status: Status
    _pids: frozenset[int]
    #: how often it was started again by itself in the last hour
    _restarts: int = 0

    async def all(self) -> list[DiagnosticCheck]:
        """Each question, also where an earlier one has no good answer."""
        in_thread = self._entry.daemon.tools.in_thread
        directory = await in_thread(self._of_directory)
        if not self._entry.is_known:
            why = {"reason": "it never started", "port": "?", "address": "?"}
            others = [self._check(one, Result.SKIPPED, **why) for one in (_READY, _LISTENS, _DATA)]
            return [self._state(), *others[:2], *directory, others[2]]
        ready = await self._ready()
        listens = await in_thread(self._listens)
        return [self._state(), ready, listens, *directory, await self._data()]

    def _check(
        self,
        question: Question,
        result: Result,
        *suggestions: Suggestion,
        **parameters: object,
    ) -> DiagnosticCheck:
        parameters["name"] = self._entry.settings.name
        return question.answer(self._entry.id, result, *suggestions, **parameters)

    @property
    def _look(self) -> Suggestion:
        return look_at_logs(f"dmg_ctl daemon logs {self._entry.settings.name}")

    @property
    def _change_port(self) -> Suggestion:
        settings = self._entry.settings
        text = f"Change `port` in [daemon:{settings.name}], {settings.place}"
        return only_by_hand("configure", text)

    # How it is

    def _state(self) -> DiagnosticCheck:
        state, reason = self._status.state, self._status.reason
        reason = reason or f"it is {state.value}"
        given = {"title": self._entry.daemon.title, "state": state.value, "reason": reason}
        if state.is_on:
            del given["reason"]
            return self._check(_STATE, Result.PASSED, **given)
        if state is State.STOPPED:
            return self._check(_STOPPED, Result.WARNING, START, **given)
        if " is held by " in reason:
            return self._check(_STATE, Result.FAILED, self._change_port, RESTART, **given)
        question = _STATE
        if reason.startswith("started again"):
            question, given["times"] = _AGAIN, times(self._restarts + 1)
        elif reason.startswith("ended"):
            question = _ENDED
        return self._check(question, Result.FAILED, RESTART, self._look, **given)

    async def _ready(self) -> DiagnosticCheck:
        """By its own protocol, not by an open port."""
        if self._status.pid is None:
            return self._check(_READY, Result.SKIPPED, reason="it does not run")
        daemon = self._entry.daemon
        asked = Deferred.fromCoroutine(daemon.probe())
        try:
            await asked.addTimeout(PATIENCE, daemon.tools.reactor)
        except (TimeoutError, CancelledError):
            reason = f"no answer within {PATIENCE:g} s"
        except DomogikError as error:
            reason = self._told(error)
        else:
            return self._check(_READY, Result.PASSED)
        return self._check(_READY, Result.FAILED, RESTART, self._look, reason=reason)

    def _listens(self) -> DiagnosticCheck:
        """Whether processes of its own have the port; blocks."""
        parameters = self._entry.daemon.parameters
        given: dict[str, object] = {"port": parameters.port, "address": parameters.host}
        try:
            found = holders(parameters.host, parameters.port)
            its = owners([one.inode for one in found], among=self._pids)
            strange = [one for one in found if not its[one.inode]]
            if strange:
                given["reason"] = described(strange)
                return self._check(_LISTENS, Result.FAILED, self._change_port, **given)
        except DomogikError as error:
            given["reason"] = f"not to be seen: {error}"
            return self._check(_LISTENS, Result.ERROR, **given)
        if found:
            return self._check(_LISTENS, Result.PASSED, **given)
        if self._status.pid is None:
            return self._check(_LISTENS, Result.SKIPPED, reason="it does not run", **given)
        return self._check(_LISTENS, Result.FAILED, RESTART, reason="not listened on", **given)

    async def _data(self) -> DiagnosticCheck:
        """Of the version that this server reads, to begin with."""
        daemon = self._entry.daemon
        try:
            await daemon.find_programs()
            await daemon.tools.in_thread(daemon.check_data)
        except (DomogikError, OSError) as error:
            return self._check(_DATA, Result.FAILED, reason=self._told(error))
        return self._check(_DATA, Result.PASSED)

    def _told(self, error: Exception) -> str:
        return str(self._entry.failed(error) if isinstance(error, ManagedDaemonError) else error)

    # Its directory; all of it blocks

    def _of_directory(self) -> list[DiagnosticCheck]:
        path = self._entry.directory
        if not path.exists():
            given = {"directory": str(path), "reason": "it is not there yet"}
            return [self._check(_DIRECTORY, Result.SKIPPED, **given)]
        looks: tuple[Callable[[Path], DiagnosticCheck], ...] = (
            self._marked,
            self._readable,
            self._private,
            self._room,
        )
        return [look(path) for look in looks]

    def _marked(self, path: Path) -> DiagnosticCheck:
        move = only_by_hand("move-away", f"Move it away: mv {path} {path}.aside")
        try:
            WorkingDirectory(path, self._entry.settings.kind).check()
        except (DomogikError, OSError) as error:
            return self._check(
                _DIRECTORY, Result.FAILED, move, directory=str(path), reason=str(error)
            )
        return self._check(_DIRECTORY, Result.PASSED, directory=str(path))

    def _readable(self, path: Path) -> DiagnosticCheck:
        try:
            Parameters.load(WorkingDirectory(path, self._entry.settings.kind))
        except DomogikError as error:
            file, ctl, name = path / PARAMETERS, "dmg_ctl daemon", self._entry.settings.name
            gone = "missing" if not file.exists() else "damaged"
            anew = f"{ctl} stop {name}; mv {path} {path}.aside; {ctl} start {name}"
            text = f"Put {file} back from a copy; or begin anew: {anew}"
            aside = only_by_hand("move-away", text)
            given = {"reason": f"{gone}: {file}", "error": str(error)}
            return self._check(_PARAMETERS, Result.FAILED, aside, **given)
        return self._check(_PARAMETERS, Result.PASSED)

    def _private(self, path: Path) -> DiagnosticCheck:
        open_to_others = [
            str(one)
            for one in (path, path / PARAMETERS, path / PASSWORD)
            if one.exists() and stat.S_IMODE(one.stat().st_mode) & _OTHERS
        ]
        if not open_to_others:
            return self._check(_PRIVATE, Result.PASSED)
        names = " ".join(open_to_others)
        close = only_by_hand("close", f"chmod go= {names}")
        return self._check(_PRIVATE, Result.FAILED, close, reason=names)

    def _room(self, path: Path) -> DiagnosticCheck:
        free = shutil.disk_usage(path).free
        given: dict[str, object] = {"free": megabytes(free), "directory": os.fspath(path)}
        if free >= LITTLE_ROOM:
            return self._check(_ROOM, Result.PASSED, **given)
        return self._check(_ROOM, Result.FAILED, find_large(path), **given)
