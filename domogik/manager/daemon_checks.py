"""What is wrong with a managed daemon? Every check of one, each with what can be done."""

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
from domogik.daemons.directory import PARAMETERS, PASSWORD, WorkingDirectory
from domogik.daemons.errors import ManagedDaemonError
from domogik.daemons.parameters import Parameters
from domogik.errors import DomogikError
from domogik.manager.daemon import Daemon
from domogik.supervisor.interfaces import Status
from domogik.supervisor.sockets import described, holders, owners

#: seconds that its own protocol has to answer
PATIENCE = 5.0
#: bytes; with less left a server soon fails, and loses what it cannot write
LITTLE_ROOM = 64 * 2**20

_START = Suggestion("start", "Start it")
_RESTART = Suggestion("restart", "Restart it")
_LOOK = Suggestion("look-at-logs", "Look at what it wrote last", is_repairable=False)
_CONFIGURE = Suggestion("configure", "Correct its section in domogik.cfg", is_repairable=False)
_OTHERS = stat.S_IRWXG | stat.S_IRWXO

#: check id -> what it asks
_STATE = "daemon-state", "{title} is {state}"
_READY = "daemon-ready", "It answers in its own protocol"
_LISTENS = "daemon-port", "It listens on port {port} of {address}"
_DIRECTORY = "daemon-directory", "Its directory {directory} was made for it"
_PARAMETERS = "daemon-parameters", "Its service.json can be read"
_PRIVATE = "daemon-permissions", "Nobody else may enter its directory, or read its secrets"
_ROOM = "daemon-disk-space", "There is room on its disk: {free}"
_DATA = "daemon-data", "Its data are such as this server can work with"


@attrs.frozen
class DaemonChecks:
    """Looks at one daemon, whose processes have these numbers."""

    _entry: Daemon
    _status: Status
    _pids: frozenset[int]

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
        question: tuple[str, str],
        result: Result,
        *suggestions: Suggestion,
        **parameters: object,
    ) -> DiagnosticCheck:
        id, text = question
        if parameters.get("reason"):
            text = f"{text}: {{reason}}"
        return DiagnosticCheck(id, text, result, parameters, self._entry.id, suggestions)

    # How it is

    def _state(self) -> DiagnosticCheck:
        state, reason = self._status.state, self._status.reason
        given = {"title": self._entry.daemon.title, "state": state.value, "reason": reason}
        if state.is_on:
            return self._check(_STATE, Result.PASSED, **given)
        if state is State.STOPPED:
            return self._check(_STATE, Result.WARNING, _START, **given)
        return self._check(_STATE, Result.FAILED, _RESTART, _LOOK, **given)

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
            return self._check(_READY, Result.FAILED, _RESTART, _LOOK, reason=reason)
        except ManagedDaemonError as error:
            reason = str(self._entry.failed(error))
            return self._check(_READY, Result.FAILED, _RESTART, _LOOK, reason=reason)
        except DomogikError as error:
            return self._check(_READY, Result.FAILED, _RESTART, _LOOK, reason=str(error))
        return self._check(_READY, Result.PASSED)

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
                free = Suggestion("free-port", "End that program", is_repairable=False)
                return self._check(_LISTENS, Result.FAILED, free, _CONFIGURE, **given)
        except DomogikError as error:
            return self._check(_LISTENS, Result.ERROR, reason=str(error), **given)
        if found:
            return self._check(_LISTENS, Result.PASSED, **given)
        if self._status.pid is None:
            return self._check(_LISTENS, Result.SKIPPED, reason="it does not run", **given)
        return self._check(_LISTENS, Result.FAILED, _RESTART, reason="nobody does", **given)

    async def _data(self) -> DiagnosticCheck:
        """Of the version that this server reads, to begin with."""
        daemon = self._entry.daemon
        try:
            await daemon.find_programs()
            await daemon.tools.in_thread(daemon.check_data)
        except ManagedDaemonError as error:
            return self._check(_DATA, Result.FAILED, reason=str(self._entry.failed(error)))
        except (DomogikError, OSError) as error:
            return self._check(_DATA, Result.FAILED, reason=str(error))
        return self._check(_DATA, Result.PASSED)

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
        move = Suggestion("move-away", f"Move {path} away", is_repairable=False)
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
            return self._check(_PARAMETERS, Result.FAILED, reason=str(error))
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
        close = Suggestion("close", f"chmod go= {names}", is_repairable=False)
        return self._check(_PRIVATE, Result.FAILED, close, reason=f"others may: {names}")

    def _room(self, path: Path) -> DiagnosticCheck:
        free = shutil.disk_usage(path).free
        given: dict[str, object] = {"free": f"{free // 2**20} MB", "directory": os.fspath(path)}
        if free >= LITTLE_ROOM:
            return self._check(_ROOM, Result.PASSED, **given)
        tidy = Suggestion("free-disk", "Remove what is not needed any more", is_repairable=False)
        return self._check(_ROOM, Result.FAILED, tidy, **given)
