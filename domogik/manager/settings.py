"""The settings in `[domogik]` and `[plugins]`."""

from __future__ import annotations

import socket
from pathlib import Path

import attrs

from domogik.config.home import Home, sanitised_host
from domogik.config.load import Configuration
from domogik.manager.trust import InvalidNetwork, named_network

#: the values of `[domogik] hub`
HUB_MODES = ("auto", "embedded", "external")


@attrs.frozen
class ManagerSettings:
    """The host's name, the places of packages, and the addresses that are trusted.

    `src_prefixes` are `src` trees or directories that hold package directories. `query_timeout_s`
    bounds a question to dbmgr. `config_provider` is the host whose dbmgr is asked, or None.
    `notices` are sentences with file and line about keys that are easily misunderstood.
    """

    hostname: str
    package_mode: bool
    src_prefixes: tuple[Path, ...] = ()
    hub: str = "auto"
    trusted: tuple[str, ...] = ()
    config_provider: str | None = None
    query_timeout_s: float = 10.0
    log_level: str = "info"
    log_dir: Path | None = None
    run_dir: Path | None = None
    notices: tuple[str, ...] = ()

    @classmethod
    def from_configuration(cls, configuration: Configuration, home: Home) -> ManagerSettings:
        """Return the settings; raises `BrokenConfiguration` with file and line."""

        def text(key: str) -> str | None:
            setting = configuration.get("domogik", key)
            return None if setting is None else setting.text()

        src_prefix = text("src_prefix") or ""
        hub = configuration.get("domogik", "hub")
        timeout = configuration.get("domogik", "query_xpl_timeout")
        level = configuration.get("domogik", "log_level")
        prefixes = [part.strip() for part in src_prefix.split(",") if part.strip()]
        return cls(
            hostname=_host(configuration, "hostname") or sanitised_host(socket.gethostname()),
            package_mode=bool(text("package_path")) or not src_prefix,
            src_prefixes=tuple(_path(configuration, "src_prefix", part, home) for part in prefixes),
            hub="auto" if hub is None else hub.choice(*HUB_MODES),
            trusted=_trusted(configuration),
            config_provider=_host(configuration, "config_provider"),
            query_timeout_s=10.0 if timeout is None else timeout.seconds(),
            log_level="info"
            if level is None
            else level.choice("debug", "info", "warning", "error", "critical"),
            log_dir=_directory(configuration, "log_dir_path", home),
            run_dir=_directory(configuration, "pid_dir_path", home),
            notices=_notices(configuration, home),
        )


def enabled_plugins(configuration: Configuration) -> frozenset[str]:
    """The names that `[plugins]` marks `enabled`; raises `BrokenConfiguration`."""
    return frozenset(
        name
        for name, setting in configuration.section("plugins").items()
        if setting.text() and setting.choice("enabled", "disabled") == "enabled"
    )


def _host(configuration: Configuration, key: str) -> str | None:
    setting = configuration.get("domogik", key)
    if setting is None or not setting.text():
        return None
    if setting.text() != sanitised_host(setting.text()):
        raise setting.broken("must be at most 16 of a-z and 0-9")
    return setting.text()


def _trusted(configuration: Configuration) -> tuple[str, ...]:
    setting = configuration.get("domogik", "xpl_trusted")
    words = () if setting is None else setting.words()
    for word in words:
        try:
            named_network(word)
        except InvalidNetwork:
            assert setting is not None
            raise setting.broken("must be addresses, networks or *") from None
    return words


def _path(configuration: Configuration, key: str, text: str, home: Home) -> Path:
    """Return a path from the configuration; a relative one is relative to the home."""
    try:
        return home.path / Path(text).expanduser()
    except RuntimeError:
        setting = configuration.get("domogik", key)
        assert setting is not None
        raise setting.broken("must be a path: there is no such user") from None


def _directory(configuration: Configuration, key: str, home: Home) -> Path | None:
    setting = configuration.get("domogik", key)
    if setting is None or not setting.text():
        return None
    return _path(configuration, key, setting.text(), home)


def _notices(configuration: Configuration, home: Home) -> tuple[str, ...]:
    """`package_path` is a switch: packages lie in the home, wherever it points.

    Released Domogik shared `/var/lib/domogik` between all of a computer; a home is one manager's.
    """
    setting = configuration.get("domogik", "package_path")
    if setting is None or not setting.text():
        return ()
    places = (home.plugins.parent, home.path)
    if _path(configuration, "package_path", setting.text(), home) in places:
        return ()
    sentence = (
        f"{setting.place}: package_path only switches package mode on; packages lie in "
        f"{home.plugins.parent}, not in {setting.text()}"
    )
    return (sentence,)
