"""The door of `/api/v1` and `/metrics`: a call in, an answer or a problem out."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.api.http.exchange import Call, Reply, Stream
from domogik.api.v1 import openapi
from domogik.api.v1.problems import Problem, WrongMethod, problem_of
from domogik.api.v1.routes import BASE, JSON, Asked, Route, RouteTable, json_reply
from domogik.errors import DomogikError


@attrs.define(eq=False)
class V1:
    """Every route and their description."""

    _given: Sequence[Route]
    _version: str
    table: RouteTable = attrs.field(init=False)
    _description: Reply | None = None
    _log: Logger = Logger()

    def __attrs_post_init__(self) -> None:
        description = Route(
            "GET",
            f"{BASE}/openapi.json",
            "getDescription",
            "This document",
            self.describe,
            {JSON: {"type": "object"}},
        )
        self.table = RouteTable((*self._given, description))

    async def describe(self, asked: Asked) -> Reply:
        """OpenAPI 3.1; made once, for that takes its time."""
        if self._description is None:
            self._description = json_reply(openapi.document(self.table.routes, self._version))
        return self._description

    async def answer(self, call: Call) -> Reply | Stream:
        """Never raises what a request can cause."""
        try:
            if call.method == "OPTIONS":
                return self._options(call)
            route, asked = self.table.find(call)
            call.allow(route.need)
            route.check(call)
            return await route.handler(asked)
        except Exception as error:  # noqa: BLE001 - the door: every request gets an answer
            return self.failed(error)

    def failed(self, error: Exception) -> Reply:
        """The problem it is; what has no status is logged and 500, with its text if it is ours."""
        problem = problem_of(error)
        if problem is None:
            self._log.failure("a path of /api/v1 failed", failure=Failure(error))
            ours = isinstance(error, DomogikError)
            problem = Problem(500, str(error) if ours else "Internal error, see the log")
        return problem.reply()

    def _options(self, call: Call) -> Reply:
        try:
            self.table.find(call)
        except WrongMethod as error:
            return Reply(204, b"", "", (("Allow", ", ".join(error.allowed)),))
        raise AssertionError("no route has the method OPTIONS")
