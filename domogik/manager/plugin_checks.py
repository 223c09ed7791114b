"""Is a plugin well? It runs as it is wanted, is heard, and has what it needs to start again."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Collection, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import DeferredLock

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.components.model import Component, ComponentId, Kind, State
from domogik.errors import NotPossible, UnknownComponent
from domogik.manager.components import ComponentList
from domogik.manager.plugins import Plugins
from domogik.manager.questions import LOOK_AT_LOGS, Question, megabytes, only_by_hand
from domogik.packages.check import check
from domogik.packages.environment import ENVIRONMENT, interpreter
from domogik.packages.installed import Installed
from domogik.packages.reference import refusal
from domogik.packages.unmet import unmet

#: bytes; with less left a plugin soon fails, and loses what it cannot write
LITTLE_ROOM = 64 * 2**20
#: so many restarts that nobody asked for are too many, while the last is less long ago than this
MANY_RESTARTS = 3
LATELY = 3600.0

_RUNNING = Question("plugin-running", "Plugin {name} runs as it is wanted")
_ALIVE = Question("plugin-alive", "Plugin {name} sends its heartbeat")
_RESTARTS = Question("plugin-restarts", "Plugin {name} was not restarted again and again")
_ID = Question("plugin-id", "Plugin {name} cannot run")
_DESCRIPTOR = Question("plugin-descriptor", "The descriptor {path} is valid")
_SCRIPT = Question("plugin-script", "The script of plugin {name} is there")
_ENVIRONMENT = Question("plugin-environment", "The Python environment of plugin {name} is whole")
_DEPENDENCIES = Question("plugin-dependencies", "What plugin {name} needs is installed")
_ROOM = Question("plugin-disk-space", "There is room for the data of plugin {name}: {free}")

_START = Suggestion("start", "Start it")
_RESTART = Suggestion("restart", "Restart it")
_ON_ITS_WAY = (State.STARTING, State.STOPPING)


@attrs.define(eq=False)
class PluginExaminer:
    """Every plugin in the one list. `data(name)` is where it keeps what is its own."""

    _plugins: Plugins
    _components: ComponentList
    _data: Callable[[str], Path]
    _wall_clock: Callable[[], float]
    _in_thread: Callable[..., Awaitable[Any]]
    #: one at a time: it is Python that works there, and several threads keep the reactor waiting
    _gate: DeferredLock = attrs.field(init=False, factory=DeferredLock)

    def subjects(self) -> Collection[str]:
        """Their ids."""
        return self._components.ids(Kind.PLUGIN)

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """How it runs, then what it is made of."""
        component = self._components.get(ComponentId.parse(component_id))
        if component is None:
            raise UnknownComponent(f"Component {component_id} doesn't exists")
        installed = self._plugins.installed(component.name)
        async with self._gate:
            made_of = await self._in_thread(self._made_of, component_id, installed)
        return [
            self._running(component_id, component),
            self._alive(component_id, component),
            self._restarts(component_id, component),
            *made_of,
        ]

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Start or restart it."""
        acts = {"start": self._plugins.start, "restart": self._plugins.restart}
        if action not in acts:
            raise NotPossible(f"nobody knows how to {action} {component_id}")
        await acts[action](ComponentId.parse(component_id).name)

    # How it runs

    def _running(self, component_id: str, component: Component) -> DiagnosticCheck:
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
        if state is State.STOPPED and not component.reason:
            given["reason"] = "it is stopped"
        if state is State.BACKOFF:
            return answer(component_id, Result.WARNING, _RESTART, LOOK_AT_LOGS, **given)
        if state is State.FAILED:
            return answer(component_id, Result.FAILED, _START, LOOK_AT_LOGS, **given)
        return answer(component_id, Result.PASSED, **given)

    def _alive(self, component_id: str, component: Component) -> DiagnosticCheck:
        given = {"name": component.name}
        if component.state is State.ALIVE:
            return _ALIVE.answer(component_id, Result.PASSED, **given)
        if component.state is State.NOT_RESPONDING:
            reason = component.reason or "it does not answer"
            return _ALIVE.answer(
                component_id, Result.FAILED, _RESTART, LOOK_AT_LOGS, reason=reason, **given
            )
        if component.state is State.RUNNING:
            reason = "it runs, and was not heard yet"
            return _ALIVE.answer(component_id, Result.WARNING, _RESTART, reason=reason, **given)
        return _ALIVE.answer(component_id, Result.SKIPPED, reason="it does not run", **given)

    def _restarts(self, component_id: str, component: Component) -> DiagnosticCheck:
        count, ago = component.restarts, self._wall_clock() - component.since
        given: dict[str, object] = {"name": component.name, "restarts": count}
        if count < MANY_RESTARTS or (component.state.is_on and ago > LATELY):
            return _RESTARTS.answer(component_id, Result.PASSED, **given)
        reason = f"{count} times since it was started"
        return _RESTARTS.answer(component_id, Result.WARNING, LOOK_AT_LOGS, reason=reason, **given)

    # What it is made of; all of it blocks

    def _made_of(self, component_id: str, installed: Installed | None) -> list[DiagnosticCheck]:
        name = ComponentId.parse(component_id).name
        if installed is None:
            reinstall = only_by_hand("install", f"Install it again: dmg_pkgmgr install {name}")
            reason = "its package was removed while it runs"
            return [
                _SCRIPT.answer(component_id, Result.WARNING, reinstall, name=name, reason=reason)
            ]
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
        given: dict[str, object] = {"path": str(path), "warnings": len(found.warnings)}
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
            reason = f"{script} is gone"
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
        name, dependencies = installed.package.id, installed.package.dependencies
        own = installed.directory / ENVIRONMENT if installed.directory is not None else None
        has_own = own is not None and interpreter(own) is not None
        missing = unmet(dependencies, own if has_own else None, self._plugins.release_of)
        given: dict[str, object] = {"name": name, "missing": [one.text for one in missing]}
        if not missing:
            return _DEPENDENCIES.answer(component_id, Result.PASSED, **given)
        reason = ", ".join(str(one) for one in missing)
        return _DEPENDENCIES.answer(
            component_id, Result.FAILED, _with_dependencies(installed), reason=reason, **given
        )

    def _room(self, component_id: str, name: str) -> DiagnosticCheck:
        data = self._data(name)
        while not data.exists():  # it never ran, and has none yet
            data = data.parent
        there = os.statvfs(data)
        free = there.f_bavail * there.f_frsize
        given: dict[str, object] = {"name": name, "free": megabytes(free), "path": str(data)}
        if free >= LITTLE_ROOM:
            return _ROOM.answer(component_id, Result.PASSED, **given)
        tidy = only_by_hand("free-disk", "Remove what is not needed any more")
        return _ROOM.answer(component_id, Result.FAILED, tidy, **given)


def _with_dependencies(installed: Installed) -> Suggestion:
    package = installed.package
    return only_by_hand(
        "install",
        "Install it again, with what it needs in an environment of its own: "
        f"dmg_pkgmgr install {package.id} {package.release} --with-dependencies",
    )
