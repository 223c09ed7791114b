"""What operations take: one description of a parameter tells of it and checks what is given."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import attrs

from domogik.errors import DomogikError
from domogik.manager.operations.shape import INTEGER, TEXT, Schema

#: how yes and no are written
FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
FLAG: Schema = {
    "anyOf": [{"type": "boolean"}, {"type": "string", "enum": ["yes", "no", "1", "0"]}],
}


class InvalidParameter(DomogikError):
    """What was given cannot be read; the text says what is wrong with it."""


@attrs.frozen
class Parameter:
    """One value that an operation takes: what is told of it is what is accepted.

    `choices` gives the words that it can be, where they are known only when it is asked for. On a
    terminal one that `is_word` stands by its place; others are options, unless they are required.
    """

    name: str
    description: str
    _schema: Schema
    required: bool = False
    is_word: bool = False
    _choices: Callable[[], list[str]] | None = None

    @property
    def schema(self) -> Schema:
        """As it is now."""
        return {**self._schema, "enum": self._choices()} if self._choices else self._schema

    def read(self, given: str | None) -> Any:
        """The value, its default where nothing is given; raises `InvalidParameter`."""
        if given is None:
            if self.required:
                raise InvalidParameter(f"{self.name} is missing: {self.description}")
            return self.schema.get("default")
        complaint = _complaint(self.schema, given)
        if complaint:
            raise InvalidParameter(f"{self.name} {complaint}")
        if "anyOf" in self.schema:
            return FLAGS[given.lower()]
        if self.schema["type"] == "integer":
            return _number(given)
        return given or None


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
        number: Any = _number(given)
        if number < least or (most is not None and number > most):
            return f"is from {least} to {most}"
    pattern: Any = schema.get("pattern")
    if pattern is not None and not re.fullmatch(pattern, given):
        return f"does not match {pattern}"
    return ""


def _number(digits: str) -> int:
    """As many digits as no bound has are not counted."""
    return int(digits) if len(digits) < 20 else 10**20


def matching(pattern: re.Pattern[str]) -> Schema:
    """A text that is the whole of what `pattern` matches."""
    return {"type": "string", "pattern": f"^{pattern.pattern}$"}


def flag(name: str, description: str, default: bool = False) -> Parameter:
    """A parameter that is yes or no."""
    return Parameter(name, description, {**FLAG, "default": default})


HOST = Parameter("host", "The host it is on, by default the one that answers.", TEXT.schema)
OF_HOST = Parameter("host", "Only those of one host.", TEXT.schema)
WAIT = flag(
    "wait",
    "With `no` the answer is 202 and the job, at once; its end is an event `job.changed`.",
    default=True,
)
LAST_EVENT_ID = Parameter(
    "last_event_id",
    "Begin behind this one, as the header Last-Event-ID does.",
    {**INTEGER.schema, "minimum": 0},
)
