"""The OpenAPI 3.1 document, made from the table that dispatches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from domogik.api.access import Need
from domogik.api.v1.problems import CONTENT_TYPE
from domogik.api.v1.routes import JSON, Route, Schema, matching
from domogik.api.v1.shapes.components import INTEGER, SCHEMAS, named
from domogik.api.v1.shapes.health import HEALTH_SCHEMAS
from domogik.api.v1.shapes.packages import PACKAGE_SCHEMAS, TYPE
from domogik.packages.descriptor.reference import ID, TYPES

#: what a name of a path can be; others are one line of text
_NAMES: Mapping[str, Schema] = {
    "type": TYPE,
    "job": {**INTEGER, "minimum": 0},
    "fullname": {"type": "string", "pattern": f"^({'|'.join(TYPES)})-{ID.pattern}$"},
}
_LINE: Schema = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]+$"}

#: any path can end in one of these
_ALWAYS = (400, 401, 403, 500)


def document(routes: Iterable[Route], version: str) -> dict[str, object]:
    """Everything in `routes`, and nothing else."""
    paths: dict[str, dict[str, object]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Domogik",
            "version": version,
            "description": (
                "Reading is open on loopback and needs the token from elsewhere; changing always "
                "needs it. Errors are problem details (RFC 9457)."
            ),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {
            "schemas": {**SCHEMAS, **PACKAGE_SCHEMAS, **HEALTH_SCHEMAS},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The text of `admin.token` in the home.",
                }
            },
        },
    }


def _operation(route: Route) -> dict[str, object]:
    operation: dict[str, object] = {
        "operationId": route.name,
        "summary": route.summary,
        "security": [{}, {"token": []}] if route.need is Need.READ else [{"token": []}],
        "responses": _responses(route),
    }
    if route.description:
        operation["description"] = route.description
    parameters: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": _name(route, name)}
        for name in route.names
    ]
    parameters += [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "schema": parameter.schema,
            **({"required": True} if parameter.required else {}),
        }
        for parameter in route.query
    ]
    if parameters:
        operation["parameters"] = parameters
    if route.body is not None:
        operation["requestBody"] = {
            "required": True,
            "content": {kind: {"schema": route.body} for kind in route.body_types},
        }
    return operation


def _name(route: Route, name: str) -> Schema:
    if name == "id" and "type" in route.names:
        return matching(ID)
    return _NAMES.get(name, _LINE)


def _responses(route: Route) -> dict[str, object]:
    responses: dict[str, object] = {
        str(route.status): {
            "description": HTTPStatus(route.status).phrase,
            "content": {kind: {"schema": schema} for kind, schema in route.answers.items()},
        }
    }
    if route.accepted is not None:
        responses["202"] = {
            "description": HTTPStatus.ACCEPTED.phrase,
            "content": _content(route.accepted, JSON),
        }
    too_large = (413,) if route.body is not None else ()
    for status in sorted({*_ALWAYS, *too_large, *route.errors}):
        responses[str(status)] = {
            "description": HTTPStatus(status).phrase,
            "content": {CONTENT_TYPE: {"schema": named("Problem")}},
        }
    return responses


def _content(schema: Schema, kind: str) -> Mapping[str, object]:
    return {kind: {"schema": schema}}
