"""`domogik.config` on xPL: what dbmgr answers to plugins that ask for their configuration."""

from __future__ import annotations

import attrs
from twisted.logger import Logger

from domogik.errors import DomogikError, OperationFailed
from domogik.manager.trust import Trust
from domogik.manager.values import Values
from domogik.xpl.bus import Bus, Origin, Subscription
from domogik.xpl.message import CMND, STAT, Message
from domogik.xpl.port import Identity

Body = list[tuple[str, str]]


@attrs.define(eq=False)
class ConfigControl:
    """Reads and writes the values of any host's plugins."""

    _identity: Identity
    _bus: Bus
    _values: Values
    _trust: Trust
    _log: Logger = Logger()
    _subscription: Subscription | None = None

    def start(self) -> None:
        """Listen for questions."""
        self._subscription = self._bus.subscribe(self._asked, type=CMND, schema="domogik.config")

    def stop(self) -> None:
        """Listen no more."""
        if self._subscription is not None:
            self._subscription.cancel()

    async def _asked(self, message: Message, origin: Origin) -> None:
        plugin, host, key = (message.get(name) or "" for name in ("technology", "hostname", "key"))
        if not self._identity.is_for_me(message) or not plugin or not host or not key:
            return
        if message.get("element"):
            # Values of elements were never stored by anything; an answer would promise them.
            return
        head = [("technology", plugin), ("hostname", host)]
        try:
            self._send(head + await self._answer(message, origin, host, plugin, key))
        except DomogikError as error:
            self._log.warn("{plugin} {key}: {error}", plugin=plugin, key=key, error=str(error))
            self._send([*head, ("key", key), ("error", str(error))])

    async def _answer(
        self, message: Message, origin: Origin, host: str, plugin: str, key: str
    ) -> Body:
        value = message.get("value")
        if not value:
            return [(key, await self._values.get(host, plugin, key))]
        if not self._trust.allows(origin.ip):
            raise OperationFailed(f"Not allowed from {origin.ip}")
        await self._values.set(host, plugin, key, value)
        return [("key", key), ("value", value)]

    def _send(self, body: Body) -> None:
        self._identity.send(STAT, "domogik.config", body)
