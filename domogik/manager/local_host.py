"""What can be asked of this host: its components, each through the object of its kind."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from domogik.components.model import Component
from domogik.manager.components import ComponentList
from domogik.manager.health.centre import Health
from domogik.manager.plugins.plugins import Plugins
from domogik.manager.registry import IKind, Kinds
from domogik.manager.units.units import SystemUnits
from domogik.supervisor.service import Supervisor


@attrs.define(eq=False, kw_only=True)
class LocalHost:
    """The components of this host. `upgrade` executes the manager anew, children kept."""

    host: str
    components: ComponentList
    kinds: Kinds
    plugins: Plugins
    units: SystemUnits
    supervisor: Supervisor
    health: Health
    upgrade: Callable[[], None]

    def kind_of(self, component: Component) -> IKind:
        """Return the object of the component's kind; raises `UnknownComponent`."""
        return self.kinds.of(component.id)

    def all(self) -> tuple[Component, ...]:
        """Return every component, with what it used when that was sampled last."""
        sampled = self.supervisor.sampled
        return tuple(
            one if (used := sampled.get(str(one.id))) is None else attrs.evolve(one, usage=used)
            for one in self.components.all()
        )

    async def usage(self, component: Component) -> Component:
        """Return it with CPU, memory and open files as they are now."""
        used = await self.supervisor.usage([str(component.id)])
        return attrs.evolve(component, usage=used.get(str(component.id)))
