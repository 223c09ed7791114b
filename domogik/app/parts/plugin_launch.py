"""The environment and the directories that the plugins of this home are started with."""

from __future__ import annotations

import os
import sys
from pathlib import Path

from domogik.app.parts.foundation import Foundation
from domogik.manager.plugins.plugin_launch import PluginLaunch
from domogik.xpl.node.port import NetworkSettings

#: of our environment plugins get everything but this
_OURS_ALONE = frozenset(
    {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID", "DOMOGIK_RUN_ID", "DOMOGIK_TOKEN"}
)


def make_plugin_launch(foundation: Foundation, network: NetworkSettings) -> PluginLaunch:
    """Return the launch settings of the plugins of a manager on that network."""
    environment = {name: value for name, value in os.environ.items() if name not in _OURS_ALONE}
    environment |= {
        "DOMOGIK_HOME": str(foundation.home.path),
        "DOMOGIK_CONFIG": str(foundation.configuration_file),
        "XPL_ADDRESS": network.bind_interface,
        "XPL_BROADCAST": network.hub_address[0],
        "XPL_PORT": str(network.xpl_port),
    }

    def data(name: str) -> Path:
        directory = foundation.home.plugin_data(name)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory

    return PluginLaunch(
        host=foundation.settings.hostname,
        interpreter=sys.executable,
        configuration_file=foundation.configuration_file,
        environment=environment,
        data=data,
    )
