"""Inside of a systemd of a test's own: what a daemon and its ports are found to be, as JSON.

python units_inside.py UNIT PORT/KIND...
"""

from __future__ import annotations

import json
import os
import sys
from functools import partial
from typing import Any

from twisted.internet import task
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool

from domogik.supervisor.processes.command import run
from domogik.units import App, Daemon, Units
from domogik.units.checks.port_owners import PortOwners
from domogik.units.systemd.systemctl import Systemctl


async def main(reactor: Any, unit: str, *ports: str) -> None:
    systemd = Systemctl(partial(run, reactor), os.environ)
    in_thread = partial(deferToThreadPool, reactor, reactor.getThreadPool())
    units = Units(reactor, systemd, PortOwners(reactor, in_thread))
    wanted = [(int(port), kind) for port, kind in (word.split("/") for word in ports)]
    app = units.add(App("app", [Daemon("daemon-x", unit, listen_ports=wanted)]))
    print(json.dumps([check.to_json() for check in await app.diagnose()]))


task.react(lambda reactor: Deferred.fromCoroutine(main(reactor, *sys.argv[1:])))
