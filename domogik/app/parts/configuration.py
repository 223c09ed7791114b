"""The readers of all sections of the configuration, and the findings about its files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from domogik.api.settings import RestSettings
from domogik.app.parts.foundation import network_settings
from domogik.config.check import Reader, drop_refused_entries
from domogik.config.home import Home
from domogik.config.keys import KNOWN
from domogik.config.load import BrokenConfiguration, Configuration, load
from domogik.daemons.settings import daemon_policies
from domogik.manager.settings import ManagerSettings, enabled_plugins
from domogik.storage.values import check_url
from domogik.supervisor import settings as supervision
from domogik.units.settings import read_units


def readers(home: Home) -> tuple[Reader, ...]:
    """Return the functions that check each section, the most important section first."""
    return (
        lambda configuration: ManagerSettings.from_configuration(configuration, home),
        network_settings,
        RestSettings.from_configuration,
        _database,
        supervision.check,
        enabled_plugins,
        daemon_policies,
        read_units,
    )


def findings(files: Sequence[Path], home: Home) -> tuple[list[BrokenConfiguration], list[str]]:
    """Return what is refused in the files, and warnings with file and line. Blocks."""
    broken: list[BrokenConfiguration] = []
    configuration = load(files, broken.append)
    _, refused = drop_refused_entries(configuration, readers(home))
    odd = [*configuration.notices, *configuration.unknown(KNOWN)]
    return [*broken, *refused], odd


def _database(configuration: Configuration) -> None:
    setting = configuration.get("database", "url")
    if setting is not None:
        check_url(setting)
