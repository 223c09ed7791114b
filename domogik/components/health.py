"""What a look at a component found: one check, its result, and what a person can do about it."""

from __future__ import annotations

import enum
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import attrs

from domogik.errors import DomogikError

#: what a check may carry: values that JSON can say
Parameters = Mapping[str, object]
_NOTHING: Parameters = MappingProxyType({})
_PLACE = re.compile(r"\{\{|\}\}|\{(\w+)\}")
#: parameters that say why a check came out as it did
_REASONS = frozenset(("reason", "owner", "log", "active_state", "sub_state", "unit_file_state"))
#: parameters within parameters; what lies deeper is left out
_DEPTH = 4
_BITS = 1024


class InvalidCheck(DomogikError):
    """A check without a name cannot be found again."""


class Result(enum.StrEnum):
    """How a check came out; equal to its word."""

    NOT_DONE = "not_done"
    SKIPPED = "skipped"
    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    ERROR = "error"

    @property
    def is_issue(self) -> bool:
        """Whether somebody has to look at it."""
        return self in (Result.WARNING, Result.FAILED, Result.ERROR)


@attrs.frozen
class Suggestion:
    """What can be done about a check that did not pass.

    `action` is the word for it that the component's `repair` understands; `sentence` says it to a
    person. Where it is not `is_repairable` only the person can do it.
    """

    action: str
    sentence: str
    is_repairable: bool = True

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Suggestion:
        """What `to_json` gave."""
        return cls(str(content["action"]), str(content["sentence"]), content["repairable"] is True)

    def to_json(self) -> dict[str, object]:
        """As JSON can carry it."""
        return {
            "action": self.action,
            "sentence": self.sentence,
            "repairable": self.is_repairable,
        }


def _parameters(given: Mapping[str, object]) -> Parameters:
    return MappingProxyType({_key(key): _plain(value, _DEPTH) for key, value in given.items()})


def _without_reasons(parameters: Parameters) -> dict[str, object]:
    return {name: value for name, value in parameters.items() if name not in _REASONS}


def _suggestions(given: Iterable[Suggestion]) -> tuple[Suggestion, ...]:
    return tuple(given)


def _id(instance: object, attribute: attrs.Attribute[str], value: str) -> None:
    if not value:
        raise InvalidCheck("a check needs an id")


@attrs.frozen
class DiagnosticCheck:
    """One question about a component, and its answer.

    `description` is a template with the names of `parameters` in braces. Parameters become values
    that JSON can say: of anything else only the type is kept. `check_id` alone is not unique, for
    two components may listen on the same port: `key` is. Two checks are equal that found the same;
    why, and what can be done, does not count.
    """

    check_id: str = attrs.field(validator=_id)
    description: str
    result: Result = attrs.field(default=Result.NOT_DONE, converter=Result)
    parameters: Parameters = attrs.field(
        default=_NOTHING, converter=_parameters, hash=False, eq=_without_reasons
    )
    component_id: str | None = None
    suggestions: tuple[Suggestion, ...] = attrs.field(default=(), converter=_suggestions, eq=False)
    #: how it is, where clients know `description` as the sentence that says how it should be
    finding: str = attrs.field(default="", eq=False)

    @property
    def key(self) -> tuple[str, str]:
        """What tells this check from all others of the house: component and check."""
        return self.component_id or "", self.check_id

    @property
    def filled(self) -> str:
        """The description with the parameters in it; one that is missing shows as `?name?`."""
        return _PLACE.sub(self._fill, self.description)

    @property
    def translated_description(self) -> str:
        """The same by its name in FreedomBox's reference."""
        return self.filled

    @property
    def said(self) -> str:
        """What was found, as a sentence for a person."""
        return self.finding or self.filled

    def _fill(self, place: re.Match[str]) -> str:
        name = place[1]
        if name is None:
            return place[0][0]
        return str(self.parameters[name]) if name in self.parameters else f"?{name}?"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DiagnosticCheck:
        """What `to_json` gave; raises `InvalidCheck` for anything else."""
        try:
            made = cls(
                check_id=content["check_id"],
                description=content["template"],
                result=content["result"],
                parameters=content["parameters"],
                component_id=content["component_id"],
                suggestions=[Suggestion.from_json(one) for one in content["suggestions"]],
            )
            said = str(content.get("finding", ""))
            return made if said == made.filled else attrs.evolve(made, finding=said)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidCheck(f"not a check: {error}") from None

    def to_json(self) -> dict[str, object]:
        """As every door shows it: `description` is filled in, `template` is not."""
        return {
            "__class__": "DiagnosticCheck",
            "check_id": self.check_id,
            "description": self.filled,
            "template": self.description,
            "result": self.result.value,
            "parameters": _json(self.parameters),
            "component_id": self.component_id,
            "suggestions": [suggestion.to_json() for suggestion in self.suggestions],
            "finding": self.said,
        }


def issues(checks: Iterable[DiagnosticCheck]) -> list[DiagnosticCheck]:
    """Those that somebody has to look at, in their order."""
    return [check for check in checks if check.result.is_issue]


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(_plain(key, 0))


def _plain(value: object, depth: int) -> object:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, float):
        return float.__float__(value) if math.isfinite(value) else float.__repr__(value)
    # what a subclass says of itself, an enumeration for one, is not what it is
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        # Python refuses to write down numbers of many thousands of digits
        return int.__int__(value) if value.bit_length() <= _BITS else f"<{type(value).__name__}>"
    if depth and isinstance(value, Mapping):
        return MappingProxyType({_key(key): _plain(item, depth - 1) for key, item in value.items()})
    if depth and isinstance(value, Sequence | set | frozenset) and not isinstance(value, bytes):
        return tuple(_plain(item, depth - 1) for item in value)
    return f"<{type(value).__name__}>"


def _json(value: object) -> object:
    if isinstance(value, Mapping):
        return {key: _json(item) for key, item in value.items()}
    if isinstance(value, tuple):
        return [_json(item) for item in value]
    return value
