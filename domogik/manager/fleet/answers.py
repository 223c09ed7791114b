"""Reads the answers of other hosts' managers: their lists, details and checks.

Their content is not trusted: impossible names are left out, and control characters are replaced.
"""

from __future__ import annotations

import re

import attrs

from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.components.model import (
    Component,
    ComponentId,
    ConfigurationKey,
    Detail,
    Kind,
    State,
)
from domogik.xpl.codec.message import Message

#: entries of a list: `plugin999-status` is the longest name that xPL allows (16 characters)
MAX_LISTED = 1000
#: pieces of a description
MAX_PIECES = 100
#: checks that `checkNNN-result` can count
MAX_CHECKS = 1000
_NAME = re.compile(r"[A-Za-z0-9_-][A-Za-z0-9_.-]{0,63}")


def listed_components(message: Message, host: str) -> tuple[Component, ...]:
    """Return the components of a `list` answer, each once; an entry without a name ends it."""
    pairs = dict(message.body)
    found: dict[ComponentId, Component] = {}
    for kind in Kind.all():
        if kind.has_own_list:
            found |= _servers(pairs, kind, host)
    for place in range(MAX_LISTED):
        name = pairs.get(f"plugin{place}-name", "")
        if not name:
            break
        component = _entry(pairs, place, name, host)
        if component is not None:
            found.setdefault(component.id, component)
    return tuple(found.values())


def _servers(pairs: dict[str, str], kind: Kind, host: str) -> dict[ComponentId, Component]:
    """Return the daemons in the answer of a manager that has some."""
    found: dict[ComponentId, Component] = {}
    for place in range(MAX_LISTED):
        name = pairs.get(f"{kind.value}{place}-name", "")
        if not _NAME.fullmatch(name):
            break
        component = Component(
            id=ComponentId(kind, name),
            host=host,
            state=_state(pairs.get(f"{kind.value}{place}-status", "OFF")),
            technology=_shown(pairs.get(f"{kind.value}{place}-techno", "")),
        )
        found.setdefault(component.id, component)
    return found


def _entry(pairs: dict[str, str], place: int, name: str, host: str) -> Component | None:
    def value(word: str, otherwise: str) -> str:
        return pairs.get(f"plugin{place}-{word}", otherwise)

    instance = value("host", host)
    external = value("type", "plugin") != "plugin"
    if not _NAME.fullmatch(name) or not _NAME.fullmatch(instance):
        return None
    return Component(
        id=ComponentId(Kind.EXTERNAL, f"{name}.{instance}")
        if external
        else ComponentId(Kind.PLUGIN, name),
        host=host,
        state=_state(value("status", "OFF")),
        enabled=None if external else True,
        technology=_shown(value("techno", "")),
        model=name if external else "",
    )


def read_detail(message: Message, component: Component) -> Detail:
    """Return a `detail` answer; keys after a gap in the numbers are read as well."""
    pairs = dict(message.body)
    numbers = sorted(
        {
            int(name[3:-4])
            for name in pairs
            if name.startswith("cfg") and name.endswith("-key") and name[3:-4].isdecimal()
        }
    )
    pieces = (pairs.get(f"description{place}", "") for place in range(MAX_PIECES))
    enabled = {"yes": True, "no": False}.get(pairs.get("enabled", ""), component.enabled)
    described = attrs.evolve(
        component,
        state=_state(pairs.get("state") or pairs.get("status", "OFF")),
        enabled=enabled,
        reason=_shown(pairs.get("reason", "")),
        pid=_number(pairs.get("pid", "")) or None,
        since=_number(pairs.get("since", "")),
        restarts=_number(pairs.get("restarts", "")),
        technology=_shown(pairs.get("technology", component.technology)),
        version=_shown(pairs.get("version") or pairs.get("release") or component.version),
        documentation=_shown(pairs.get("documentation", "")),
        description="\n".join(_shown(line) for line in "".join(pieces).split("\\n")),
    )
    if component.id.kind is Kind.EXTERNAL or component.id.kind.has_own_list:
        values = tuple(
            (_shown(pairs[f"cfg{number}-key"]), _shown(pairs.get(f"cfg{number}-value", "")))
            for number in numbers
        )
        return Detail(described, values=values)
    return Detail(described, configuration=tuple(_key(pairs, number) for number in numbers))


def read_checks(message: Message) -> tuple[DiagnosticCheck, ...]:
    """A `diagnose` answer; a check without a name ends it, what cannot be meant is left out.

    What a person can do about one that did not pass can be done on that host only.
    """
    pairs = dict(message.body)
    found = []
    for place in range(MAX_CHECKS):
        id = _shown(pairs.get(f"check{place}-id", ""))
        if not id:
            break
        advice = _shown(pairs.get(f"check{place}-do", "")).strip()
        described = _shown(pairs.get(f"check{place}-desc", id))
        try:
            check = DiagnosticCheck(
                id,
                described.replace("{", "{{").replace("}", "}}"),
                Result(pairs.get(f"check{place}-result", "")),
                component_id=_shown(pairs.get(f"check{place}-comp", "")),
                suggestions=[Suggestion("advice", advice, is_repairable=False)] if advice else (),
            )
        except ValueError:
            continue
        found.append(check)
    return tuple(found)


def _key(pairs: dict[str, str], number: int) -> ConfigurationKey:
    def value(name: str, otherwise: str = "") -> str:
        return _shown(pairs.get(f"cfg{number}-{name}", otherwise))

    default = value("default", "None")
    return ConfigurationKey(
        id=number,
        key=value("key"),
        type=value("type", "string"),
        description=value("desc"),
        default=None if default == "None" else default,
        options=tuple(option for option in value("options").split(",") if option),
        interface=value("int") == "yes",
        optional=value("opt") == "yes",
    )


def _state(word: str) -> State:
    """Return the state for `ON`, `OFF` or a state of this version."""
    try:
        return State(word)
    except ValueError:
        return State.ALIVE if word == "ON" else State.STOPPED


def _number(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 12 else 0


def _shown(text: str) -> str:
    """Return the text without characters that a terminal would obey."""
    if text.isprintable():
        return text
    return "".join(letter if letter.isprintable() else "?" for letter in text)
