"""`/components/{id}/config`: what can be set for a plugin, and what is set."""

from __future__ import annotations

import attrs

from domogik.api import passwords
from domogik.api.access import Need
from domogik.api.http.exchange import BadRequest, Reply
from domogik.api.v1.components import HOST, NAMING, ONE, find
from domogik.api.v1.routes import JSON, Asked, Route, json_reply
from domogik.api.v1.shapes.components import key_json, named
from domogik.components.model import Component, Kind
from domogik.errors import NotPossible
from domogik.manager.interfaces import IAllHosts

_CONFIG = f"{ONE}/config"
_KEY = f"{_CONFIG}/{{key}}"
_STORED = {JSON: named("StoredValue")}


@attrs.define(eq=False)
class ConfigurationRoutes:
    """Passwords are masked for who shows no token; the mask given back changes nothing."""

    _all_hosts: IAllHosts

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        errors = (*NAMING, 504)
        return (
            Route(
                "GET",
                _CONFIG,
                "getConfiguration",
                "The keys that its descriptor declares, and the values that are stored or hold",
                self.get,
                {JSON: named("Configuration")},
                query=(HOST,),
                errors=errors,
            ),
            Route(
                "PUT",
                _KEY,
                "setValue",
                "Store one value; an empty one deletes",
                self.put,
                _STORED,
                need=Need.CHANGE,
                query=(HOST,),
                body=named("Value"),
                errors=errors,
            ),
            Route(
                "DELETE",
                _KEY,
                "deleteValue",
                "Forget one value; the default of the descriptor holds again",
                self.delete,
                _STORED,
                need=Need.CHANGE,
                query=(HOST,),
                errors=errors,
            ),
        )

    async def get(self, asked: Asked) -> Reply:
        """Return keys in the order of the descriptor, or what the section of a daemon came to."""
        component = find(self._all_hosts, asked)
        if component.id.kind.has_own_list:
            values = dict((await self._all_hosts.detail(component)).values)
            return json_reply(
                {"id": str(component.id), "host": component.host, "keys": [], "values": values}
            )
        component = self._plugin(asked)
        detail = await self._all_hosts.detail(component)
        stored = await self._all_hosts.config_list(component.host, component.name)
        if not asked.call.caller.sees_passwords:
            stored = [passwords.masked(value, detail.configuration) for value in stored]
        keys = sorted(detail.configuration, key=lambda key: key.id)
        return json_reply(
            {
                "id": str(component.id),
                "host": component.host,
                "keys": [key_json(key) for key in keys],
                "values": {value.key: value.value for value in stored},
            }
        )

    async def put(self, asked: Asked) -> Reply:
        """The value as it is stored."""
        component = self._plugin(asked)
        body = asked.body()
        value = body.get("value")
        if not isinstance(value, str) or len(body) > 1:
            raise BadRequest("The body is {'value': text}")
        if any(ord(character) < 32 for character in value):
            raise BadRequest("A value is one line without control characters")
        row = await passwords.store(
            self._all_hosts, component.host, component.name, asked["key"], value
        )
        shown = await passwords.for_caller(self._all_hosts, [row], asked.call.caller)
        return json_reply({"key": shown[0].key, "value": shown[0].value})

    async def delete(self, asked: Asked) -> Reply:
        """What is stored afterwards: nothing."""
        component = self._plugin(asked)
        await self._all_hosts.config_delete(component.host, component.name, asked["key"])
        return json_reply({"key": asked["key"], "value": ""})

    def _plugin(self, asked: Asked) -> Component:
        component = find(self._all_hosts, asked)
        if component.id.kind is not Kind.PLUGIN:
            raise NotPossible(f"{component.id} has no stored configuration")
        return component
