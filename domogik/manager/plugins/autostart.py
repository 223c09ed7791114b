"""Starts the plugins that start with the manager."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from domogik.components.model import STARTUP_KEY
from domogik.config.remembered import Remembered
from domogik.errors import DomogikError
from domogik.manager.plugins.autostart_notice import AutostartNotice
from domogik.manager.plugins.plugins import Plugins
from domogik.xpl.node.configuration import ConfigurationClient
from domogik.xpl.node.identity import Identity

#: stored values that keep an enabled plugin from starting, in any case of letters
_AUTOSTART_OFF = frozenset({"false", "no", "0"})
#: the one value with which it started before every enabled plugin did
_STARTED_BEFORE = "True"
#: seconds that dbmgr has to answer while a person waits for `enable`
_IMPATIENT_S = 1.0


@attrs.define(eq=False, kw_only=True)
class Autostart:
    """Starts every enabled plugin, unless its stored `startup-plugin` is false.

    After a crash or an upgrade, plugins that a person had stopped stay stopped.

    The value comes from dbmgr; if it does not answer, its last answer counts, which is kept in
    `remembered/<plugin>.json`. `notice` reports once what changed for homes of earlier versions.
    """

    _identity: Identity
    _host: str
    _plugins: Plugins
    _remembered: Path
    _now: Callable[[], float]
    _timeout_s: float
    _provider: str
    _notice: AutostartNotice
    _log: Logger = Logger()

    async def resume(self, interrupted: Iterable[str]) -> None:
        """Start the plugins that ran when the manager or the computer crashed, without asking
        dbmgr.
        """
        enabled = self._plugins.enabled_names()
        await self._all(self._start(name) for name in interrupted if name in enabled)

    async def run(self) -> None:
        """Start the plugins; returns when each is alive or has failed."""
        names = self._plugins.enabled_names()
        looks = [Deferred.fromCoroutine(self._look_at_start(name)) for name in names]
        texts = dict(zip(names, await gatherResults(looks), strict=True))
        starting = [
            name
            for name, text in texts.items()
            if text is not None and not self._plugins.plugin(name).autostart_off
        ]
        self._notice.write(
            starting=[name for name in starting if texts[name] != _STARTED_BEFORE],
            autostart_off=[name for name in names if self._plugins.plugin(name).autostart_off],
        )
        await self._all(self._start(name) for name in starting)

    async def look(self, name: str) -> None:
        """Ask dbmgr again for the value of one plugin, with a short timeout."""
        await self._look(name, min(_IMPATIENT_S, self._timeout_s))

    def value_changed(self, host: str, plugin: str, key: str | None) -> None:
        """Ask again after a value was set or deleted; `key` None means all of the plugin."""
        is_ours = host == self._host and plugin in self._plugins.enabled_names()
        if is_ours and key in (STARTUP_KEY, None):
            _ = Deferred.fromCoroutine(self.look(plugin)).addErrback(
                lambda failure: self._log.failure("asking dbmgr", failure)
            )

    async def _all(self, work: Iterable[Coroutine[Deferred[None], None, None]]) -> None:
        await gatherResults([Deferred.fromCoroutine(one) for one in work])

    async def _start(self, name: str) -> None:
        try:
            if self._plugins.plugin(name).is_there or name in self._plugins.stopped:
                return
            self._log.info("{name} starts with the manager", name=name)
            await self._plugins.start(name)
        except DomogikError as error:
            reason = getattr(error, "reason", "") or str(error)
            self._log.error("{name} did not start: {reason}", name=name, reason=reason)
        except Exception:  # noqa: BLE001 - one plugin must not keep the others from starting
            self._log.failure("{name} did not start", name=name)

    async def _look_at_start(self, name: str) -> str | None:
        """Return the value, None if reading it failed; the plugin is not started then."""
        try:
            return await self._look(name)
        except Exception:  # noqa: BLE001 - one plugin must not keep the others from starting
            self._log.failure("whether {name} starts with the manager", name=name)
            return None

    async def _look(self, name: str, timeout_s: float | None = None) -> str:
        """Ask dbmgr for the value, store in the plugin what it means, and return it."""
        client = ConfigurationClient(
            identity=self._identity,
            technology=name,
            hostname=self._host,
            remembered=Remembered(self._remembered / f"{name}.json"),
            now=self._now,
            timeout=self._timeout_s if timeout_s is None else timeout_s,
            provider=self._provider,
        )
        value = await client.value(STARTUP_KEY)
        text = (value.text or "").strip()
        if value.remembered:
            self._log.warn(
                "dbmgr does not answer: for {name}, {key} counts as {text}",
                name=name,
                key=STARTUP_KEY,
                text=text or "not set",
            )
        plugin = self._plugins.plugin(name)
        plugin.autostart_off = text if text.lower() in _AUTOSTART_OFF else ""
        plugin.refresh()
        return text
