"""What every kind of component can be asked, and the registry of the kinds of a host."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

import attrs
from zope.interface import Attribute, Interface

from domogik.components.health import DiagnosticCheck
from domogik.components.model import Backup, Component, ComponentId, Detail, Kind
from domogik.errors import UnknownComponent
from domogik.supervisor.interfaces import Status


class IChecked(Interface):
    """What the health centre asks of a kind."""

    def subjects() -> Collection[str]:
        """Return the ids of the components that can be examined now."""

    async def examine(component_id: str) -> Sequence[DiagnosticCheck]:
        """Return the checks of one component; what cannot be looked at is a check too.

        Raises `UnknownComponent` where it is gone.
        """

    async def repair(component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Carry out what a suggestion of that check says; raises `DomogikError`."""


class IKind(IChecked):
    """One kind of component. Names are the second halves of ids.

    What its components cannot do raises `NotPossible`, with a sentence that says why.
    """

    kind = Attribute("The `Kind` that its components have.")

    def find(name: str) -> Component:
        """Return the component of that name; `UnknownComponent`, `AmbiguousComponent`."""

    def knows(name: str) -> bool:
        """Whether `find` accepts that name although no list has it."""

    def detail(component: Component) -> Detail:
        """Return the component with what it is configured with, or can be."""

    async def warnings(name: str) -> tuple[str, ...]:
        """Return sentences about what it lacks in order to run."""

    async def start(name: str) -> None:
        """Start it; returns when it is alive."""

    async def stop(name: str) -> None:
        """Stop it; returns when no process of it is left."""

    async def restart(name: str) -> None:
        """Stop it if it is up, then start it."""

    async def enable(name: str) -> None:
        """Have it started with the manager, or by systemd."""

    async def disable(name: str) -> None:
        """Have it started no more; it must not run."""

    async def reload(name: str) -> None:
        """Have it read its configuration again."""

    async def log_lines(name: str, lines: int) -> list[str]:
        """Return the last lines of its output, oldest first."""

    def follow_log(name: str, receive: Callable[[str], None]) -> Callable[[], None]:
        """Have every new line received, until the answer is called."""

    def status_changed(component_id: str, before: Status, after: Status) -> None:
        """Note that the supervisor sees one of its components otherwise than before."""

    def credentials(name: str) -> str:
        """Return its URL with its password."""

    async def backup(name: str, file: str | None) -> Backup:
        """Write its data into a new file of the home."""

    async def restore(name: str, file: str) -> None:
        """Put the data of that file in place of its own."""

    async def backups(name: str) -> tuple[Backup, ...]:
        """Return the files there are."""


@attrs.define(eq=False)
class Kinds:
    """The registry: every kind of component that a host has."""

    host: str
    _kinds: dict[Kind, IKind] = attrs.field(init=False, factory=dict)

    def register(self, *kinds: IKind) -> None:
        """Add kinds; of two objects for one kind the later one counts."""
        for kind in kinds:
            self._kinds[kind.kind] = kind

    def __iter__(self) -> Iterator[IKind]:
        return iter(self._kinds.values())

    def get(self, kind: Kind | None) -> IKind | None:
        """Return the object of that kind, None where this host has none."""
        return self._kinds.get(kind) if kind is not None else None

    def of(self, id: ComponentId) -> IKind:
        """Return the object of a component's kind; `UnknownComponent`."""
        kind = self._kinds.get(id.kind)
        if kind is None:
            raise UnknownComponent.named(str(id), self.host)
        return kind
