"""Decides whether an app still needs a unit that several apps use."""

from __future__ import annotations

from collections.abc import Collection

from domogik.units.apps.app import App, Leader


async def app_needs(app: App, unit_names: Collection[str]) -> bool:
    """Return whether `app` needs the unit of these names.

    The app's leaders decide, except those of that unit itself, which may be enabled for another
    app. An app without other leaders needs the unit if it was enabled last; if that is not known,
    it does if the unit is a leader of it or is enabled. An app that is being enabled or disabled
    counts as enabled or disabled already, so that the last two apps can be disabled at once. An app
    that is not installed needs nothing.
    """
    if app.is_switching_to is not None:
        return app.is_switching_to
    if not app.is_installed:
        return False
    names = frozenset(unit_names)
    deciding = [leader for leader in app.leaders if names.isdisjoint(leader.unit_names)]
    if deciding:
        return all([await leader.is_enabled() for leader in deciding])
    if app.last_told is not None:
        return app.last_told
    if app.leaders:
        return True
    shared = [
        component
        for component in app.components.values()
        if isinstance(component, Leader) and not names.isdisjoint(component.unit_names)
    ]
    return any([await component.is_enabled() for component in shared])


def app_manages(app: App, unit_names: Collection[str]) -> bool:
    """Return whether a component of `app` enables and disables the unit of these names."""
    names = frozenset(unit_names)
    return any(
        component.switches_its_units and not names.isdisjoint(component.unit_names)
        for component in app.components.values()
    )
