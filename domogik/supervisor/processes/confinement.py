"""Keeps the processes of a component together, as far as the system allows."""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IReactorTime

from domogik.supervisor.processes.cgroups import HIERARCHIES, Groups
from domogik.supervisor.processes.mark import can_mark
from domogik.supervisor.processes.subreaper import Orphans


@attrs.define(eq=False)
class Confinement:
    """Combines a control group for each start, subreaping of orphans, and a mark."""

    _orphans: Orphans | None = None
    _hierarchies: tuple[str, ...] = ()
    groups: Groups = attrs.field(init=False, factory=Groups)

    @classmethod
    def of(cls, reactor: IReactorTime) -> Confinement:
        """Return one with all that this system offers; nothing is active before `start`."""
        return cls(Orphans(reactor), HIERARCHIES)

    def start(self) -> None:
        """Find a control group, and become the parent of orphans."""
        self.groups = Groups.find(self._hierarchies)
        if self._orphans is not None:
            self._orphans.start()

    def stop(self) -> None:
        """Stop collecting orphans."""
        if self._orphans is not None:
            self._orphans.stop()

    def in_force(self) -> tuple[str, bool]:
        """Return what is active, as part of a sentence, and whether no process can escape."""
        marked = can_mark()
        is_parent = self._orphans is not None and self._orphans.is_in_force
        parts = [
            self.groups.sentence,
            "orphans come to the manager" if is_parent else "orphans go elsewhere",
            "a mark in a limit" if marked else "no mark, since LimitRTTIME is set",
        ]
        return ", ".join(parts), self.groups.place is not None or marked
