"""`/api/v1` and `/metrics`: a call in, the answer of an operation or a problem out."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.api.encoding import Encoded, array
from domogik.api.http.exchange import BadRequest, Call, Reply, Stream
from domogik.api.http.problems import NoSuchPath, Problem, WrongMethod, problem_of
from domogik.api.router import Asked, Route, Router
from domogik.api.v1 import openapi
from domogik.api.v1.jobs import result_or_job
from domogik.api.v1.served import JSON, Served
from domogik.errors import DomogikError
from domogik.manager.operations import answers
from domogik.manager.operations.shape import OBJECT, Shape
from domogik.manager.operations.table import BASE, Context, Operation, Order, Where


@attrs.define(eq=False)
class V1:
    """Every operation of the table, those that HTTP answers in its own way, and the description."""

    _clock: IReactorTime
    _context: Context
    _version: str
    _table: Sequence[Operation]
    _own: Sequence[Served]
    served: Sequence[Served] = attrs.field(init=False)
    _router: Router[Served] = attrs.field(init=False)
    _offers: Encoded = attrs.field(init=False)
    _description: Reply | None = None
    _log: Logger = Logger()

    def __attrs_post_init__(self) -> None:
        description = Operation(
            "description", f"GET {BASE}/openapi.json", OBJECT, "This document", "getDescription"
        )
        self.served = (*map(Served, self._table), *self._own, Served(description, self.describe))
        self._router = Router([Route(one.pattern, one) for one in self.served])
        context = self._context = attrs.evolve(self._context, wants_warnings=True)
        events = context.all_hosts.events
        self._offers = Encoded(self._clock, answers.OFFER.json, context.offers, events)

    def stop(self) -> None:
        """Nothing goes on by itself any more."""
        self._offers.stop()

    async def describe(self, call: Call, order: Order) -> Reply:
        """OpenAPI 3.1; made once, for that takes its time."""
        if self._description is None:
            document = openapi.document(self.served, self._version)
            self._description = json_reply(json.dumps(document).encode("ascii"))
        return self._description

    async def answer(self, call: Call) -> Reply | Stream:
        """Never raises what a request can cause."""
        try:
            if call.method == "OPTIONS":
                return self._options(call)
            served, asked = self._find(call)
            context = call.acting_on(self._context)
            body = partial(_body, call) if served.handler is None else None
            order = served.operation.order(context, call.query, asked.values, body=body)
            if served.handler is not None:
                return await served.handler(call, order)
            return await self._carry_out(order)
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

    async def _carry_out(self, order: Order) -> Reply:
        operation, job = order.operation, None
        where = Where.ELSEWHERE if order.is_elsewhere else Where.HERE
        if where in operation.job:
            patience_s = self._context.all_hosts.patience_s if order.is_elsewhere else None
            result, job = await result_or_job(self._clock, order, patience_s)
        else:
            result = await order.begin()
        if job is None:
            return json_reply(await self.encoded(operation.answer, result), operation.status)
        location = ("Location", f"{BASE}/jobs/{job.id}")
        return json_reply(await self.encoded(answers.JOB, job), 202, location)

    async def encoded(self, shape: Shape, value: Any) -> bytes:
        """A value as JSON; what is long is encoded in several turns of the reactor."""
        if not isinstance(value, Mapping):
            return json.dumps(shape.json(value)).encode("ascii")
        parts = []
        for name, field in shape.fields.items():
            if field.items is answers.OFFER:
                text = await self._offers.array(value[name])
            elif field.items is not None:
                text = await array(self._clock, value[name], field.items.json)
            else:
                text = json.dumps(field.json(value[name])).encode("ascii")
            parts.append(b'"%s": %s' % (name.encode("ascii"), text))
        return b"{%s}" % b", ".join(parts)

    def _find(self, call: Call) -> tuple[Served, Asked]:
        """Raises `NoSuchPath`, or `WrongMethod` with what would do. HEAD is served by GET."""
        found = self._router.find(call, call.parts)
        method = "GET" if call.method == "HEAD" else call.method
        allowed: list[str] = []
        for route, asked in found:
            if "" not in asked.values.values():
                if route.handler.operation.method == method:
                    return route.handler, asked
                allowed.append(route.handler.operation.method)
        if not allowed:
            raise NoSuchPath(f"There is nothing at /{'/'.join(call.parts)}")
        head = ("HEAD",) if "GET" in allowed else ()
        raise WrongMethod(call.method, (*allowed, *head, "OPTIONS"))

    def _options(self, call: Call) -> Reply:
        try:
            self._find(call)
        except WrongMethod as error:
            return Reply(204, b"", "", (("Allow", ", ".join(error.allowed)),))
        raise AssertionError("no operation has the method OPTIONS")


def _body(call: Call) -> Mapping[str, object]:
    """The JSON object that was sent; raises `BadRequest`."""
    content = call.request.content
    try:
        document = json.loads(content.read() if content is not None else b"")
    except (ValueError, RecursionError) as error:
        raise BadRequest("The body is not JSON") from error
    if not isinstance(document, dict):
        raise BadRequest("The body is not a JSON object")
    return document


def json_reply(body: bytes, status: int = 200, *headers: tuple[str, str]) -> Reply:
    """A document as an answer."""
    return Reply(status, body, JSON, (("Cache-Control", "no-store"), *headers))
