"""`/components/daemon:<name>`: what only managed daemons can do."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

import attrs

from domogik.api.access import Need
from domogik.api.http.exchange import Reply
from domogik.api.package_access import PackageAccess
from domogik.api.v1.components import HOST, NAMING, ONE, find
from domogik.api.v1.jobs import WAIT, carried_out
from domogik.api.v1.routes import JSON, Asked, Parameter, Route, json_reply, matching
from domogik.api.v1.shapes.components import backup_json, component_json, named
from domogik.manager.daemons.backups import FILE_NAME
from domogik.manager.interfaces import IAllHosts

_FILE = Parameter(
    "file", "Its name among the backups of this host; no path.", matching(FILE_NAME), required=True
)
_OPTIONAL_FILE = Parameter(
    "file",
    "A new name among the backups of this host, by default of daemon and time.",
    matching(FILE_NAME),
)
_HERE = "Of what runs on this host only: elsewhere it is `Not available from another host`."


@attrs.define(eq=False)
class DaemonRoutes:
    """Reload, credentials, backups."""

    _all_hosts: IAllHosts
    _package_access: PackageAccess

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""

        def route(
            method: str,
            path: str,
            name: str,
            summary: str,
            handler: Callable[[Asked], Coroutine[Any, Any, Reply]],
            shape: str,
            need: Need = Need.CHANGE,
            query: tuple[Parameter, ...] = (),
            is_job: bool = False,
        ) -> Route:
            return Route(
                method,
                f"{ONE}/{path}",
                name,
                summary,
                handler,
                {JSON: named(shape)},
                need=need,
                query=(HOST, *query, *((WAIT,) if is_job else ())),
                accepted=named("Job") if is_job else None,
                errors=NAMING,
                description=_HERE,
            )

        return (
            route(
                "POST",
                "reload",
                "reloadComponent",
                "Have it read its configuration again",
                self.reload,
                "Component",
            ),
            route(
                "GET",
                "credentials",
                "getCredentials",
                "Where it is reached, with its password: for the token only",
                self.credentials,
                "Credentials",
                Need.PRIVATE,
            ),
            route(
                "GET",
                "backups",
                "listBackups",
                "The files there are",
                self.backups,
                "BackupList",
                Need.READ,
            ),
            route(
                "POST",
                "backup",
                "backUpComponent",
                "Write all its data into a new file",
                self.backup,
                "Backup",
                query=(_OPTIONAL_FILE,),
                is_job=True,
            ),
            route(
                "POST",
                "restore",
                "restoreComponent",
                "Put a backup in place of its data; who needs it is stopped meanwhile",
                self.restore,
                "Component",
                query=(_FILE,),
                is_job=True,
            ),
        )

    async def reload(self, asked: Asked) -> Reply:
        """As its section says now."""
        component = find(self._all_hosts, asked)
        await self._all_hosts.reload(component)
        return self._shown(asked)

    async def credentials(self, asked: Asked) -> Reply:
        """A URL, as its clients take it."""
        component = find(self._all_hosts, asked)
        url = self._all_hosts.credentials(component)
        return json_reply({"id": str(component.id), "host": component.host, "url": url})

    async def backups(self, asked: Asked) -> Reply:
        """The newest first."""
        found = await self._all_hosts.backups(find(self._all_hosts, asked))
        return json_reply({"backups": [backup_json(one) for one in found]})

    async def backup(self, asked: Asked) -> Reply:
        """A job."""
        component, file = find(self._all_hosts, asked), asked.text("file")
        return await carried_out(
            asked,
            self._package_access,
            str(component.id),
            lambda: self._all_hosts.backup(component, file),
            lambda backup: json_reply(backup_json(backup)),
        )

    async def restore(self, asked: Asked) -> Reply:
        """A job."""
        component, file = find(self._all_hosts, asked), asked.call.query["file"]
        return await carried_out(
            asked,
            self._package_access,
            str(component.id),
            lambda: self._all_hosts.restore(component, file),
            lambda _: self._shown(asked),
        )

    def _shown(self, asked: Asked) -> Reply:
        return json_reply(component_json(find(self._all_hosts, asked)))
