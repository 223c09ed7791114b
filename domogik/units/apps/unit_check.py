"""The check of whether a unit runs, and what can be done if it does not."""

from __future__ import annotations

import enum

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.errors import DomogikError
from domogik.units.apps.registry import Units
from domogik.units.systemd.backend import NoSystemd
from domogik.units.systemd.status import UnitStatus

_DESCRIPTION = "Service {service_name} is running"
#: the lines of a failed unit's journal that are searched for known causes
_SEARCHED_LINES = 20


class UnitAction(enum.Enum):
    """The suggestions that can be carried out, in the order in which they are."""

    DAEMON_RELOAD = "unit-daemon-reload"
    UNMASK = "unit-unmask"
    RESTART = "unit-restart"
    START = "unit-start"


_DAEMON_RELOAD = Suggestion(
    UnitAction.DAEMON_RELOAD.value, "Its file was changed: let systemd read unit files again"
)
_UNMASK = Suggestion(UnitAction.UNMASK.value, "Unmask the unit and start it")
_RESTART = Suggestion(UnitAction.RESTART.value, "Reset the unit's failure and start it again")
_START = Suggestion(UnitAction.START.value, "Start the unit")
_INSTALL = Suggestion(
    "install-unit", "Install the package that brings the unit, or correct its name", False
)
_WAIT = Suggestion("wait", "Wait until it has started, and look again", False)
_MEND = Suggestion(
    "mend-unit-file", "Correct the unit's file: systemd-analyze verify says more", False
)
#: by words in the journal: what a person can do
_CAUSES = (
    (
        "address already in use",
        Suggestion("free-port", "Another program has its port: stop one of the two", False),
    ),
    ("no space left on device", Suggestion("free-disk", "The disk is full: make room", False)),
    (
        "permission denied",
        Suggestion("check-permissions", "It lacks a permission: see its logs", False),
    ),
)


async def check_unit(
    units: Units, name: str, component_id: str | None
) -> tuple[DiagnosticCheck, UnitStatus | None]:
    """Return the check and the status it was made from, None if systemd cannot be asked."""
    try:
        status = (await units.status([name]))[name]
    except NoSystemd as error:
        finding = f"Whether {name} runs was not checked: {error}"
        check = _check(name, component_id, Result.SKIPPED, finding=finding, reason=str(error))
        return check, None
    except DomogikError as error:
        finding = f"Whether {name} runs is not known: {error}"
        check = _check(name, component_id, Result.ERROR, finding=finding, reason=str(error))
        return check, None
    log: list[str] = []
    if status.is_failed or status.is_waiting_to_restart:
        try:
            log = await units.logs(name, _SEARCHED_LINES)
        except DomogikError as error:
            log = [str(error)]
    return _check_of_status(name, component_id, status, log), status


def _check_of_status(
    name: str, component_id: str | None, status: UnitStatus, log: list[str]
) -> DiagnosticCheck:
    result, suggestions = _result_of(status)
    said = "\n".join(log).lower()
    suggestions += tuple(suggestion for words, suggestion in _CAUSES if words in said)
    if status.needs_daemon_reload:
        suggestions = (_DAEMON_RELOAD, *suggestions)
    if result is Result.PASSED:
        return _check(name, component_id, result, suggestions)
    reason = status.reason or f"{status.active_state} ({status.sub_state})"
    return _check(
        name,
        component_id,
        result,
        suggestions,
        finding=f"{name} does not run: {reason}",
        active_state=status.active_state,
        sub_state=status.sub_state,
        unit_file_state=status.enablement.word,
        reason=reason,
        log=log,
    )


def _result_of(status: UnitStatus) -> tuple[Result, tuple[Suggestion, ...]]:
    if status.is_active or status.did_its_work:
        return Result.PASSED, ()
    if not status.exists:
        return Result.FAILED, (_INSTALL,)
    if status.is_starting:
        return Result.WARNING, (_WAIT,)
    if status.is_masked:
        return Result.FAILED, (_UNMASK,)
    if status.is_broken:
        return Result.FAILED, (_MEND,)
    if status.is_failed or status.is_waiting_to_restart:
        return Result.FAILED, (_RESTART,)
    return Result.FAILED, (_START,)


def _check(
    name: str,
    component_id: str | None,
    result: Result,
    suggestions: tuple[Suggestion, ...] = (),
    finding: str = "",
    **more: object,
) -> DiagnosticCheck:
    return DiagnosticCheck(
        f"daemon-running-{name}",
        _DESCRIPTION,
        result,
        parameters={"service_name": name, **more},
        component_id=component_id,
        suggestions=suggestions,
        finding=finding,
    )
