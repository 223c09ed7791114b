"""Does an app still need a server that several apps use?"""

from __future__ import annotations

from collections.abc import Collection

from domogik.units.apps.app import App, Leader


async def needs(app: App, server: Collection[str]) -> bool:
    """Whether `app` needs the unit of these names.

    Its leaders decide, but for those that are that unit themselves: the unit is enabled because
    somebody needs it, and who does is the question. An app without other leaders needs it if it was
    enabled last; where nobody has said, if the unit is its own or is enabled. What is being enabled
    or disabled right now counts as done, so that two that let go at once both see nobody left. An
    app that is not installed needs nothing.
    """
    if app.is_switching_to is not None:
        return app.is_switching_to
    if not app.is_installed:
        return False
    names = frozenset(server)
    deciding = [leader for leader in app.leaders if names.isdisjoint(leader.unit_names)]
    if deciding:
        return all([await leader.is_enabled() for leader in deciding])
    if app.was_told is not None:
        return app.was_told
    if app.leaders:
        return True
    shared = [
        component
        for component in app.components.values()
        if isinstance(component, Leader) and not names.isdisjoint(component.unit_names)
    ]
    return any([await component.is_enabled() for component in shared])


def uses(app: App, server: Collection[str]) -> bool:
    """Whether a component that enables and disables the unit of these names is in it."""
    names = frozenset(server)
    return any(
        component.switches_its_units and not names.isdisjoint(component.unit_names)
        for component in app.components.values()
    )
