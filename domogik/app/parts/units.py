"""The units of systemd of a manager's host, put together."""

from __future__ import annotations

from pathlib import Path

from domogik.app.reactor import IWholeReactor
from domogik.manager.components import ComponentList
from domogik.manager.jobs import Jobs
from domogik.manager.units.enabled_apps import EnabledApps
from domogik.manager.units.units import SystemUnits
from domogik.units.here import Here


def make_units(
    reactor: IWholeReactor, host: str, run: Path, components: ComponentList, jobs: Jobs
) -> SystemUnits:
    """Those of the systemd that runs this host, if one does; nothing is asked yet."""
    here, apps = Here.of(reactor), EnabledApps(run / "apps.json")
    return SystemUnits(
        host=host,
        units=here.units(),
        components=components,
        jobs=jobs,
        clock=reactor,
        changes=here.changes,
        enabled_apps=apps,
    )
