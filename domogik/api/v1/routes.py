"""The route table: what dispatches is what the OpenAPI document is made from."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence

import attrs

from domogik.api.access import Need
from domogik.api.exchange import BadRequest, Call, Reply, Stream
from domogik.api.v1.problems import NoSuchPath, WrongMethod

Schema = Mapping[str, object]
JSON = "application/json"
BASE = "/api/v1"


@attrs.frozen
class Parameter:
    """One value of the query; only `name` and `schema` are obeyed, the rest is told."""

    name: str
    description: str
    schema: Schema


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

    def integer(self, name: str, default: int, least: int, most: int) -> int:
        """Raises `BadRequest` for what is not a number within the bounds."""
        given = self.text(name)
        if given is None:
            return default
        if not (given.isascii() and given.isdigit() and len(given) < 10):
            raise BadRequest(f"{name} is not a number")
        if not least <= int(given) <= most:
            raise BadRequest(f"{name} is from {least} to {most}")
        return int(given)

    def flag(self, name: str, default: bool = False) -> bool:
        """Raises `BadRequest` for what is neither yes nor no."""
        given = self.text(name)
        if given is None:
            return default
        if given.lower() in ("1", "true", "yes"):
            return True
        if given.lower() in ("0", "false", "no"):
            return False
        raise BadRequest(f"{name} is true or false")

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

    `accepted` is the shape of a 202 that may come instead, `body_type` what kind of body is sent.
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
    body_type: str = JSON
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
