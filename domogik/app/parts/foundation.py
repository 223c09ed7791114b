"""What every daemon of Domogik is made from: its home, its configuration, its network settings."""

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
    """The daemon cannot start; the message is one line that says what to change."""


@attrs.frozen(kw_only=True)
class Foundation:
    """The home, the configuration and the settings, read before the reactor runs."""

    home: Home
    files: tuple[Path, ...]
    configuration: Configuration
    settings: ManagerSettings
    network: NetworkSettings
    notices: tuple[str, ...]

    @classmethod
    def load(cls, options: Mapping[str, Any], environment: Mapping[str, str]) -> Foundation:
        """Create the home if it is missing, and read the configuration; raises `CannotStart`."""
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
        """Lock the home against other managers; raises `CannotStart`."""
        try:
            return self.home.lock()
        except OSError as error:
            raise CannotStart(_choose_another(error)) from error
        except DomogikError as error:
            raise CannotStart(str(error)) from error

    def complaints(self) -> tuple[str, ...]:
        """Return the warnings about the configuration files, with file and line."""
        return (*self.configuration.notices, *self.configuration.unknown(KNOWN))

    def for_packages_only(self) -> Foundation:
        """Return a copy for the manager that `dmg_pkgmgr` starts: REST on a free loopback port."""
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
        """The configuration file that Domogik changes."""
        return self.files[-1]

    @property
    def log_directory(self) -> Path:
        """The directory of the logs: `log_dir_path`, by default that of the home."""
        return self.settings.log_dir or self.home.log

    @property
    def pid_file(self) -> Path:
        """The manager's pid file, in `pid_dir_path` or in the home."""
        return (self.settings.run_dir or self.home.run) / "manager.pid"

    def database_url(self) -> str:
        """Return `[database] url`, by default that of an SQLite file in the home."""
        setting = self.configuration.get("database", "url")
        default = sqlite_url(self.home.data / "domogik.db")
        return default if setting is None else setting.text() or default


def _choose_another(error: OSError) -> str:
    return f"{error.filename}: {error.strerror}: choose another --home"


def network_settings(configuration: Configuration) -> NetworkSettings:
    """Return `bind_interface`, `broadcast` and `xpl_port`; raises `BrokenConfiguration`."""
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
