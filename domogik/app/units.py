"""The units of systemd of a manager's host, put together."""

from __future__ import annotations

import os
from functools import partial
from typing import Any

from domogik.app.foundation import in_thread
from domogik.manager.components import ComponentList
from domogik.manager.jobs import Jobs
from domogik.manager.units import SystemUnits
from domogik.supervisor.command import run
from domogik.units.bus import Changes, system_bus
from domogik.units.ports import PortTable
from domogik.units.registry import Units
from domogik.units.systemctl import Systemctl


def make_units(reactor: Any, host: str, components: ComponentList, jobs: Jobs) -> SystemUnits:
    """Those of the systemd that runs this host, if one does; nothing is asked yet."""
    bus = system_bus(os.environ)
    changes = Changes.at(reactor, bus) if bus is not None else None
    backend = Systemctl(partial(run, reactor), os.environ, changes)
    units = Units(reactor, backend, PortTable(reactor, in_thread(reactor)))
    return SystemUnits(host, units, components, jobs, reactor, changes)
