"""The settings of a plugin's process, from the manager or with defaults for a shell."""

from __future__ import annotations

import re
import socket
from collections.abc import Mapping
from ipaddress import IPv4Address
from pathlib import Path

import attrs

from domogik.config.home import SYSTEM_FILE, Home, sanitised_host
from domogik.config.load import BrokenConfiguration, Configuration, load
from domogik.errors import DomogikError

_NAME = re.compile(r"[a-z0-9_]{1,8}")
_LEVELS = ("debug", "info", "warning", "error", "critical")
_LOOPBACK = "127.0.0.1"
_EVERYBODY = "255.255.255.255"
_XPL_PORT = 3865
_DAEMON = "DOMOGIK_DAEMON_"


class InvalidPluginEnvironment(DomogikError):
    """The environment or configuration has a value that a plugin cannot run with."""


@attrs.frozen
class PluginEnvironment:
    """The name, host and network settings of a plugin.

    `address` is the one to bind, `broadcast` and `port` are where to send; `data` is the plugin's
    data directory, which may not exist yet; `query_timeout` is in seconds; `config_provider` is the
    host whose dbmgr is asked, empty for any; `complaint` is a sentence about a configuration file
    that could not be read, or empty; `daemons` maps the ends of variable names (`CACHE`) to URLs.
    """

    name: str
    host: str
    data: Path
    address: str = _LOOPBACK
    broadcast: str = _EVERYBODY
    port: int = _XPL_PORT
    notify_socket: str = ""
    query_timeout: float = 10.0
    config_provider: str = ""
    log_level: str = "info"
    complaint: str = ""
    daemons: Mapping[str, str] = attrs.field(factory=dict, repr=False)

    @classmethod
    def of(cls, environment: Mapping[str, str], name: str) -> PluginEnvironment:
        """Return the settings in `environment`, with defaults for a start without a manager.

        `name` is used if there is no `DOMOGIK_NAME`. A configuration file that cannot be read leads
        to `complaint` and is ignored. Raises `InvalidPluginEnvironment`.
        """
        home = Home.from_options(None, environment)
        settings, complaint = _settings(environment, home)
        name = environment.get("DOMOGIK_NAME") or name
        if _NAME.fullmatch(name) is None:
            raise InvalidPluginEnvironment(
                f"'{name}' cannot be the name of a plugin: 1 to 8 of a-z, 0-9 and _ are. "
                "Set DOMOGIK_NAME, or the name of the class or script"
            )
        host = environment.get("DOMOGIK_HOST") or _text(settings, "hostname")
        data = environment.get("DOMOGIK_DATA")
        level = _text(settings, "log_level")
        return cls(
            name=name,
            host=sanitised_host(host or socket.gethostname()),
            data=Path(data) if data else home.plugin_data(name),
            address=_address(
                environment.get("XPL_ADDRESS") or _text(settings, "bind_interface", _LOOPBACK)
            ),
            broadcast=_address(
                environment.get("XPL_BROADCAST") or _text(settings, "broadcast", _EVERYBODY)
            ),
            port=_port(environment.get("XPL_PORT") or _text(settings, "xpl_port"), home),
            notify_socket=environment.get("NOTIFY_SOCKET", ""),
            query_timeout=_seconds(_text(settings, "query_xpl_timeout")),
            config_provider=_text(settings, "config_provider"),
            log_level=level if level in _LEVELS else "info",
            complaint=complaint,
            daemons={
                variable.removeprefix(_DAEMON): url
                for variable, url in environment.items()
                if variable.startswith(_DAEMON)
            },
        )


def _settings(environment: Mapping[str, str], home: Home) -> tuple[Configuration | None, str]:
    own = environment.get("DOMOGIK_CONFIG")
    try:
        return load((SYSTEM_FILE, Path(own) if own else home.configuration)), ""
    except BrokenConfiguration as error:
        return None, f"configuration ignored: {error}"


def _text(settings: Configuration | None, key: str, default: str = "") -> str:
    setting = settings.get("domogik", key) if settings is not None else None
    return (setting.value.strip() if setting is not None else "") or default


def _address(text: str) -> str:
    try:
        return str(IPv4Address(text))
    except ValueError:
        raise InvalidPluginEnvironment(f"'{text}' is no IPv4 address such as 127.0.0.1") from None


def _port(text: str, home: Home) -> int:
    """Return the hub's port; for 0 it is read from `run/xpl.port`."""
    if text == "0":
        try:
            text = (home.run / "xpl.port").read_text(encoding="ascii").strip()
        except (OSError, ValueError):
            text = ""
    if not text:
        return _XPL_PORT
    if not (text.isascii() and text.isdigit() and 0 < int(text[:6]) < 65536):
        raise InvalidPluginEnvironment(f"'{text}' is no port to send xPL to: 1 to 65535 are")
    return int(text)


def _seconds(text: str) -> float:
    """Return `query_xpl_timeout`, or 10 if it is not a whole number, as in Domogik."""
    return float(text) if text.isascii() and text.isdigit() and 0 < int(text[:6]) <= 300 else 10.0
