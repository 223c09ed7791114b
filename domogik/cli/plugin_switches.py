"""`dmgenplug` and `dmgdisplug`: enable and disable a plugin in the configuration file.

A manager that runs notices by itself.
"""

from __future__ import annotations

import argparse
import os
import sys

from domogik.cli.program import FAILED, add_home, configuration_files, home_of, parser, run
from domogik.config.edit import set_value
from domogik.config.home import Home
from domogik.config.load import Configuration, load
from domogik.config.syntax import fold

SECTION = "plugins"
ENABLED = "enabled"
DISABLED = "disabled"


def _is_known(home: Home, configuration: Configuration, name: str) -> bool:
    """Whether its package is here. Reads every descriptor."""
    # only where it is needed: lxml takes longer to import than everything else
    from domogik.manager.settings import ManagerSettings
    from domogik.packages.store.installed import find_packages

    settings = ManagerSettings.from_configuration(configuration, home)
    return name in find_packages(home, settings.package_mode, settings.src_prefixes).plugins


def mark(options: argparse.Namespace, word: str) -> int:
    """Have the file in force say `<name> = <word>`; the exit status.

    What is marked already may be marked again, also when its package is gone. Raises
    `BrokenConfiguration`, `InvalidValue`, `ConfigurationBusy` and `OSError`.
    """
    home = home_of(options, os.environ)
    files = configuration_files(home, options, os.environ)
    configuration = load(files)
    name: str = options.name
    setting = configuration.get(SECTION, fold(name))
    # one that was removed can still be taken out of use, but not be put into it
    is_left_over = setting is not None and word == DISABLED
    if not is_left_over and not _is_known(home, configuration, name):
        sys.stderr.write(f"WARNING : Plugin ({name}) does not exist. Do nothing\n")
        return FAILED
    was = setting.text().lower() if setting is not None else DISABLED
    if set_value(files[-1], SECTION, name, word) and was != word:
        sys.stdout.write(f"Plugin {name} is {word}\n")
    else:
        sys.stdout.write(f"Plugin {name} was {word} already\n")
    return 0


def _command(command: str, description: str, word: str) -> int:
    def work(arguments: list[str]) -> int:
        options = parser(command, description)
        options.add_argument("name", metavar="NAME", help="the id of a plugin")
        add_home(options)
        return mark(options.parse_args(arguments), word)

    return run(command, work)


def enable() -> int:
    """`dmgenplug`; its exit status."""
    return _command("dmgenplug", "Enable a plugin in the configuration file.", ENABLED)


def disable() -> int:
    """`dmgdisplug`; its exit status."""
    return _command("dmgdisplug", "Disable a plugin in the configuration file.", DISABLED)
