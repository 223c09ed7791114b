"""The OpenAPI 3.1 document, made from the table that dispatches."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from http import HTTPStatus

from domogik.api.http.problems import CONTENT_TYPE, status_of
from domogik.api.v1.served import JSON, Served
from domogik.manager.operations.answers import TYPE
from domogik.manager.operations.parameters import matching
from domogik.manager.operations.shape import INTEGER, SCHEMAS, TEXT, Schema, listed
from domogik.manager.operations.table import Right
from domogik.packages.descriptor.reference import ID, TYPES

#: what a name of a path can be; others are one line of text
_NAMES: Mapping[str, Schema] = {
    "type": TYPE.schema,
    "job": {**INTEGER.schema, "minimum": 0},
    "fullname": {"type": "string", "pattern": f"^({'|'.join(TYPES)})-{ID.pattern}$"},
}
_LINE: Schema = {"type": "string", "pattern": r"^[^\x00-\x1f\x7f]+$"}
_PROBLEM: Schema = {
    "type": "object",
    "properties": {
        "type": TEXT.schema,
        "title": TEXT.schema,
        "status": INTEGER.schema,
        "detail": TEXT.schema,
        "candidates": listed(TEXT).schema,
    },
    "required": ["type", "title", "status", "detail"],
}

#: any path can end in one of these
_ALWAYS = (400, 401, 403, 500)


def document(served: Iterable[Served], version: str) -> dict[str, object]:
    """Everything that is served, and nothing else."""
    paths: dict[str, dict[str, object]] = {}
    for one in served:
        operation = one.operation
        paths.setdefault(operation.path, {})[operation.method.lower()] = _operation(one)
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
            "schemas": {**SCHEMAS, "Problem": _PROBLEM},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "The text of `admin.token` in the home.",
                }
            },
        },
    }


def _operation(served: Served) -> dict[str, object]:
    operation = served.operation
    is_open = operation.right is Right.READ
    told: dict[str, object] = {
        "operationId": operation.identifier,
        "summary": operation.summary,
        "security": [{}, {"token": []}] if is_open else [{"token": []}],
        "responses": _responses(served),
    }
    if operation.description:
        told["description"] = operation.description
    names = [part[1:-1] for part in operation.path.split("/") if part.startswith("{")]
    parameters: list[dict[str, object]] = [
        {"name": name, "in": "path", "required": True, "schema": _name(names, name)}
        for name in names
    ]
    parameters += [
        {
            "name": parameter.name,
            "in": "query",
            "description": parameter.description,
            "schema": parameter.schema,
            **({"required": True} if parameter.required else {}),
        }
        for parameter in operation.query
    ]
    if parameters:
        told["parameters"] = parameters
    if operation.body is not None:
        schema = operation.body.schema
        content = {kind: {"schema": schema} for kind in served.body_types}
        told["requestBody"] = {"required": True, "content": content}
    return told


def _name(names: list[str], name: str) -> Schema:
    if name == "id" and "type" in names:
        return matching(ID)
    return _NAMES.get(name, _LINE)


def _responses(served: Served) -> dict[str, object]:
    operation = served.operation
    contents = served.contents or {JSON: operation.answer.schema}
    responses: dict[str, object] = {str(operation.status): _response(operation.status, contents)}
    if operation.job:
        responses["202"] = _response(202, {JSON: {"$ref": "#/components/schemas/Job"}})
    too_large = (413,) if operation.body is not None else ()
    errors = {status_of(error) for error in operation.errors}
    problem = {CONTENT_TYPE: {"$ref": "#/components/schemas/Problem"}}
    for status in sorted({*_ALWAYS, *too_large, *errors, *served.statuses}):
        responses[str(status)] = _response(status, problem)
    return responses


def _response(status: int, contents: Mapping[str, Schema]) -> dict[str, object]:
    return {
        "description": HTTPStatus(status).phrase,
        "content": {kind: {"schema": schema} for kind, schema in contents.items()},
    }
