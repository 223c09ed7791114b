"""How a value looks in JSON: one description from which come its JSON and its schema.

A shape of a text or number is its schema, and where the value is no JSON yet, what makes JSON of
it. A `record` names its fields once: the schema is made of theirs, and each is taken from the
attribute of that name, from another one (`TEXT.of("id.name")`), or from a dict.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from operator import attrgetter
from typing import Any

import attrs

Schema = Mapping[str, object]

#: the schemas of records that have a name
SCHEMAS: dict[str, Schema] = {}


#: in place of an attribute: the whole value
WHOLE = "."


@attrs.frozen(eq=False)
class Shape:
    """`encode` None: the value is JSON as it is. `items` is the shape of what a list holds."""

    schema: Schema
    encode: Callable[[Any], Any] | None = None
    path: str = ""
    items: Shape | None = None
    fields: Mapping[str, Shape] = attrs.field(factory=dict)

    def of(self, path: str) -> Shape:
        """The same, of a field that is taken from another attribute than that of its name."""
        return attrs.evolve(self, path=path)

    def json(self, value: Any) -> Any:
        """What `json.dumps` takes."""
        return value if self.encode is None else self.encode(value)


@lru_cache(maxsize=2048)  # a list shows the same moments again and again
def iso_time(seconds: float | None) -> str | None:
    """Unix time as ISO 8601 in UTC; 0 is no time."""
    if not seconds or seconds < 0:
        return None
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


TEXT = Shape({"type": "string"})
#: a value that is no text, as `str` has it
TEXT_OF = Shape(TEXT.schema, str)
NUMBER = Shape({"type": "number"})
INTEGER = Shape({"type": "integer"})
BOOLEAN = Shape({"type": "boolean"})
TIME = Shape({"type": ["string", "null"], "format": "date-time"}, iso_time)
OBJECT = Shape({"type": "object"}, dict)
TEXTS_BY_NAME = Shape({"type": "object", "additionalProperties": TEXT.schema}, dict)


def word_of(words: type[enum.Enum]) -> Shape:
    """One of the words of an enumeration."""
    schema = {"type": "string", "enum": [one.value for one in words]}
    return Shape(schema, attrgetter("_value_"))  # `value` is a property, and slow


def maybe(shape: Shape) -> Shape:
    """The shape, or null."""
    schema = shape.schema
    schema = (
        {**schema, "type": [schema["type"], "null"]}
        if "type" in schema
        else {"oneOf": [schema, {"type": "null"}]}
    )
    encode = shape.encode
    if encode is None:
        return Shape(schema)
    return Shape(schema, lambda value: None if value is None else encode(value))


def listed(items: Shape) -> Shape:
    """A list of these."""
    encode = items.encode or (lambda item: item)
    schema = {"type": "array", "items": items.schema}
    return Shape(schema, lambda values: [encode(value) for value in values], items=items)


def record(name: str = "", /, **fields: Shape) -> Shape:
    """An object that has all of these fields, always, and nothing else."""
    schema: Schema = {
        "type": "object",
        "properties": {field: shape.schema for field, shape in fields.items()},
        "required": list(fields),
        "additionalProperties": False,
    }
    plan = [(field, _getter(shape.path or field), shape.encode) for field, shape in fields.items()]

    def encode(value: Any) -> dict[str, Any]:
        if isinstance(value, dict):
            return {field: shape.json(value[field]) for field, shape in fields.items()}
        return {
            field: get(value) if encode is None else encode(get(value))
            for field, get, encode in plan
        }

    return named(name, schema, encode, fields)


def _getter(path: str) -> Callable[[Any], Any]:
    return (lambda value: value) if path == WHOLE else attrgetter(path)


def named(
    name: str,
    schema: Schema,
    encode: Callable[[Any], Any] | None = None,
    fields: Mapping[str, Shape] | None = None,
) -> Shape:
    """A shape that others refer to by its name, where it has one."""
    if name:
        SCHEMAS[name] = schema
        schema = {"$ref": f"#/components/schemas/{name}"}
    return Shape(schema, encode, fields=fields or {})
