"""Units of systemd that are declared as components of apps, checked, and enabled with them."""

from domogik.units.apps.app import (
    App,
    Component,
    FollowerComponent,
    LeaderComponent,
    app_is_running,
)
from domogik.units.apps.component import Daemon, RelatedDaemon, SharedDaemon
from domogik.units.apps.registry import UndeclaredUnit, Units
from domogik.units.checks.netcat import diagnose_netcat
from domogik.units.checks.ports import diagnose_port_listening

__all__ = [
    "App",
    "Component",
    "Daemon",
    "FollowerComponent",
    "LeaderComponent",
    "RelatedDaemon",
    "SharedDaemon",
    "UndeclaredUnit",
    "Units",
    "app_is_running",
    "diagnose_netcat",
    "diagnose_port_listening",
]
