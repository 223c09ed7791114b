"""`/plugin/config`: the stored values of plugins."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from domogik.api.rinor.envelope import RinorAnswer, RinorError
from domogik.api.rinor.face import identifier
from domogik.api.router import Asked, Path
from domogik.components.model import ConfigValue
from domogik.manager.interfaces import IAllHosts
from domogik.manager.operations import passwords
from domogik.manager.operations.table import Right

#: these words in a path mean something else than their letters
_WORDS = {"None": ""}


@attrs.define(eq=False)
class PluginConfigPaths:
    """List, set and delete; passwords are masked for who shows no token."""

    _all_hosts: IAllHosts

    def routes(self) -> tuple[Path, ...]:
        """Every path with what answers there."""
        one = "<host>/<id>"
        key = f"{one}/by-key/<key>"
        return (
            Path("plugin/config/list", self.list),
            Path(f"plugin/config/list/by-name/{one}", self.list),
            Path(f"plugin/config/list/by-name/{key}", self.list),
            Path("plugin/config/set/<rest...>", self.set, Right.CHANGE),
            Path(f"plugin/config/del/{one}", self.delete, Right.CHANGE),
            Path(f"plugin/config/del/{key}", self.delete, Right.CHANGE),
        )

    async def list(self, asked: Asked) -> RinorAnswer:
        """All values, those of a plugin, or one."""
        host, plugin, key = _names(asked)
        return await self._answer(asked, await self._all_hosts.config_list(host, plugin, key))

    async def set(self, asked: Asked) -> RinorAnswer:
        """`hostname`, `id` (or `name`), `key` and `value`, in any order."""
        given = pairs(asked.rest)
        if "name" in given:
            given.setdefault("id", given.pop("name"))
        if set(given) != {"hostname", "id", "key", "value"}:
            raise RinorError("Error in parameters")
        host = identifier(given["hostname"], "hostname")
        plugin = identifier(given["id"], "id")
        key = identifier(given["key"], "key")
        value = given["value"]
        row = await passwords.store(self._all_hosts, host, plugin, key, _WORDS.get(value, value))
        return await self._answer(asked, [row])

    async def delete(self, asked: Asked) -> RinorAnswer:
        """What was deleted."""
        host, plugin, key = _names(asked)
        assert host is not None
        assert plugin is not None
        return await self._answer(asked, await self._all_hosts.config_delete(host, plugin, key))

    async def _answer(self, asked: Asked, values: Sequence[ConfigValue]) -> RinorAnswer:
        shown = await passwords.for_caller(
            self._all_hosts, values, asked.call.caller.sees_passwords
        )
        return RinorAnswer(
            "config",
            [
                {
                    "id": value.plugin,
                    "hostname": value.host,
                    "key": value.key,
                    "value": value.value,
                }
                for value in shown
            ],
        )


def _names(asked: Asked) -> tuple[str | None, str | None, str | None]:
    host, plugin, key = (asked.values.get(name) for name in ("host", "id", "key"))
    return (
        None if host is None else identifier(host, "host"),
        None if plugin is None else identifier(plugin, "id"),
        None if key is None else identifier(key, "key"),
    )


def pairs(parts: Sequence[str]) -> dict[str, str]:
    """`k1/v1/k2/v2` as a mapping; raises `RinorError` where one is left over."""
    if not parts or len(parts) % 2:
        raise RinorError("Error in parameters")
    return dict(zip(parts[::2], parts[1::2], strict=True))
