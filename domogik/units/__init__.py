"""Units of systemd: declared once, seen beside the plugins, switched with what needs them."""

from domogik.units.app import App, Component, FollowerComponent, LeaderComponent, app_is_running
from domogik.units.component import Daemon, RelatedDaemon, SharedDaemon
from domogik.units.diagnosis import diagnose_port_listening
from domogik.units.netcat import diagnose_netcat
from domogik.units.registry import UndeclaredUnit, Units

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
