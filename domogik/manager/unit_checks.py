"""Who looks at the declared units of systemd?"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs

from domogik.components.health import DiagnosticCheck
from domogik.components.model import ComponentId
from domogik.errors import NotPossible
from domogik.manager.units import SystemUnits
from domogik.units.unit_check import Action


@attrs.define(eq=False)
class UnitExaminer:
    """What is asked is said in `units.component`; of related units nothing is."""

    _units: SystemUnits

    def subjects(self) -> Collection[str]:
        """Their ids."""
        return tuple(f"unit:{name}" for name in self._units.names())

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """Every check of it, skipped where no systemd runs."""
        return await self._units.checks(ComponentId.parse(component_id).name)

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Do what `units.unit_check` suggests."""
        try:
            chosen = Action(action)
        except ValueError:
            raise NotPossible(f"nobody knows how to {action} {component_id}") from None
        await self._units.repair(ComponentId.parse(component_id).name, chosen)
