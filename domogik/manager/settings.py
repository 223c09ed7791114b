"""What `[domogik]` and `[plugins]` say to the manager."""

from __future__ import annotations

import socket
from pathlib import Path

import attrs

from domogik.config.home import Home, sanitised_host
from domogik.config.load import Configuration

#: the values of `[domogik] hub`
HUB_MODES = ("auto", "embedded", "external")


@attrs.frozen
class ManagerSettings:
    """Who we are on the network, where packages lie, whom we obey.

    `src_prefixes` are `src` trees or directories that hold package directories. `query_timeout_s`
    bounds a question to dbmgr. `config_provider` is the host whose dbmgr is asked, or None.
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

    @classmethod
    def from_configuration(cls, configuration: Configuration, home: Home) -> ManagerSettings:
        """Raises `BrokenConfiguration`, which names file and line."""

        def text(key: str) -> str | None:
            setting = configuration.get("domogik", key)
            return None if setting is None else setting.text()

        hostname = configuration.get("domogik", "hostname")
        name = sanitised_host(socket.gethostname())
        if hostname is not None and hostname.text():
            name = hostname.text()
            if name != sanitised_host(name):
                raise hostname.broken("must be at most 16 of a-z and 0-9")
        src_prefix = text("src_prefix") or ""
        package_path = text("package_path")
        hub = configuration.get("domogik", "hub")
        trusted = configuration.get("domogik", "xpl_trusted")
        timeout = configuration.get("domogik", "query_xpl_timeout")
        level = configuration.get("domogik", "log_level")
        return cls(
            hostname=name,
            package_mode=package_path != "" if package_path is not None else not src_prefix,
            src_prefixes=tuple(
                home.path / part.strip() for part in src_prefix.split(",") if part.strip()
            ),
            hub="auto" if hub is None else hub.choice(*HUB_MODES),
            trusted=() if trusted is None else tuple(trusted.words()),
            config_provider=text("config_provider") or None,
            query_timeout_s=10.0 if timeout is None else timeout.seconds(),
            log_level="info"
            if level is None
            else level.choice("debug", "info", "warning", "error", "critical"),
            log_dir=_directory(text("log_dir_path"), home),
            run_dir=_directory(text("pid_dir_path"), home),
        )


def enabled_plugins(configuration: Configuration) -> frozenset[str]:
    """The names that `[plugins]` marks `enabled`; any other value means disabled."""
    return frozenset(
        name
        for name, setting in configuration.section("plugins").items()
        if setting.text().lower() == "enabled"
    )


def _directory(value: str | None, home: Home) -> Path | None:
    return home.path / Path(value).expanduser() if value else None
