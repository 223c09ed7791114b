"""The registries of components that are in no app: each declares the units of one component."""

from __future__ import annotations

from weakref import WeakKeyDictionary

from domogik.units.apps.app import App, Component
from domogik.units.apps.registry import Units
from domogik.units.this_host import HostSystem

_registries: WeakKeyDictionary[Component, tuple[HostSystem, Units]] = WeakKeyDictionary()


def registry_of(component: Component, system: HostSystem | None = None) -> Units:
    """Return the registry of the component's app, or the component's own if it is in none.

    Its own registry asks `system`, by default that of the usual reactor.
    """
    if isinstance(component.registry, Units):
        return component.registry
    system = system or HostSystem.usual()
    known, units = _registries.get(component, (None, None))
    if units is None or known is not system:
        units = Units.of(system)
        _registries[component] = system, units
        units.add(_OwnApp(component))
    return units


class _OwnApp(App):
    """An app that the component does not know of."""

    def __init__(self, component: Component) -> None:
        super().__init__(component.component_id)
        self._components[component.component_id] = component


def names_changed(component: Component) -> None:
    """Have the component's registry read again which units may be touched."""
    registry = component.registry or _registries.get(component, (None, None))[1]
    if registry is not None:
        registry.forget_declared()
