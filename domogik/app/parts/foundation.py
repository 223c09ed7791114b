"""What every daemon of ours stands on: its home, its configuration, its place on the network."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import IPv4Address
from pathlib import Path
from typing import Any

import attrs

from domogik.config.home import SYSTEM_FILE, Home, HomeLock
from domogik.config.keys import KNOWN
from domogik.config.load import BrokenConfiguration, Configuration, Setting, load
from domogik.errors import DomogikError
from domogik.manager.settings import ManagerSettings
from domogik.manager.trust import Trust
from domogik.storage.values import sqlite_url
from domogik.xpl.node.port import NetworkSettings


class CannotStart(DomogikError):
    """One line that says what to change."""


@attrs.frozen(kw_only=True)
class Foundation:
    """Made before the reactor runs: what is wrong here is said on the terminal."""

    home: Home
    files: tuple[Path, ...]
    configuration: Configuration
    settings: ManagerSettings
    network: NetworkSettings
    notices: tuple[str, ...]

    @classmethod
    def load(cls, options: Mapping[str, Any], environment: Mapping[str, str]) -> Foundation:
        """Make the home where it is missing and read the configuration; `CannotStart`."""
        home = Home.from_options(options.get("home"), environment)
        try:
            notices = home.create()
            config = options.get("config")
            own = Path(config).absolute() if config else home.configuration
            files = (SYSTEM_FILE, own)
            if config and not own.exists():
                raise CannotStart(f"{own} is not there: --config names a file that exists")
            configuration = load(files)
            settings = ManagerSettings.from_configuration(configuration, home)
            network = network_settings(configuration)
            Trust(network.bind_interface, settings.trusted)
        except OSError as error:
            raise CannotStart(_choose_another(error)) from error
        except CannotStart:
            raise
        except DomogikError as error:
            raise CannotStart(str(error)) from error
        return cls(
            home=home,
            files=files,
            configuration=configuration,
            settings=settings,
            network=network,
            notices=(*notices, *settings.notices),
        )

    def take_home(self) -> HomeLock:
        """No other manager has the home until the lock is released; `CannotStart`."""
        try:
            return self.home.lock()
        except OSError as error:
            raise CannotStart(_choose_another(error)) from error
        except DomogikError as error:
            raise CannotStart(str(error)) from error

    def complaints(self) -> tuple[str, ...]:
        """What is odd in the configuration files, with file and line."""
        return (*self.configuration.notices, *self.configuration.unknown(KNOWN))

    def for_packages_only(self) -> Foundation:
        """For a manager that is there for one command: REST on any free port of this host."""
        configuration = self.configuration
        here = Path("dmg_pkgmgr")
        for key, value in (
            ("rest_server_ip", "127.0.0.1"),
            ("rest_server_port", "0"),
            ("rest_use_ssl", "no"),
        ):
            configuration = configuration.with_setting(Setting("rest", key, value, here, 0))
        return attrs.evolve(self, configuration=configuration)

    @property
    def configuration_file(self) -> Path:
        """The file that the program changes."""
        return self.files[-1]

    @property
    def log_directory(self) -> Path:
        """`log_dir_path`, else the home's."""
        return self.settings.log_dir or self.home.log

    @property
    def pid_file(self) -> Path:
        """In `pid_dir_path`, else with the home's other state files."""
        return (self.settings.run_dir or self.home.run) / "manager.pid"

    def database_url(self) -> str:
        """`[database] url`, else a file in the home."""
        setting = self.configuration.get("database", "url")
        default = sqlite_url(self.home.data / "domogik.db")
        return default if setting is None else setting.text() or default


def _choose_another(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}: choose another --home"


def network_settings(configuration: Configuration) -> NetworkSettings:
    """`bind_interface`, `broadcast` and `xpl_port`; raises `BrokenConfiguration`."""
    values: dict[str, Any] = {}
    for key in ("bind_interface", "broadcast"):
        setting = configuration.get("domogik", key)
        if setting is not None:
            values[key] = _address(setting.text(), setting.broken)
    port = configuration.get("domogik", "xpl_port")
    if port is not None:
        values["xpl_port"] = port.integer(0, 65535)
    return NetworkSettings(**values)


def _address(text: str, broken: Callable[[str], BrokenConfiguration]) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise broken("must be an IPv4 address") from None
