"""Results of diagnostic checks, and the suggestions that go with them."""

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
    """A check has no id, or JSON does not describe a check."""


class Result(enum.StrEnum):
    """The result of a check; each member equals its word."""

    NOT_DONE = "not_done"
    SKIPPED = "skipped"
    PASSED = "passed"
    WARNING = "warning"
    FAILED = "failed"
    ERROR = "error"

    @property
    def is_issue(self) -> bool:
        """Whether the user has to act on this result."""
        return self in (Result.WARNING, Result.FAILED, Result.ERROR)


@attrs.frozen
class Suggestion:
    """What can be done about a check that did not pass.

    `action` is the word that `repair` of the component accepts; `sentence` describes it to the
    user. If it is not `is_repairable`, only the user can do it.
    """

    action: str
    sentence: str
    is_repairable: bool = True

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Suggestion:
        """Return the suggestion that `to_json` described."""
        return cls(str(content["action"]), str(content["sentence"]), content["repairable"] is True)

    def to_json(self) -> dict[str, object]:
        """Return the suggestion as values that JSON can represent."""
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
    """A check of a component with its result.

    `description` is a template with the names of `parameters` in braces. Parameters are converted
    to values that JSON can represent; of other values only the type is kept. `check_id` alone is
    not unique, since two components may listen on the same port; `key` is. Checks compare equal if
    they found the same, whatever their reasons and suggestions.
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
        """The id of the component and of the check, unique on this host."""
        return self.component_id or "", self.check_id

    @property
    def filled(self) -> str:
        """The description with parameters filled in; a missing one shows as `?name?`."""
        return _PLACE.sub(self._fill, self.description)

    @property
    def translated_description(self) -> str:
        """The same as `filled`, by its name in FreedomBox's API."""
        return self.filled

    @property
    def finding_text(self) -> str:
        """The finding as a sentence for the user."""
        return self.finding or self.filled

    def _fill(self, place: re.Match[str]) -> str:
        name = place[1]
        if name is None:
            return place[0][0]
        return str(self.parameters[name]) if name in self.parameters else f"?{name}?"

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> DiagnosticCheck:
        """Return the check that `to_json` described; raise `InvalidCheck` for anything else."""
        try:
            made = cls(
                check_id=content["check_id"],
                description=content["template"],
                result=content["result"],
                parameters=content["parameters"],
                component_id=content["component_id"],
                suggestions=[Suggestion.from_json(one) for one in content["suggestions"]],
            )
            text = str(content.get("finding", ""))
            return made if text == made.filled else attrs.evolve(made, finding=text)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise InvalidCheck(f"not a check: {error}") from None

    def to_json(self) -> dict[str, object]:
        """Return what every interface shows: `description` is filled in, `template` is not."""
        return {
            "__class__": "DiagnosticCheck",
            "check_id": self.check_id,
            "description": self.filled,
            "template": self.description,
            "result": self.result.value,
            "parameters": _json(self.parameters),
            "component_id": self.component_id,
            "suggestions": [suggestion.to_json() for suggestion in self.suggestions],
            "finding": self.finding_text,
        }


def issues(checks: Iterable[DiagnosticCheck]) -> list[DiagnosticCheck]:
    """Return the checks that the user has to act on, in their order."""
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
