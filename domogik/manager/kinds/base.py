"""The base class of the kinds: every operation raises `NotPossible` unless it is overridden."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from typing import ClassVar, NoReturn

import attrs
from zope.interface import implementer

from domogik.components.health import DiagnosticCheck
from domogik.components.model import Backup, Component, ComponentId, Detail, Kind
from domogik.errors import NotPossible, UnknownComponent
from domogik.manager.components import ComponentList
from domogik.manager.registry import IChecked, IKind
from domogik.supervisor.interfaces import Status
from domogik.supervisor.service import Supervisor


@implementer(IKind)
@attrs.define(eq=False, kw_only=True)
class ComponentKind:
    """What the kinds have in common: the one list, the checks, the output of processes.

    `why_not` ends the sentence "<id> cannot be started: ...".
    """

    why_not: ClassVar[str] = "its kind is not known here"

    kind: Kind
    components: ComponentList
    supervisor: Supervisor
    host: str
    checks: IChecked | None = None

    def find(self, name: str) -> Component:
        component = self.components.get(ComponentId(self.kind, name))
        if component is None:
            raise UnknownComponent.named(name, self.host, self.components.ids(self.kind))
        return component

    def knows(self, name: str) -> bool:
        return False

    def detail(self, component: Component) -> Detail:
        return Detail(component)

    async def warnings(self, name: str) -> tuple[str, ...]:
        return ()

    async def start(self, name: str) -> None:
        self._refuse(name, "started")

    async def stop(self, name: str) -> None:
        self._refuse(name, "stopped")

    async def restart(self, name: str) -> None:
        self._refuse(name, "restarted")

    async def enable(self, name: str) -> None:
        self._refuse(name, "enabled")

    async def disable(self, name: str) -> None:
        self._refuse(name, "disabled")

    async def reload(self, name: str) -> None:
        self._refuse_as_no_daemon(name, "reloaded")

    async def log_lines(self, name: str, lines: int) -> list[str]:
        id = self._id(name)
        if id not in self.supervisor.ids():
            return []
        return await self.supervisor.output(id).tail(lines)

    def follow_log(self, name: str, receive: Callable[[str], None]) -> Callable[[], None]:
        id = self._id(name)
        if id not in self.supervisor.ids():
            raise NotPossible(f"{id} has no output of its own")
        return self.supervisor.output(id).follow(receive)

    def status_changed(self, component_id: str, before: Status, after: Status) -> None:
        pass

    def credentials(self, name: str) -> str:
        self._refuse_as_no_daemon(name, "logged in to")

    async def backup(self, name: str, file: str | None) -> Backup:
        self._refuse_as_no_daemon(name, "backed up")

    async def restore(self, name: str, file: str) -> None:
        self._refuse_as_no_daemon(name, "restored")

    async def backups(self, name: str) -> tuple[Backup, ...]:
        self._refuse_as_no_daemon(name, "restored")

    def subjects(self) -> Collection[str]:
        return self.checks.subjects() if self.checks is not None else ()

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        return await self._checked(component_id).examine(component_id)

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        await self._checked(component_id).repair(component_id, check, action)

    def _checked(self, component_id: str) -> IChecked:
        if self.checks is None:
            raise UnknownComponent.named(component_id, self.host)
        return self.checks

    def _id(self, name: str) -> str:
        return str(ComponentId(self.kind, name))

    def _refuse(self, name: str, verb: str) -> NoReturn:
        raise NotPossible(f"{self._id(name)} cannot be {verb}: {self.why_not}")

    def _refuse_as_no_daemon(self, name: str, verb: str) -> NoReturn:
        raise NotPossible(f"{self._id(name)} cannot be {verb}: it is no managed daemon")
