"""The checker of declared systemd units."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import attrs
from zope.interface import implementer

from domogik.components.health import DiagnosticCheck, Result
from domogik.components.model import ComponentId
from domogik.manager.health.questions import Question, unknown_action
from domogik.manager.registry import IChecked
from domogik.manager.units.units import SystemUnits
from domogik.units.apps.component import Daemon
from domogik.units.apps.unit_check import UnitAction

_AT_REST = Question("unit-at-rest", "Service {service_name} is disabled and does not run")


@implementer(IChecked)
@attrs.define(eq=False)
class UnitChecker:
    """What is asked is said in `units.component`; of related units nothing is."""

    _units: SystemUnits

    def subjects(self) -> Collection[str]:
        """Return the ids of the declared units."""
        return tuple(f"unit:{name}" for name in self._units.names())

    async def examine(self, component_id: str) -> Sequence[DiagnosticCheck]:
        """Return the checks of a unit; without systemd they are skipped."""
        name = ComponentId.parse(component_id).name
        component = self._units.component(name)
        if isinstance(component, Daemon) and self._units.is_at_rest(name):
            id, unit = component.component_id, component.unit
            return [_AT_REST.answer(id, Result.PASSED, service_name=unit)]
        return await self._units.checks(name)

    async def repair(self, component_id: str, check: DiagnosticCheck, action: str) -> None:
        """Carry out what `units.unit_check` suggests."""
        try:
            chosen = UnitAction(action)
        except ValueError:
            raise unknown_action(component_id, action) from None
        await self._units.repair(ComponentId.parse(component_id).name, chosen)
