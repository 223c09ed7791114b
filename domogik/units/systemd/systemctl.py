"""The back end that runs systemctl(1) and journalctl(1), one process for each question.

docs/adr/0007-systemd-backend.md says why it does not use D-Bus.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path

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
from domogik.units.systemd.bus import Changes
from domogik.units.systemd.status import Enablement, UnitStatus

_BOOTED = Path("/run/systemd/system")  # sd_booted(3)
_ANSWER_S = 20.0
_PER_UNIT_BYTES = 16 * 1024
_LOG_BYTES = 1024 * 1024
_MESSAGE_BYTES = 16 * 1024
#: the most characters of systemd's message that an error has
_MESSAGE = 500
_AT_ONCE = 4
#: the properties that a status is made of
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
#: lines that say what was done or where to read more
_ASIDE = re.compile(r"(Created symlink|Removed|See |Unit .* added as a dependency)")
_LOAD_ERROR = re.compile(r'\S+ "(.*)"')
#: no colours, links or translations, and times that can be parsed
_PLAIN_OUTPUT = {"LC_ALL": "C.UTF-8", "TZ": "UTC", "SYSTEMD_COLORS": "0", "SYSTEMD_URLIFY": "0"}


def why_no_systemd(booted: Path = _BOOTED) -> str:
    """Return why systemd does not run this host, or an empty text if it does.

    It is called before each command, as systemctl also changes the unit files of a host that
    systemd does not run.
    """
    return "" if booted.is_dir() else f"this host was not booted with systemd ({booted} is missing)"


@implementer(IUnitBackend)
@attrs.define(eq=False)
class Systemctl:
    """The systemd of this host.

    Commands get `environment`. `prefix` stands before every command and `options` after
    `systemctl`; with `--root=DIR` only enablement can be asked and changed. `patience_s` is how
    long an order may take; systemd ends a start after 90 s by default.
    """

    _run: RunCommand
    _environment: Mapping[str, str]
    _changes: Changes | None = None
    _patience_s: float = 100.0
    _prefix: tuple[str, ...] = ()
    _options: tuple[str, ...] = ()
    _absent: Callable[[], str] = why_no_systemd
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
            limit_bytes=_MESSAGE_BYTES + _PER_UNIT_BYTES * len(asked),
        )
        if not done.succeeded or done.truncated:
            raise BackendFailed(f"systemctl show: {message_of(done)}")
        blocks = [block for block in _text(done).split("\n\n") if block.strip()]
        if len(blocks) != len(asked):
            raise BackendFailed(f"systemctl show: asked for {len(asked)} units, got {len(blocks)}")
        return {name: _status(name, block) for name, block in zip(asked, blocks, strict=True)}

    @deferred
    async def enablement(self, name: str) -> Enablement:
        done = await self._ask("systemctl", "is-enabled", "--", name, limit_bytes=_MESSAGE_BYTES)
        # a line about a script of SysV may precede the word
        word = _text(done).strip().rpartition("\n")[2]
        if re.fullmatch(r"[a-z-]+", word):
            return Enablement(word)
        if "No such file" in word or "does not exist" in word:
            return Enablement("not-found")
        raise BackendFailed(f"systemctl is-enabled {name}: {message_of(done)}")

    @deferred
    async def carry_out(self, order: Order, name: str) -> None:
        await self._order(order.value, "--", name)

    @deferred
    async def daemon_reload(self) -> None:
        await self._order("daemon-reload")

    async def _order(self, *words: str) -> None:
        done = await self._execute(("systemctl", *words), self._patience_s, _MESSAGE_BYTES)
        if done.succeeded:
            return
        spoken = f"systemctl {' '.join(word for word in words if word != '--')}"
        if done.timed_out:
            raise OrderFailed(f"{spoken}: not done after {self._patience_s:g} s; systemd goes on")
        error = NotPermitted if _REFUSED.search(_text(done)) else OrderFailed
        raise error(f"{spoken}: {message_of(done)}")

    @deferred
    async def logs(self, name: str, lines: int) -> list[str]:
        # the newest lines first, so that the oldest are cut off at the limit
        done = await self._ask(
            *("journalctl", "--quiet", "--no-pager", "--reverse", "--output=short-iso"),
            *(f"--lines={lines}", f"--unit={name}"),
            limit_bytes=_LOG_BYTES,
        )
        if not done.succeeded:
            raise OrderFailed(f"journalctl --unit={name}: {message_of(done)}")
        newest_first = _text(done).splitlines()
        return newest_first[: -1 if done.truncated else None][::-1]

    def subscribe(self, receiver: ChangeReceiver) -> Callable[[], None]:
        if self._changes is None:
            return lambda: None
        return self._changes.subscribe(receiver)

    def reports_changes(self) -> bool:
        return self._changes is not None and self._changes.is_listening

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
                environment={**self._environment, **_PLAIN_OUTPUT},
            )
        except CannotSpawn as error:
            raise NoSystemd(str(error)) from error
        if not done.succeeded and _ABSENT.search(_text(done)):
            raise NoSystemd(message_of(done))
        return done


def message_of(done: Completed) -> str:
    """Return a command's message as one line, without hints where to read more."""
    if done.timed_out:
        return "no answer in time"
    lines = [line.strip() for line in _text(done).splitlines()]
    words = " ".join(line for line in lines if line and not _ASIDE.match(line))
    return words[:_MESSAGE] or f"no message (exit status {done.status.code})"


def _text(done: Completed) -> str:
    return done.output.decode("utf-8", "replace")


def _status(name: str, block: str) -> UnitStatus:
    """Return the status from a unit's part of `systemctl show`; missing fields have defaults."""
    pairs = (line.partition("=") for line in block.splitlines())
    fields = {key: value for key, _, value in pairs}
    load_error = fields.get("LoadError", "").strip()
    quoted = _LOAD_ERROR.fullmatch(load_error)
    return UnitStatus(
        name=name,
        id=fields.get("Id") or name,
        names=tuple(fields.get("Names", "").split()),
        description=fields.get("Description", ""),
        type=fields.get("Type", ""),
        load_state=fields.get("LoadState", ""),
        load_error=quoted[1] if quoted else load_error,
        active_state=fields.get("ActiveState", ""),
        sub_state=fields.get("SubState", ""),
        result=fields.get("Result", "success"),
        enablement=Enablement(fields.get("UnitFileState", "")),
        main_pid=_number(fields.get("MainPID")),
        exec_main_code=_number(fields.get("ExecMainCode")),
        exec_main_status=_number(fields.get("ExecMainStatus")),
        restarts=_number(fields.get("NRestarts")),
        fragment_path=fields.get("FragmentPath", ""),
        control_group=fields.get("ControlGroup", ""),
        triggered_by=tuple(fields.get("TriggeredBy", "").split()),
        status_text=fields.get("StatusText", ""),
        needs_daemon_reload=fields.get("NeedDaemonReload") == "yes",
        since=_time(fields.get("StateChangeTimestamp", "")),
    )


def _number(text: str | None) -> int:
    return int(text) if text and re.fullmatch(r"[0-9]{1,10}", text) else 0


def _time(text: str) -> float:
    """Return the Unix time of `Sat 2026-11-21 08:48:59 UTC`, 0 for another text."""
    try:
        return datetime.strptime(text, "%a %Y-%m-%d %H:%M:%S UTC").replace(tzinfo=UTC).timestamp()
    except ValueError:
        return 0.0
