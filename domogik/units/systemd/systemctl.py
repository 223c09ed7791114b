"""systemd asked through its own programs: systemctl(1) and journalctl(1), one process a question.

Why not D-Bus, which carries the changes: docs/adr/0007-systemd-backend.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol

import attrs
from twisted.internet.defer import DeferredSemaphore
from zope.interface import implementer

from domogik.answers import deferred
from domogik.supervisor.processes.command import Completed, RunCommand
from domogik.supervisor.processes.spawn import CannotSpawn
from domogik.units.systemd.backend import (
    BackendFailed,
    ChangeReceiver,
    IUnitBackend,
    NoSystemd,
    NotPermitted,
    Order,
    OrderFailed,
)
from domogik.units.systemd.status import Enablement, UnitStatus

_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_ANSWER_S = 20.0
_PER_UNIT_BYTES = 16 * 1024
_LOG_BYTES = 1024 * 1024
_SAID_BYTES = 16 * 1024
#: of what systemd says, so much is told on
_SAID = 500
_AT_ONCE = 4
#: what a status is made of
PROPERTIES = (
    "Id,Names,Description,Type,LoadState,LoadError,ActiveState,SubState,Result,UnitFileState,"
    "MainPID,ExecMainCode,ExecMainStatus,NRestarts,FragmentPath,ControlGroup,TriggeredBy,"
    "StatusText,NeedDaemonReload,StateChangeTimestamp"
)
_ABSENT = re.compile(
    r"^(System has not been booted with systemd|Failed to (connect to .*bus|get D-Bus connection))",
    re.MULTILINE,
)
_REFUSED = re.compile(r"Interactive authentication required|Access denied|Not authorized")
#: lines that say what was done, or where to read on
_ASIDE = re.compile(r"(Created symlink|Removed|See |Unit .* added as a dependency)")
_LOAD_ERROR = re.compile(r'\S+ "(.*)"')


#: no colours, links or translations, and times that can be read
_PLAINLY = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "SYSTEMD_COLORS": "0", "SYSTEMD_URLIFY": "0"}


class IChanges(Protocol):
    """Who tells of changes: `units.bus`."""

    tells: bool

    def subscribe(self, receiver: ChangeReceiver) -> Callable[[], None]: ...


def absent(booted: Path = _BOOTED) -> str:
    """Why there is no systemd on this host, which is asked before it is touched; else empty.

    systemctl itself would change the unit files of a host that systemd does not run.
    """
    return "" if booted.is_dir() else f"this host was not booted with systemd ({booted} is missing)"


@implementer(IUnitBackend)
@attrs.define(eq=False)
class Systemctl:
    """The systemd of this host.

    `environment` is that of the commands, ours over it. `prefix` stands before every command, and
    `options` behind `systemctl`: `--root=DIR`, where only enablement can be asked and changed.
    `patience_s` is how long an order may take; systemd gives a start up after 90 s by default.
    """

    _run: RunCommand
    _environment: Mapping[str, str]
    _changes: IChanges | None = None
    _patience_s: float = 100.0
    _prefix: tuple[str, ...] = ()
    _options: tuple[str, ...] = ()
    _absent: Callable[[], str] = absent
    _questions: DeferredSemaphore = attrs.field(
        init=False, factory=lambda: DeferredSemaphore(_AT_ONCE)
    )

    @deferred
    async def status(self, names: Collection[str]) -> Mapping[str, UnitStatus]:
        asked = list(dict.fromkeys(names))
        if not asked:
            return {}
        done = await self._ask(
            "systemctl",
            "show",
            f"--property={PROPERTIES}",
            *("--", *asked),
            limit_bytes=_SAID_BYTES + _PER_UNIT_BYTES * len(asked),
        )
        if not done.succeeded or done.truncated:
            raise BackendFailed(f"systemctl show: {said(done)}")
        blocks = [block for block in _text(done).split("\n\n") if block.strip()]
        if len(blocks) != len(asked):
            raise BackendFailed(f"systemctl show: asked for {len(asked)} units, got {len(blocks)}")
        return {name: _status(name, block) for name, block in zip(asked, blocks, strict=True)}

    @deferred
    async def enablement(self, name: str) -> Enablement:
        done = await self._ask("systemctl", "is-enabled", "--", name, limit_bytes=_SAID_BYTES)
        # before the word it may say that it asks for a script of SysV
        word = _text(done).strip().rpartition("\n")[2]
        if re.fullmatch(r"[a-z-]+", word):
            return Enablement(word)
        if "No such file" in word or "does not exist" in word:
            return Enablement("not-found")
        raise BackendFailed(f"systemctl is-enabled {name}: {said(done)}")

    @deferred
    async def carry_out(self, order: Order, name: str) -> None:
        await self._order(order.value, "--", name)

    @deferred
    async def daemon_reload(self) -> None:
        await self._order("daemon-reload")

    async def _order(self, *words: str) -> None:
        done = await self._execute(("systemctl", *words), self._patience_s, _SAID_BYTES)
        if done.succeeded:
            return
        spoken = f"systemctl {' '.join(word for word in words if word != '--')}"
        if done.timed_out:
            raise OrderFailed(f"{spoken}: not done after {self._patience_s:g} s; systemd goes on")
        error = NotPermitted if _REFUSED.search(_text(done)) else OrderFailed
        raise error(f"{spoken}: {said(done)}")

    @deferred
    async def logs(self, name: str, lines: int) -> list[str]:
        # the newest first, so that they are there when it is more than we take
        done = await self._ask(
            *("journalctl", "--quiet", "--no-pager", "--reverse", "--output=short-iso"),
            *(f"--lines={lines}", f"--unit={name}"),
            limit_bytes=_LOG_BYTES,
        )
        if not done.succeeded:
            raise OrderFailed(f"journalctl --unit={name}: {said(done)}")
        newest_first = _text(done).splitlines()
        return newest_first[: -1 if done.truncated else None][::-1]

    def subscribe(self, receiver: ChangeReceiver) -> Callable[[], None]:
        if self._changes is None:
            return lambda: None
        return self._changes.subscribe(receiver)

    def reports_changes(self) -> bool:
        return self._changes is not None and self._changes.tells

    async def _ask(self, *argv: str, limit_bytes: int) -> Completed:
        await self._questions.acquire()
        try:
            return await self._execute(argv, _ANSWER_S, limit_bytes)
        finally:
            self._questions.release()

    async def _execute(self, argv: Sequence[str], patience_s: float, limit_bytes: int) -> Completed:
        reason = self._absent()
        if reason:
            raise NoSystemd(reason)
        program, *words = argv
        options = ("--no-ask-password", "--no-pager", *self._options)
        try:
            done = await self._run(
                (*self._prefix, program, *(options if program == "systemctl" else ()), *words),
                timeout=patience_s,
                limit_bytes=limit_bytes,
                environment={**self._environment, **_PLAINLY},
            )
        except CannotSpawn as error:
            raise NoSystemd(str(error)) from error
        if not done.succeeded and _ABSENT.search(_text(done)):
            raise NoSystemd(said(done))
        return done


def said(done: Completed) -> str:
    """What a command said, as one line without what does not matter."""
    if done.timed_out:
        return "no answer in time"
    lines = [line.strip() for line in _text(done).splitlines()]
    words = " ".join(line for line in lines if line and not _ASIDE.match(line))
    return words[:_SAID] or f"it said nothing (exit status {done.status.code})"


def _text(done: Completed) -> str:
    return done.output.decode("utf-8", "replace")


def _status(name: str, block: str) -> UnitStatus:
    """A unit's part of what `systemctl show` printed; what is missing has its default."""
    pairs = (line.partition("=") for line in block.splitlines())
    said = {key: value for key, _, value in pairs}
    load_error = said.get("LoadError", "").strip()
    quoted = _LOAD_ERROR.fullmatch(load_error)
    return UnitStatus(
        name=name,
        id=said.get("Id") or name,
        names=tuple(said.get("Names", "").split()),
        description=said.get("Description", ""),
        type=said.get("Type", ""),
        load_state=said.get("LoadState", ""),
        load_error=quoted[1] if quoted else load_error,
        active_state=said.get("ActiveState", ""),
        sub_state=said.get("SubState", ""),
        result=said.get("Result", "success"),
        enablement=Enablement(said.get("UnitFileState", "")),
        main_pid=_number(said.get("MainPID")),
        exec_main_code=_number(said.get("ExecMainCode")),
        exec_main_status=_number(said.get("ExecMainStatus")),
        restarts=_number(said.get("NRestarts")),
        fragment_path=said.get("FragmentPath", ""),
        control_group=said.get("ControlGroup", ""),
        triggered_by=tuple(said.get("TriggeredBy", "").split()),
        status_text=said.get("StatusText", ""),
        needs_daemon_reload=said.get("NeedDaemonReload") == "yes",
        since=_time(said.get("StateChangeTimestamp", "")),
    )


def _number(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,10}", text) else 0


def _time(text: str) -> float:
    """Unix time of `Sat 2026-11-21 08:48:59 UTC`; 0 for anything else."""
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
