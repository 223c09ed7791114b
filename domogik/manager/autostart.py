"""Which plugins start with the manager."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from domogik.config.remembered import Remembered
from domogik.errors import DomogikError
from domogik.manager.plugins import Plugins
from domogik.xpl.configuration import ConfigurationClient
from domogik.xpl.port import Identity

#: the first key of every plugin's configuration
KEY = "startup-plugin"


@attrs.define(eq=False)
class Autostart:
    """Enabled plugins whose `startup-plugin` is True, and those that a crash interrupted.

    The value comes from dbmgr; while it does not answer, the last one it gave counts, kept in
    `remembered/<plugin>.json`.
    """

    _identity: Identity
    _host: str
    _plugins: Plugins
    _remembered: Path
    _now: Callable[[], float]
    _timeout_s: float
    _provider: str
    _log: Logger = Logger()

    async def resume(self, interrupted: Iterable[str]) -> None:
        """Start what ran when the manager or the computer crashed, without asking anybody."""
        enabled = self._plugins.enabled_names()
        await self._all(self._start(name) for name in interrupted if name in enabled)

    async def run(self) -> None:
        """Done when each plugin that shall start with the manager is alive or has failed."""
        await self._all(self._if_wanted(name) for name in self._plugins.enabled_names())

    async def _all(self, work: Iterable[Coroutine[Deferred[None], None, None]]) -> None:
        await gatherResults([Deferred.fromCoroutine(one) for one in work])

    async def _if_wanted(self, name: str) -> None:
        try:
            wanted = not self._is_there(name) and await self._is_wanted(name)
        except Exception:  # noqa: BLE001 - one plugin must not keep the others from starting
            self._log.failure("whether {name} starts with the manager", name=name)
            return
        if wanted:
            await self._start(name)

    async def _start(self, name: str) -> None:
        if self._is_there(name):
            return
        self._log.info("{name} starts with the manager", name=name)
        try:
            await self._plugins.start(name)
        except DomogikError as error:
            reason = getattr(error, "reason", "") or str(error)
            self._log.error("{name} did not start: {reason}", name=name, reason=reason)
        except Exception:  # noqa: BLE001 - one plugin must not keep the others from starting
            self._log.failure("{name} did not start", name=name)

    def _is_there(self, name: str) -> bool:
        """Whether it needs no start; the remains of an earlier one do not count."""
        return self._plugins.is_up(name) and not self._plugins.is_ending(name)

    async def _is_wanted(self, name: str) -> bool:
        client = ConfigurationClient(
            self._identity,
            name,
            self._host,
            Remembered(self._remembered / f"{name}.json"),
            self._now,
            self._timeout_s,
            self._provider,
        )
        value = await client.value(KEY)
        if value.remembered:
            self._log.warn(
                "dbmgr does not answer: for {name}, {key} counts as {text}",
                name=name,
                key=KEY,
                text=value.text,
            )
        return value.text == "True"
