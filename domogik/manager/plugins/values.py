"""The configuration values of plugins: stored ones, else what the descriptor declares."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeVar

import attrs

from domogik.components.model import STARTUP_KEY, ConfigurationKey, ConfigValue
from domogik.errors import OperationFailed, did_you_mean
from domogik.storage.database import BrokenDatabase
from domogik.storage.values import ConfigStore, InvalidConfigValue

#: how an unset value is written on xPL; an empty one would be no message for released Domogik
UNSET = "None"
#: how many `<key>-1`, `<key>-2`, ... of the interface keys there are
COUNT = "nb-int"
#: bytes; a datagram holds little more, and plugins get their values in one
LARGEST_VALUE = 1000

_KEY = re.compile(r"[a-z0-9-]{1,16}")
#: keys of plugins whose descriptor is on another host
_SECRET = re.compile(r"passw|passphrase|secret")
_NUMBERED = re.compile(r"(.+)-([1-9][0-9]{0,2})")
_NUMBER = re.compile(r"[+-]?[0-9]+([.][0-9]+)?", re.ASCII)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")

T = TypeVar("T")
Stored = list[ConfigValue]


@attrs.define(eq=False)
class Values:
    """Over a store. `keys(plugin)` are those that the descriptor here declares, None without one.

    A plugin of another host than `host` may be another release, with other keys.

    `nb-int` is kept by us, because plugins read no interface beyond it: a value of a higher number
    raises it, and the deletion of the last value of the highest one lowers it. Who sets it
    themselves, as Domoweb does, is believed.

    Everything raises `OperationFailed` where the store cannot do it.
    """

    store: ConfigStore
    _keys: Callable[[str], Sequence[ConfigurationKey] | None] = lambda plugin: None
    _host: str = ""
    #: told of host, plugin and key (None: all) whenever something is set or forgotten
    _changed: Callable[[str, str, str | None], None] = lambda host, plugin, key: None
    #: told what the database says where it fails
    _on_broken: Callable[[BrokenDatabase], None] = lambda error: None

    async def get(self, host: str, plugin: str, key: str) -> str:
        """Return the stored value, else the declared default, else `None` as text.

        `path-7` has no default even if `path` has one, since there would be no end of them. For
        `startup-plugin` only a stored value counts.
        """
        stored = await self._tried(self.store.get(host, plugin, key))
        if stored or key == STARTUP_KEY:
            return stored or UNSET
        declared = self._declared(plugin, key)
        return (declared.default if declared is not None else None) or UNSET

    def is_secret(self, plugin: str, key: str) -> bool:
        """Return whether it is a password; without a declaration, its name decides."""
        declared = self._declaration(plugin, key)
        return declared.type == "password" if declared else bool(_SECRET.search(key))

    async def list(
        self, host: str | None = None, plugin: str | None = None, key: str | None = None
    ) -> Stored:
        """Return the stored values, sorted."""
        return await self._tried(self.store.list(host, plugin, key))

    async def set(self, host: str, plugin: str, key: str, value: str) -> ConfigValue:
        """Keep it; an empty value or `None` as text unsets.

        `OperationFailed` too where the type does not allow it, or where xPL cannot carry it.
        """
        if value in ("", UNSET):
            await self.delete(host, plugin, key)
            return ConfigValue(host, plugin, key, "")
        if not _KEY.fullmatch(key):
            raise OperationFailed(f"'{key[:60]}' is no key: it is 1 to 16 of a-z, 0-9 and '-'")
        if _CONTROL.search(value):
            raise OperationFailed(f"{key} must be one line of text")
        if len(value.encode("utf-8", "replace")) > LARGEST_VALUE:
            raise OperationFailed(f"{key} must be at most {LARGEST_VALUE} bytes long")
        if host == self._host:
            check_key(self._keys(plugin), plugin, key)
        check(self._declaration(plugin, key), value)
        stored = await self._tried(self.store.set(host, plugin, key, value))
        number = self._number(plugin, key)
        if number > await self._count(host, plugin):
            await self._tried(self.store.set(host, plugin, COUNT, str(number)))
        self._changed(host, plugin, key)
        return stored

    async def delete(self, host: str, plugin: str, key: str | None = None) -> Stored:
        """Delete one value, or all of a plugin; return what was deleted."""
        gone = await self._tried(self.store.delete(host, plugin, key))
        self._changed(host, plugin, key)
        number = self._number(plugin, key or "")
        if gone and number and number == await self._count(host, plugin):
            left = await self._tried(self.store.list(host, plugin))
            highest = max((self._number(plugin, entry.key) for entry in left), default=0)
            if highest < number:
                await self._tried(
                    self.store.set(host, plugin, COUNT, str(highest) if highest else "")
                )
        return gone

    async def _tried(self, work: Awaitable[T]) -> T:
        try:
            return await work
        except BrokenDatabase as error:
            self._on_broken(error)
            raise OperationFailed(str(error)) from error
        except InvalidConfigValue as error:
            raise OperationFailed(str(error)) from error

    async def _count(self, host: str, plugin: str) -> int:
        text = await self._tried(self.store.get(host, plugin, COUNT)) or ""
        return int(text) if text.isascii() and text.isdigit() and len(text) < 4 else 0

    def _number(self, plugin: str, key: str) -> int:
        """Return 2 for `path-2` if `path` is declared as an interface key, else 0."""
        match = _NUMBERED.fullmatch(key)
        declared = self._declared(plugin, match[1]) if match is not None else None
        return int(match[2]) if match is not None and declared and declared.interface else 0

    def _declaration(self, plugin: str, key: str) -> ConfigurationKey | None:
        return declaration(self._keys(plugin) or (), key)

    def _declared(self, plugin: str, key: str) -> ConfigurationKey | None:
        return next((one for one in self._keys(plugin) or () if one.key == key), None)


def declaration(keys: Iterable[ConfigurationKey], name: str) -> ConfigurationKey | None:
    """Return the declaration of a stored key; `device-2` belongs to the interface key `device`."""
    match = _NUMBERED.fullmatch(name)
    several = match[1] if match is not None else ""
    for key in keys:
        if key.key == name or (key.interface and key.key == several):
            return key
    return None


def check_key(keys: Sequence[ConfigurationKey] | None, plugin: str, name: str) -> None:
    """Raise `OperationFailed` for a key that the plugin does not declare.

    With `keys` None, when the declarations are unknown, every key is accepted.
    """
    if keys is None or name in (COUNT, STARTUP_KEY) or declaration(keys, name) is not None:
        return
    known = sorted({STARTUP_KEY, *(key.key for key in keys)})
    see = f" See those it has: dmg_ctl config {plugin}"
    raise OperationFailed(f"{plugin} has no key '{name[:60]}'.{did_you_mean(name, known) or see}")


def check(declared: ConfigurationKey | None, value: str) -> None:
    """Raise `OperationFailed` with the reason if the value is invalid for the declared key.

    Values of unknown types are accepted as text.
    """
    if declared is None:
        return
    if declared.type == "boolean" and value not in ("True", "False"):
        raise OperationFailed(f"{declared.key} is True or False, not '{value}'")
    if declared.type in ("number", "integer", "int") and not _NUMBER.fullmatch(value.strip()):
        raise OperationFailed(f"{declared.key} is a number, not '{value}'")
    if declared.options and value not in declared.options:
        options = ", ".join(declared.options)
        raise OperationFailed(f"{declared.key} is one of {options}, not '{value}'")
