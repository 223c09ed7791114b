"""`/repositories`: where packages come from, and what they offer now."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from domogik.api.access import Need
from domogik.api.http.exchange import Reply
from domogik.api.package_access import PackageAccess
from domogik.api.v1.jobs import WAIT, carried_out
from domogik.api.v1.routes import BASE, JSON, Asked, Route, json_reply
from domogik.api.v1.shapes.components import named
from domogik.api.v1.shapes.packages import repository_json
from domogik.manager.packages.interfaces import RepositoryInfo

_LIST = {JSON: named("RepositoryList")}


@attrs.define(eq=False)
class RepositoryRoutes:
    """Those of `sources.list`, and the local one."""

    _package_access: PackageAccess

    def routes(self) -> tuple[Route, ...]:
        """The lines of the table."""
        return (
            Route(
                "GET",
                f"{BASE}/repositories",
                "listRepositories",
                "The repositories, highest priority first",
                self.list,
                _LIST,
                errors=(409,),
                description=(
                    "`as_of` is when what it offers was fetched, null for never. What a repository"
                    " that is not `signed` offers may have been changed on its way; `expires` is"
                    " until when signatures are good."
                ),
            ),
            Route(
                "POST",
                f"{BASE}/repositories/refresh",
                "refreshRepositories",
                "Fetch what the repositories offer",
                self.refresh,
                _LIST,
                need=Need.CHANGE,
                query=(WAIT,),
                errors=(409,),
                accepted=named("Job"),
                description=(
                    "A repository that fails keeps what it offered before and says why in `error`."
                ),
            ),
        )

    async def list(self, asked: Asked) -> Reply:
        """With how the last refresh of each went."""
        return _reply(self._package_access.packages.repositories())

    async def refresh(self, asked: Asked) -> Reply:
        """All of them; one that fails is no failure of the request."""
        packages = self._package_access.packages
        return await carried_out(asked, packages, None, packages.refresh, _reply)


def _reply(repositories: Sequence[RepositoryInfo]) -> Reply:
    return json_reply({"repositories": [repository_json(one) for one in repositories]})
