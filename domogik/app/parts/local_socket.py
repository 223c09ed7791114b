"""REST on a Unix socket in the home, for the tools of its owner; independent of `[rest]`."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import attrs
from twisted.internet import tcp, unix
from twisted.internet.error import CannotListenError
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.api.http.listening import BACKLOG
from domogik.api.settings import RestSettings
from domogik.app.parts.foundation import Foundation
from domogik.app.parts.rest import site_and_access
from domogik.app.reactor import IWholeReactor
from domogik.config.local import short_name
from domogik.manager.interfaces import IAllHosts
from domogik.manager.packages.interfaces import IPackages


class _Port(unix.Port):
    """A Unix port that does not remove its path when it closes: the path was a short name."""

    def connectionLost(self, reason: Failure) -> None:
        tcp.Port.connectionLost(self, reason)


@attrs.define(eq=False)
class LocalRole:
    """The HTTP server on the socket, from `start` to `stop`."""

    _reactor: IWholeReactor
    _foundation: Foundation
    _all_hosts: IAllHosts
    _counters: Callable[[], Mapping[str, float]]
    _packages: IPackages
    _listening: _Port | None = None
    _log: Logger = Logger()

    def start(self) -> None:
        """Listen on the socket; if that fails, the error is logged and the manager goes on."""
        settings = RestSettings()
        site, _ = site_and_access(
            self._reactor,
            self._foundation,
            settings,
            all_hosts=self._all_hosts,
            counters=self._counters,
            packages=self._packages,
        )
        path = self._foundation.home.socket
        try:
            path.unlink(missing_ok=True)
            with short_name(path) as name:
                listening = _Port(name.encode(), site, BACKLOG, 0o600, self._reactor)
                listening.startListening()
        except (OSError, CannotListenError) as error:
            self._log.error("{path} cannot be listened on: {why}", path=str(path), why=str(error))
            return
        self._listening = listening

    async def stop(self) -> None:
        """Remove the socket and close its connections."""
        if self._listening is not None:
            self._foundation.home.socket.unlink(missing_ok=True)
            await self._listening.stopListening()
