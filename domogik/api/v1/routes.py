"""The route table: what dispatches is what the OpenAPI document is made from."""

from __future__ import annotations

import json
import re
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

import attrs

from domogik.api.access import Need
from domogik.api.http.exchange import BadRequest, Call, Reply, Stream
from domogik.api.v1.problems import NoSuchPath, WrongMethod

Schema = Mapping[str, object]
JSON = "application/json"
BASE = "/api/v1"


def matching(pattern: re.Pattern[str]) -> Schema:
    """A text that is the whole of what `pattern` matches."""
    return {"type": "string", "pattern": f"^{pattern.pattern}$"}


@attrs.frozen
class Parameter:
    """One value of the query: what is told of it is what is accepted."""

    name: str
    description: str
    schema: Schema
    required: bool = False

    def check(self, given: str | None) -> None:
        """Raises `BadRequest`."""
        if given is None:
            if self.required:
                raise BadRequest(f"{self.name} is missing: {self.description}")
            return
        complaint = _complaint(self.schema, given)
        if complaint:
            raise BadRequest(f"{self.name} {complaint}")


def _complaint(schema: Schema, given: str) -> str:
    """What is wrong with a text by the schema: of these, by the few words that ours use."""
    if "anyOf" in schema:
        return "is true or false" if given.lower() not in FLAGS else ""
    options: Any = schema.get("enum")
    if options is not None:
        return "" if given in options else f"is one of {', '.join(options)}"
    if schema["type"] == "integer":
        if not (given.isascii() and given.isdigit()):
            return "is not a number"
        least, most = schema.get("minimum", 0), schema.get("maximum")
        # as many digits as no bound has are not counted
        number: Any = int(given) if len(given) < 20 else 10**20
        if number < least or (most is not None and number > most):
            return f"is from {least} to {most}"
    pattern: Any = schema.get("pattern")
    if pattern is not None and not re.fullmatch(pattern, given):
        return f"does not match {pattern}"
    return ""


#: how yes and no are written
FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
FLAG: Schema = {
    "anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["yes", "no", "1", "0"]}],
}


@attrs.frozen
class Asked:
    """A call, with the names of its path filled in."""

    call: Call
    values: Mapping[str, str]

    def __getitem__(self, name: str) -> str:
        return self.values[name]

    def text(self, name: str) -> str | None:
        """A parameter of the query; an empty one counts as absent."""
        return self.call.query.get(name) or None

    def integer(self, name: str, default: int) -> int:
        """A parameter that `Parameter.check` has passed."""
        given = self.text(name)
        return default if given is None else int(given)

    def flag(self, name: str, default: bool = False) -> bool:
        """As `integer`."""
        given = self.text(name)
        return default if given is None else FLAGS[given.lower()]

    def body(self) -> Mapping[str, object]:
        """The JSON object that was sent; raises `BadRequest`."""
        content = self.call.request.content
        try:
            document = json.loads(content.read() if content is not None else b"")
        except (ValueError, RecursionError) as error:
            raise BadRequest("The body is not JSON") from error
        if not isinstance(document, dict):
            raise BadRequest("The body is not a JSON object")
        return document


Handler = Callable[[Asked], Awaitable[Reply | Stream]]


@attrs.frozen
class Route:
    """One operation. `answers`: content type to schema; `errors`: beside 400, 401, 403 and 500.

    `accepted` is the shape of a 202 that may come instead, `body_types` what a body can be sent as.
    """

    method: str
    path: str
    name: str
    summary: str
    handler: Handler
    answers: Mapping[str, Schema]
    status: int = 200
    need: Need = Need.READ
    query: tuple[Parameter, ...] = ()
    body: Schema | None = None
    body_types: tuple[str, ...] = (JSON,)
    accepted: Schema | None = None
    errors: tuple[int, ...] = ()
    description: str = ""
    parts: tuple[str, ...] = attrs.field(init=False)

    @parts.default
    def _parts(self) -> tuple[str, ...]:
        return tuple(self.path.strip("/").split("/"))

    @property
    def names(self) -> tuple[str, ...]:
        """The names in the path, in their order."""
        return tuple(part[1:-1] for part in self.parts if part.startswith("{"))

    def check(self, call: Call) -> None:
        """Raises `BadRequest` for a query that is not as it is described."""
        for parameter in self.query:
            parameter.check(call.query.get(parameter.name))

    def match(self, parts: Sequence[str]) -> Mapping[str, str] | None:
        """The names filled in, where the path is this one."""
        if len(parts) != len(self.parts):
            return None
        values = {}
        for word, part in zip(self.parts, parts, strict=True):
            if word.startswith("{") and part:
                values[word[1:-1]] = part
            elif word != part:
                return None
        return values


@attrs.define(eq=False)
class RouteTable:
    """All of them; nothing else is served."""

    routes: Sequence[Route]

    def find(self, call: Call) -> tuple[Route, Asked]:
        """Raises `NoSuchPath`, or `WrongMethod` with what would do. HEAD is served by GET."""
        matched = [
            (route, values)
            for route in self.routes
            if (values := route.match(call.parts)) is not None
        ]
        # `/packages/offers` is no package called so (OpenAPI: concrete paths come first)
        fewest = min((len(values) for _, values in matched), default=0)
        matched = [(route, values) for route, values in matched if len(values) == fewest]
        if not matched:
            raise NoSuchPath(f"There is nothing at /{'/'.join(call.parts)}")
        method = "GET" if call.method == "HEAD" else call.method
        for route, values in matched:
            if route.method == method:
                return route, Asked(call, values)
        raise WrongMethod(call.method, allowed(route for route, _ in matched))


def allowed(routes: Iterable[Route]) -> tuple[str, ...]:
    """The methods of these routes, with those that come for free."""
    methods = [route.method for route in routes]
    if "GET" in methods:
        methods.append("HEAD")
    return (*methods, "OPTIONS")


def json_reply(document: object, status: int = 200) -> Reply:
    """A document as an answer."""
    body = json.dumps(document).encode("ascii")
    return Reply(status, body, JSON, (("Cache-Control", "no-store"),))
