"""The REST server of a process: its port, and its presence on xPL."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.interfaces import IListeningPort

from domogik import __version__
from domogik.api.access import Access, names_of_this_host
from domogik.api.settings import RestSettings
from domogik.api.site import Site, listen, make_site
from domogik.app.parts.foundation import Foundation
from domogik.app.parts.xpl_node import XplNode, write_port
from domogik.app.reactor import IWholeReactor
from domogik.errors import DomogikError, NotPossible
from domogik.manager.interfaces import IAllHosts
from domogik.manager.packages.interfaces import IPackages
from domogik.supervisor.ports.listeners import listeners
from domogik.supervisor.ports.sock_diag import CannotSeeSockets
from domogik.xpl.node.identity import Identity
from domogik.xpl.node.presence import Presence


def site_and_access(
    reactor: IWholeReactor,
    foundation: Foundation,
    settings: RestSettings,
    *,
    all_hosts: IAllHosts,
    counters: Callable[[], Mapping[str, float]],
    packages: IPackages | None,
) -> tuple[Site, Access]:
    """Return the HTTP site of this home and its rules of access; raises `NoToken`."""
    access = Access.from_settings(
        settings, foundation.home.read_token(), names_of_this_host(foundation.settings.hostname)
    )
    site = make_site(
        all_hosts,
        access,
        reactor=reactor,
        version=__version__,
        use_ssl=settings.use_ssl,
        counters=counters,
        packages=packages,
        uploads=foundation.home.cache,
    )
    return site, access


def forget_ended(file: Path) -> None:
    """Remove `run/rest.port` if nothing listens on the port in it."""
    try:
        port = int(file.read_bytes())
        is_over = not port or not any(one.serves("tcp") for one in listeners(port))
    except FileNotFoundError:
        return
    except ValueError:
        is_over = True
    except CannotSeeSockets:
        return
    if is_over:
        file.unlink(missing_ok=True)


def _place(settings: RestSettings) -> tuple[object, ...]:
    return settings.ip, settings.port, settings.use_ssl, settings.certificate


@attrs.define(eq=False, kw_only=True)
class RestRole:
    """The port of REST, from `open` to `close`, and its identity on xPL from `speak` on.

    It may be opened again.
    """

    _reactor: IWholeReactor
    _foundation: Foundation
    _xpl_node: XplNode
    _all_hosts: IAllHosts
    _counters: Callable[[], Mapping[str, float]]
    _packages: IPackages | None = None
    _listening: IListeningPort | None = None
    _identity: Identity | None = None
    _settings: RestSettings = RestSettings()
    _access: Access | None = None
    _announced: bool = False
    _site: Any = None
    _bound: int = 0

    async def open(self, settings: RestSettings | None = None) -> None:
        """Listen; raises `DomogikError` with a message of one line (`PortTaken`, a bad
        certificate).
        """
        settings = settings or RestSettings.from_configuration(self._foundation.configuration)
        site, self._access = site_and_access(
            self._reactor,
            self._foundation,
            settings,
            all_hosts=self._all_hosts,
            counters=self._counters,
            packages=self._packages,
        )
        self._settings, self._site = settings, site
        self._listening = await listen(self._reactor, site, settings)
        self._bound = self.port

    @property
    def port(self) -> int:
        """The TCP port that was bound."""
        assert self._listening is not None
        host: Any = self._listening.getHost()
        return int(host.port)

    @property
    def address(self) -> str:
        """The URL of REST, as shown to the user."""
        settings = self._settings
        scheme = "https" if settings.use_ssl else "http"
        ip = "127.0.0.1" if settings.ip == "0.0.0.0" else settings.ip  # noqa: S104 - shown, not bound
        return f"{scheme}://{ip}:{self.port}"

    def address_for(self, host: str) -> str:
        """Return the URL for that host; raises `NotPossible` with the key to change."""
        settings = self._settings
        ip = self._xpl_node.port.address[0] if settings.ip == "0.0.0.0" else settings.ip  # noqa: S104 - compared
        is_other = host != self._foundation.settings.hostname
        if is_other and (ip == "localhost" or ip_address(ip).is_loopback):
            raise NotPossible(
                f"REST listens on {settings.ip}, where {host} cannot fetch packages: set "
                "rest_server_ip in [rest] to an address of this host"
            )
        scheme = "https" if settings.use_ssl else "http"
        return f"{scheme}://{ip}:{self.port}"

    def announce(self) -> None:
        """Write the port into `run/rest.port`; call it when no other REST runs in this home."""
        write_port(self._port_file, self.port)
        self._announced = True

    @property
    def _port_file(self) -> Path:
        return self._foundation.home.rest_port

    def update_settings(self, settings: RestSettings) -> None:
        """Apply the rules of access of these settings."""
        if self._access is not None:
            self._access.update_settings(settings)

    async def move(self, settings: RestSettings) -> None:
        """Listen where `settings` says; raises `DomogikError`, after which it listens as before."""
        site, old, before = self._site, self._listening, self._settings
        if old is None or _place(settings) == _place(before):
            return
        site.doStart()  # without a port the site would close its connections
        try:
            if settings.port == before.port and settings.port:
                await old.stopListening()  # type: ignore[misc]
                old = None
            try:
                self._listening = await listen(self._reactor, site, settings)
            except DomogikError:
                if old is None:
                    again = attrs.evolve(before, port=self._bound)
                    self._listening = await listen(self._reactor, site, again)
                raise
            self._settings = settings
            if old is not None:
                await old.stopListening()  # type: ignore[misc]
        finally:
            site.doStop()
        self._bound = self.port
        if self._announced:
            self.announce()

    def hold(self) -> None:
        """Let connections wait until `serve`."""
        self._listening.stopReading()  # type: ignore[union-attr]

    def serve(self) -> None:
        """Answer requests, and write `run/rest.port` unless the file exists."""
        self._listening.startReading()  # type: ignore[union-attr]
        if not self._port_file.exists():
            self.announce()

    def speak(self) -> Presence:
        """Write `run/rest.port` and announce `domogik-rest.<host>` on xPL; return the presence."""
        self.announce()
        host = self._foundation.settings.hostname
        if self._identity is None:
            self._identity = self._xpl_node.port.identity("rest", host)
        self._identity.presence.start()
        self._identity.presence.ready()
        return self._identity.presence

    async def close(self) -> None:
        """Close the port and its connections, and send `hbeat.end`."""
        if self._listening is not None:
            listening, self._listening = self._listening, None
            await listening.stopListening()  # type: ignore[misc]
        if self._announced:
            self._announced = False
            self._port_file.unlink(missing_ok=True)
        if self._identity is not None:
            self._identity.presence.leave()
