"""The checks of a plugin: its state, its heartbeat, its files and its needs."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import attrs
from twisted.internet.defer import DeferredLock
from zope.interface import implementer

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.components.model import Component, ComponentId, Kind, State
from domogik.errors import UnknownComponent
from domogik.manager.components import ComponentList
from domogik.manager.health.questions import (
    LATELY,
    LITTLE_ROOM,
    RESTART,
    START,
    Question,
    find_large,
    look_at_logs,
    megabytes,
    only_by_hand,
    times,
    unknown_action,
)
from domogik.manager.plugins.missing import missing, remedy
from domogik.manager.plugins.plugins import Plugins
from domogik.manager.registry import IChecked
from domogik.packages.descriptor.reference import refusal
from domogik.packages.needs.environment import ENVIRONMENT, interpreter
from domogik.packages.publish.check import check
from domogik.packages.store.installed import Installed
from domogik.threads import Threads

#: automatic restarts in the last hour from which on they are too many
MANY_RESTARTS = 3

_RUNNING = Question(
    "plugin-running", "{name} is as it should be", "{name} should run and does not: {reason}"
)
_ENDED = Question("plugin-running", "{name} is as it should be", "{name} {reason}")
_AGAIN = Question(
    "plugin-running", "{name} is as it should be", "{name} ended {times} and is {reason}"
)
_ALIVE = Question("plugin-alive", "{name} is heard", "{name} runs and is not heard: {reason}")
_RESTARTS = Question(
    "plugin-restarts",
    "{name} was restarted {restarts} times in the last hour",
)
_DESCRIPTOR = Question(
    "plugin-descriptor",
    "The descriptor of {name} is valid",
    "The descriptor of {name} is not valid: {reason}",
)
_SCRIPT = Question(
    "plugin-script", "{name} has its script", "The script of {name} is missing: {reason}"
)
_GONE = Question("plugin-script", "{name} has its script", "{name} runs, and {reason}")
_ENVIRONMENT = Question(
    "plugin-environment",
    "The Python environment of {name} is whole",
    "The Python environment of {name} is not whole: {reason}",
)
_DEPENDENCIES = Question(
    "plugin-dependencies", "{name} has all that it needs", "{name} needs {reason}"
)
_ROOM = Question(
    "plugin-disk-space",
    "{name} has room for its data: {free}",
    "Disk almost full: {free} free for the data of {name} at {path}",
)
_ID = Question("plugin-id", "{name} cannot run")

_ON_ITS_WAY = (State.STARTING, State.STOPPING)


@implementer(IChecked)
@attrs.define(eq=False, kw_only=True)
class PluginChecker:
    """Every plugin in the one list.

    `data(name)` is where it keeps what is its own, `previous(name)` the release that was installed
    before the one that is; None where there was none.
    """

    _plugins: Plugins
    _components: ComponentList
    _data: Callable[[str], Path]
    _wall_clock: Callable[[], float]
    _in_thread: Threads
    _previous: Callable[[str], str | None] = lambda name: None
    #: one at a time: it is Python that works there, and several threads keep the reactor waiting
    _gate: DeferredLock = attrs.field(init=False, factory=DeferredLock)

    def subjects(self) -> Collection[str]:
        """Return the ids of the plugins."""
        return self._components.ids(Kind.PLUGIN)

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """Return the checks of its state, then those of its files."""
        component = self._components.get(ComponentId.parse(component_id))
        if component is None:
            raise UnknownComponent(f"There is no component {component_id}")
        installed = self._plugins.installed(component.name)
        async with self._gate:
            made_of = await self._in_thread(self._made_of, component_id, installed)
            before = await self._in_thread(self._before, component, installed)
        return [
            self._running(component_id, component, before),
            self._alive(component_id, component),
            self._restarts(component_id, component),
            *made_of,
        ]

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Start or restart the plugin."""
        acts = {"start": self._plugins.start, "restart": self._plugins.restart}
        if action not in acts:
            raise unknown_action(component_id, action)
        await acts[action](ComponentId.parse(component_id).name)

    # How it runs

    def _running(
        self, component_id: str, component: Component, before: str | None
    ) -> DiagnosticCheck:
        """What was stopped, by a person or as it ended well by itself, is as it is wanted."""
        state = component.state
        given = {"name": component.name, "state": state.value, "reason": component.reason}
        answer = _RUNNING.answer
        if state in _ON_ITS_WAY or state is State.UNKNOWN:
            return answer(
                component_id, Result.NOT_DONE, **given | {"reason": f"it is {state.value}"}
            )
        if state is State.DISABLED:
            return answer(component_id, Result.SKIPPED, **given | {"reason": "it is disabled"})
        if component.reason == self._components.remark_of(component_id):  # its section's fault
            given["reason"] = "it is stopped" if state is State.STOPPED else ""
        if state is State.BACKOFF:
            count = self._plugins.restarted_within(component.name, LATELY) + 1
            given["times"] = times(count)
            is_planned = component.reason.startswith("started again")
            said = _AGAIN if is_planned else _RUNNING
            return said.answer(component_id, Result.WARNING, *_advice(component, before), **given)
        if state is State.FAILED:
            said = _ENDED if component.reason.startswith("ended") else _RUNNING
            return said.answer(component_id, Result.FAILED, *_advice(component, before), **given)
        return answer(component_id, Result.PASSED, **given)

    def _before(self, component: Component, installed: Installed | None) -> str | None:
        """The release to go back to where one that fails was installed lately; blocks."""
        if installed is None or component.state not in (State.BACKOFF, State.FAILED):
            return None
        with contextlib.suppress(OSError):
            changed = installed.package.path.lstat().st_mtime
            if self._wall_clock() - changed < LATELY:
                return self._previous(component.name)
        return None

    def _alive(self, component_id: str, component: Component) -> DiagnosticCheck:
        given = {"name": component.name}
        if component.state is State.ALIVE:
            return _ALIVE.answer(component_id, Result.PASSED, **given)
        if component.state is State.NOT_RESPONDING:
            look = look_at_logs(f"dmg_ctl logs {component.name}")
            reason = component.reason or "it does not answer"
            return _ALIVE.answer(component_id, Result.FAILED, RESTART, look, reason=reason, **given)
        if component.state is State.RUNNING:
            reason = "nothing came from it yet"
            return _ALIVE.answer(component_id, Result.WARNING, RESTART, reason=reason, **given)
        return _ALIVE.answer(component_id, Result.SKIPPED, reason="it does not run", **given)

    def _restarts(self, component_id: str, component: Component) -> DiagnosticCheck:
        count = self._plugins.restarted_within(component.name, LATELY)
        given: dict[str, object] = {"name": component.name, "restarts": count}
        if count < MANY_RESTARTS:
            return _RESTARTS.answer(component_id, Result.PASSED, **given)
        look = look_at_logs(f"dmg_ctl logs {component.name}")
        return _RESTARTS.answer(component_id, Result.WARNING, look, **given)

    # What it is made of; all of it blocks

    def _made_of(self, component_id: str, installed: Installed | None) -> list[DiagnosticCheck]:
        name = ComponentId.parse(component_id).name
        if installed is None:
            reinstall = only_by_hand("install", f"Install it again: dmg_pkgmgr install {name}")
            reason = "its package was removed"
            return [_GONE.answer(component_id, Result.WARNING, reinstall, name=name, reason=reason)]
        if refusal(name):
            remove = only_by_hand("uninstall", f"Remove it: dmg_pkgmgr uninstall {name}")
            return [
                _ID.answer(component_id, Result.FAILED, remove, name=name, reason=refusal(name))
            ]
        return [
            self._descriptor(component_id, installed),
            self._script(component_id, installed),
            *self._environment(component_id, installed),
            self._dependencies(component_id, installed),
            self._room(component_id, name),
        ]

    def _descriptor(self, component_id: str, installed: Installed) -> DiagnosticCheck:
        path = installed.package.path
        found = check(path)
        given: dict[str, object] = {
            "name": installed.package.id,
            "path": str(path),
            "warnings": len(found.warnings),
        }
        if not found.errors:
            return _DESCRIPTOR.answer(component_id, Result.PASSED, **given)
        reason = "; ".join(str(problem) for problem in found.errors)
        look = only_by_hand("check", f"See what is wrong: dmg_pkgmgr check {path}")
        return _DESCRIPTOR.answer(component_id, Result.FAILED, look, reason=reason, **given)

    def _script(self, component_id: str, installed: Installed) -> DiagnosticCheck:
        name, script = installed.package.id, installed.script
        if script is None:
            reason = installed.problem
        elif not script.is_file():
            reason = str(script)
        else:
            return _SCRIPT.answer(component_id, Result.PASSED, name=name, path=str(script))
        again = only_by_hand("install", f"Install it again: dmg_pkgmgr install {name}")
        return _SCRIPT.answer(component_id, Result.FAILED, again, name=name, reason=reason)

    def _environment(self, component_id: str, installed: Installed) -> list[DiagnosticCheck]:
        """Nothing where it runs with the manager's."""
        name, directory = installed.package.id, installed.directory
        if directory is None or not (directory / ENVIRONMENT).exists():
            return []
        python = interpreter(directory / ENVIRONMENT)
        if python is None:
            reason = "it was never finished"
        elif not os.access(python, os.X_OK):
            reason = f"{python} cannot be executed; perhaps the Python it was made with is gone"
        else:
            return [_ENVIRONMENT.answer(component_id, Result.PASSED, name=name, path=str(python))]
        return [
            _ENVIRONMENT.answer(
                component_id, Result.FAILED, _with_dependencies(installed), name=name, reason=reason
            )
        ]

    def _dependencies(self, component_id: str, installed: Installed) -> DiagnosticCheck:
        found = missing(installed, self._plugins.release_of)
        given: dict[str, object] = {
            "name": installed.package.id,
            "missing": [one.text for one in found],
        }
        if not found:
            return _DEPENDENCIES.answer(component_id, Result.PASSED, **given)
        reason = ", ".join(one.words for one in found)
        again = _with_dependencies(installed)
        advice = dict.fromkeys(
            again
            if again.sentence.endswith(command)
            else only_by_hand("install", f"Install what it needs: {command}")
            for command in (remedy(installed, one) for one in found)
            if command
        )
        return _DEPENDENCIES.answer(component_id, Result.FAILED, *advice, reason=reason, **given)

    def _room(self, component_id: str, name: str) -> DiagnosticCheck:
        data = self._data(name)
        while not data.exists():  # it never ran, and has none yet
            data = data.parent
        there = os.statvfs(data)
        free = there.f_bavail * there.f_frsize
        given: dict[str, object] = {"name": name, "free": megabytes(free), "path": str(data)}
        if free >= LITTLE_ROOM:
            return _ROOM.answer(component_id, Result.PASSED, **given)
        return _ROOM.answer(component_id, Result.FAILED, find_large(data), **given)


def _advice(component: Component, before: str | None) -> tuple[Suggestion, ...]:
    """Return suggestions for a plugin that is down; a rollback comes first after an update."""
    name = component.name
    do = RESTART if component.state is State.BACKOFF else START
    usual = do, look_at_logs(f"dmg_ctl logs {name}")
    if before is None:
        return usual
    text = f"Go back to release {before}: dmg_pkgmgr rollback {name}"
    return (only_by_hand("rollback", text), *usual)


def _with_dependencies(installed: Installed) -> Suggestion:
    package = installed.package
    return only_by_hand(
        "install",
        "Install it again, with what it needs in an environment of its own: "
        f"dmg_pkgmgr install {package.id} {package.release} --with-dependencies",
    )
