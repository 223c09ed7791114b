"""The configuration values of plugins: stored ones, else what the descriptor declares."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from domogik.components.model import ConfigurationKey, ConfigValue
from domogik.errors import OperationFailed
from domogik.storage.values import ConfigStore

#: how an unset value is written on xPL; an empty one would be no message for released Domogik
UNSET = "None"


@attrs.define(eq=False)
class Values:
    """Over a store. `declared(plugin, key)` is the key as its descriptor declares it, or None."""

    store: ConfigStore
    _declared: Callable[[str, str], ConfigurationKey | None] = lambda plugin, key: None

    async def get(self, host: str, plugin: str, key: str) -> str:
        """What was set, else the declared default, else `None` as text."""
        stored = await self.store.get(host, plugin, key)
        if stored:
            return stored
        declared = self._declared(plugin, key)
        return (declared.default if declared is not None else None) or UNSET

    async def set(self, host: str, plugin: str, key: str, value: str) -> ConfigValue:
        """Keep it; `None` as text unsets. `OperationFailed` where the type does not allow it."""
        if value == UNSET:
            value = ""
        if value:
            check(self._declared(plugin, key), value)
        return await self.store.set(host, plugin, key, value)


def check(declared: ConfigurationKey | None, value: str) -> None:
    """Whether that value can be one of the declared key; raises `OperationFailed` with the reason.

    Types that nobody documented are taken for text.
    """
    if declared is None:
        return
    if declared.type == "boolean" and value not in ("True", "False"):
        raise OperationFailed(f"{declared.key} is True or False, not '{value}'")
    if declared.type in ("number", "integer", "int"):
        try:
            float(value)
        except ValueError:
            raise OperationFailed(f"{declared.key} is a number, not '{value}'") from None
    if declared.options and value not in declared.options:
        options = ", ".join(declared.options)
        raise OperationFailed(f"{declared.key} is one of {options}, not '{value}'")
