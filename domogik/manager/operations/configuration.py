"""What can be set for a plugin, and what is set; what the section of a daemon or unit came to."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from domogik.components.model import Component, Kind
from domogik.errors import NoAnswer, NotPossible
from domogik.manager.operations import answers, passwords
from domogik.manager.operations.parameters import InvalidParameter
from domogik.manager.operations.table import COMPONENT, NAMING, Context, operation

_OF_COMPONENT: dict[str, Any] = {"subject": COMPONENT, "errors": (*NAMING, NoAnswer)}
_KEY = "/components/{id}/config/{key}"


@operation(
    "component.config",
    "GET /components/{id}/config",
    answers.CONFIGURATION,
    identifier="getConfiguration",
    **_OF_COMPONENT,
)
async def get(context: Context, component: Component) -> dict[str, Any]:
    """The keys that its descriptor declares, and the values that are stored or hold."""
    all_hosts = context.all_hosts
    head = {"id": component.id, "host": component.host}
    if component.id.kind.has_own_list:
        values = (await all_hosts.detail(component)).values
        return {**head, "keys": [], "values": values}
    _check_plugin(component)
    declared = (await all_hosts.detail(component)).configuration
    stored = await all_hosts.config_list(component.host, component.name)
    if not context.sees_passwords:
        stored = [passwords.masked(value, declared) for value in stored]
    keys = sorted(declared, key=lambda key: key.id)
    return {**head, "keys": keys, "values": {value.key: value.value for value in stored}}


@operation(
    "component.config_set",
    f"PUT {_KEY}",
    answers.STORED_VALUE,
    identifier="setValue",
    body=answers.VALUE,
    **_OF_COMPONENT,
)
async def store(
    context: Context, component: Component, key: str, body: Mapping[str, object]
) -> dict[str, Any]:
    """Store one value; an empty one deletes."""
    _check_plugin(component)
    value = body.get("value")
    if not isinstance(value, str) or len(body) > 1:
        raise InvalidParameter("The body is {'value': text}")
    if any(ord(character) < 32 for character in value):
        raise InvalidParameter("A value is one line without control characters")
    all_hosts = context.all_hosts
    row = await passwords.store(all_hosts, component.host, component.name, key, value)
    (shown,) = await passwords.for_caller(all_hosts, [row], context.sees_passwords)
    return {"key": shown.key, "value": shown.value}


@operation(
    "component.config_delete",
    f"DELETE {_KEY}",
    answers.STORED_VALUE,
    identifier="deleteValue",
    **_OF_COMPONENT,
)
async def delete(context: Context, component: Component, key: str) -> dict[str, Any]:
    """Forget one value; the default of the descriptor holds again."""
    _check_plugin(component)
    await context.all_hosts.config_delete(component.host, component.name, key)
    return {"key": key, "value": ""}


def _check_plugin(component: Component) -> None:
    if component.id.kind is not Kind.PLUGIN:
        raise NotPossible(f"{component.id} has no stored configuration")
