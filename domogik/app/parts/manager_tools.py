"""What the assembly of a real manager is given: its supervisor, its units, its files."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from random import Random

from domogik.app.parts.foundation import Foundation
from domogik.app.parts.plugin_launch import make_plugin_launch
from domogik.app.parts.xpl_node import XplNode
from domogik.app.reactor import IWholeReactor
from domogik.manager.assembly import ManagerTools, StatusChanged
from domogik.manager.components import ComponentList
from domogik.manager.jobs import Jobs
from domogik.manager.plugins.stopped import StoppedByHand
from domogik.manager.trust import Trust
from domogik.manager.units.enabled_apps import EnabledApps
from domogik.manager.units.units import SystemUnits
from domogik.supervisor.processes.confinement import Confinement
from domogik.supervisor.service import Supervisor
from domogik.threads import threads_of
from domogik.units.apps.registry import Units
from domogik.units.this_host import HostSystem


def manager_tools(
    reactor: IWholeReactor, foundation: Foundation, xpl_node: XplNode
) -> ManagerTools:
    """Return the tools of the manager of that home; no process is started yet."""
    settings, home = foundation.settings, foundation.home

    def make_supervisor(on_change: StatusChanged) -> Supervisor:
        return Supervisor(
            reactor,
            home.run,
            foundation.log_directory,
            on_change=on_change,
            wall_clock=time.time,
            random=Random().random,
            confinement=Confinement.of(reactor),
        )

    return ManagerTools(
        host=settings.hostname,
        reactor=reactor,
        wall_clock=time.time,
        threads=threads_of(reactor),
        bus=xpl_node.bus,
        trust=Trust(xpl_node.network.bind_interface, settings.trusted),
        make_supervisor=make_supervisor,
        make_units=partial(_make_units, reactor, settings.hostname, home.run),
        launch=make_plugin_launch(foundation, xpl_node.network),
        directory=home.path,
        daemons=home.daemons,
        backups=home.backups,
        health_state=home.run / "health.json",
        stopped=StoppedByHand(home.run / "stopped.json"),
    )


def _make_units(
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
