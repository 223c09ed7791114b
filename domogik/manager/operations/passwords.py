"""Which stored values are passwords, and who may see them?

The descriptor says it: keys of type `password`. Where the descriptor cannot be had (the plugin is
gone, its host is silent) that is unknown, and everything but plain switches and numbers is masked.
A stored key that a known descriptor does not declare is masked where its name is that of a secret.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

import attrs
from twisted.internet.defer import Deferred, gatherResults

from domogik.components.model import ConfigurationKey, ConfigValue
from domogik.errors import DomogikError
from domogik.manager.interfaces import IAllHosts
from domogik.manager.plugins.values import check_key, declaration
from domogik.xpl.node.configuration import MASK

#: keys that no descriptor declares; rather one too many than one too few
_SECRET = re.compile(r"passw|passphrase|secret|pwd|token|credential|api-?key|\b(?:pw|pin|pass)\b")
_HARMLESS = re.compile(r"(?:|True|False|\d{1,4})")


def masked(value: ConfigValue, declared: Sequence[ConfigurationKey] | None) -> ConfigValue:
    """Return the value without its password; `declared` is None where the keys are unknown."""
    key = None if declared is None else declaration(declared, value.key)
    if declared is None:
        secret = not _HARMLESS.fullmatch(value.value)
    elif key is None:
        secret = bool(_SECRET.search(value.key)) and not _HARMLESS.fullmatch(value.value)
    else:
        secret = key.type == "password" and value.value != ""
    return attrs.evolve(value, value=MASK) if secret else value


async def declared_keys(
    all_hosts: IAllHosts, host: str, plugin: str
) -> tuple[ConfigurationKey, ...] | None:
    """What the plugin's descriptor declares; None where it cannot be had."""
    try:
        detail = await all_hosts.detail(all_hosts.find(f"plugin:{plugin}", host))
    except DomogikError:
        return None
    return detail.configuration


async def for_caller(
    all_hosts: IAllHosts, values: Iterable[ConfigValue], sees_passwords: bool
) -> list[ConfigValue]:
    """The values as this caller may see them."""
    if sees_passwords:
        return list(values)
    values = list(values)
    owners = sorted({(value.host, value.plugin) for value in values})
    # all at once: a silent host costs its time-out once, not once for each plugin
    asking = [Deferred.fromCoroutine(declared_keys(all_hosts, *owner)) for owner in owners]
    known = dict(zip(owners, await gatherResults(asking), strict=True))
    return [masked(value, known[value.host, value.plugin]) for value in values]


async def store(all_hosts: IAllHosts, host: str, plugin: str, key: str, value: str) -> ConfigValue:
    """Store a value, except the mask itself where it stands for a value that is there.

    `OperationFailed` for a key that the descriptor, where it can be had, does not declare.
    """
    if value == MASK:
        for kept in await all_hosts.config_list(host, plugin, key):
            return kept
    if value and host != all_hosts.host:  # dbmgr knows the descriptors of its own host
        # without a descriptor there the answer has no keys
        check_key(await declared_keys(all_hosts, host, plugin) or None, plugin, key)
    return await all_hosts.config_set(host, plugin, key, value)
