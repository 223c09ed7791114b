"""What the assembly of a real manager is given: its supervisor, its units, its files."""

from __future__ import annotations

import time
from functools import partial
from random import Random

from domogik.app.parts.foundation import Foundation
from domogik.app.parts.plugin_launch import make_plugin_launch
from domogik.app.parts.units import make_units
from domogik.app.parts.xpl_node import XplNode
from domogik.app.reactor import IWholeReactor
from domogik.manager.assembly import ManagerTools, StatusChanged
from domogik.manager.plugins.stopped import StoppedByHand
from domogik.manager.trust import Trust
from domogik.supervisor.processes.confinement import Confinement
from domogik.supervisor.service import Supervisor
from domogik.threads import threads_of


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
        make_units=partial(make_units, reactor, settings.hostname, home.run),
        launch=make_plugin_launch(foundation, xpl_node.network),
        directory=home.path,
        daemons=home.daemons,
        backups=home.backups,
        health_state=home.run / "health.json",
        stopped=StoppedByHand(home.run / "stopped.json"),
    )
