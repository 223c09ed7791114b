"""The database manager of a process: its database, and its answers on xPL."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import attrs

from domogik.app.parts.foundation import Foundation
from domogik.app.parts.xpl_node import XplNode
from domogik.app.reactor import IWholeReactor
from domogik.components.model import ConfigurationKey
from domogik.control.config import ConfigControl
from domogik.manager.plugins.password_recipients import PasswordRecipients
from domogik.manager.plugins.values import Values
from domogik.manager.trust import Trust
from domogik.storage.database import BrokenDatabase
from domogik.storage.values import ConfigStore
from domogik.threads import threads_of
from domogik.xpl.node.identity import Identity
from domogik.xpl.node.presence import Presence


@attrs.define(eq=False, kw_only=True)
class DbmgrRole:
    """The database with its xPL identity; `values` is None before `open` and after `close`."""

    _reactor: IWholeReactor
    _foundation: Foundation
    _xpl_node: XplNode
    _trust: Trust
    _declared: Callable[[str], Sequence[ConfigurationKey] | None] = lambda plugin: None
    _changed: Callable[[str, str, str | None], None] = lambda host, plugin, key: None
    _on_broken: Callable[[BrokenDatabase], None] = lambda error: None
    values: Values | None = None
    _identity: Identity | None = None
    _control: ConfigControl | None = None

    async def open(self, url: str, *, must_exist: bool = False) -> None:
        """Open the database; raises `DomogikError` with a message of one line."""
        store = await ConfigStore.open(self._reactor, url, time.time, must_exist=must_exist)
        host = self._foundation.settings.hostname
        self.values = Values(store, self._declared, host, self._changed, self._on_broken)

    def speak(self) -> Presence:
        """Answer `domogik.config` as `domogik-dbmgr.<host>`; return its presence."""
        assert self.values is not None
        host = self._foundation.settings.hostname
        if self._identity is None:
            self._identity = self._xpl_node.port.identity("dbmgr", host)
        recipients = PasswordRecipients(self._identity, self._trust, threads_of(self._reactor))
        self._control = ConfigControl(
            self._identity, self._xpl_node.bus, self.values, self._trust, recipients
        )
        self._control.start()
        self._identity.presence.start()
        self._identity.presence.ready()
        return self._identity.presence

    async def close(self) -> None:
        """Send `hbeat.end` and close the database."""
        if self._control is not None:
            self._control.stop()
            self._control = None
        if self._identity is not None:
            self._identity.presence.leave()
        values, self.values = self.values, None
        if values is not None:
            await values.store.close()
