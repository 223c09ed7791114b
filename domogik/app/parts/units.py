"""Makes the part of a manager that handles systemd units."""

from __future__ import annotations

from pathlib import Path

from domogik.app.reactor import IWholeReactor
from domogik.manager.components import ComponentList
from domogik.manager.jobs import Jobs
from domogik.manager.units.enabled_apps import EnabledApps
from domogik.manager.units.units import SystemUnits
from domogik.units.apps.registry import Units
from domogik.units.this_host import HostSystem


def make_units(
    reactor: IWholeReactor, host: str, run: Path, components: ComponentList, jobs: Jobs
) -> SystemUnits:
    """Return the units of the systemd of this host, if it runs; nothing is asked yet."""
    system, apps = HostSystem.of(reactor), EnabledApps(run / "apps.json")
    return SystemUnits(
        host=host,
        units=Units.of(system),
        components=components,
        jobs=jobs,
        clock=reactor,
        changes=system.changes,
        enabled_apps=apps,
    )
