"""`domogik.config` on xPL: what dbmgr answers to plugins that ask for their configuration."""

from __future__ import annotations

import re

import attrs
from twisted.logger import Logger

from domogik.control.wording import Body, escape_value
from domogik.errors import DomogikError, OperationFailed
from domogik.manager.plugins.password_recipients import PasswordRecipients
from domogik.manager.plugins.values import UNSET, Values
from domogik.manager.trust import Trust
from domogik.xpl.codec.message import CMND, STAT, Message
from domogik.xpl.node.bus import Bus, Origin, Subscription
from domogik.xpl.node.configuration import MASK
from domogik.xpl.node.identity import Identity

#: in the answer the key is the name of a pair
_KEY = re.compile(r"[a-z0-9-]{1,16}")
_NEEDED = ("technology", "hostname", "key")


@attrs.define(eq=False)
class ConfigControl:
    """Reads and writes the values of any host's plugins. There is always an answer.

    A password is masked in the answer to everyone; before that it goes to the plugin itself, where
    `recipients` finds it.
    """

    _identity: Identity
    _bus: Bus
    _values: Values
    _trust: Trust
    _recipients: PasswordRecipients
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
        if not self._identity.is_for_me(message) or message.get("element"):
            # Values of elements were never stored by anything; an answer would promise them.
            return
        plugin, host, key = (message.get(name) or "" for name in _NEEDED)
        head = [("technology", escape_value(plugin)), ("hostname", escape_value(host))]
        try:
            body = await self._answer(message, origin, host, plugin, key)
        except DomogikError as error:
            self._log.debug("{plugin} {key}: {error}", plugin=plugin, key=key, error=str(error))
            body = [("key", escape_value(key)), ("error", escape_value(str(error)))]
        except Exception:  # noqa: BLE001 - a door: there is always an answer
            self._log.failure("{plugin} {key}", plugin=plugin, key=key)
            body = [("key", escape_value(key)), ("error", "dbmgr failed: its log says why")]
        self._identity.send(STAT, "domogik.config", head + body)

    async def _answer(
        self, message: Message, origin: Origin, host: str, plugin: str, key: str
    ) -> Body:
        if not plugin or not host or not key:
            raise OperationFailed("technology, hostname and key are needed")
        if not _KEY.fullmatch(key):
            raise OperationFailed(f"'{key}' is no key: it is 1 to 16 of a-z, 0-9 and '-'")
        value = message.get("value")
        is_secret = self._values.is_secret(plugin, key)
        if not value:
            found = _whole(key, await self._values.get(host, plugin, key))
            if is_secret and found != UNSET:
                await self._tell_plugin(message, origin, key, found)
                found = MASK
            return [(key, found)]
        if not self._trust.allows(origin.ip):
            raise OperationFailed(f"Not allowed from {origin.ip}")
        if not (is_secret and value == MASK):
            await self._values.set(host, plugin, key, value)
        return [("key", key), ("value", MASK if is_secret else escape_value(value))]

    async def _tell_plugin(self, message: Message, origin: Origin, key: str, value: str) -> None:
        place = await self._recipients.place_of(message, origin)
        if place is not None:
            head = [(name, escape_value(message.get(name) or "")) for name in _NEEDED[:2]]
            self._identity.send(STAT, "domogik.config", [*head, (key, value)], to=place)
        else:
            self._log.warn("{source} is not told {key}", source=message.source, key=key)


def _whole(key: str, value: str) -> str:
    """A value that was stored by other means may be more than xPL can carry: it is not cut."""
    if escape_value(value) != value:
        raise OperationFailed(f"the value of {key} cannot be sent over xPL")
    return value
