"""How components are said in the pairs of an xPL body, so that each of them can be sent.

Names, descriptions and heartbeats come from files and from strangers: whatever they hold, an answer
is one that xPL can carry (no control characters, nothing empty, no pair larger than a datagram) and
that fits into 99 fragments.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

from domogik.components.health import DiagnosticCheck, Result
from domogik.components.model import Component, Detail, Kind
from domogik.manager.fleet.answers import MAX_CHECKS, MAX_LISTED

Body = list[tuple[str, str]]

#: a description is cut every so many characters
DESCRIPTION_PIECE = 500
#: bytes that one value may have, and the pairs of one list or configuration together
LARGEST_VALUE = 1000
LARGEST_LIST = 80_000
LARGEST_DESCRIPTION = 20_000
LARGEST_SERVERS = 10_000

_URGENT = (Result.FAILED, Result.ERROR, Result.WARNING)
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


def escape_value(text: str, otherwise: str = "None") -> str:
    """The text as a value; a line break becomes the two characters that Domogik's clients undo.

    Empty values make 0.2 and 0.3 refuse a whole message: `otherwise` stands for them.
    """
    text = text.replace("\r\n", "\n").replace("\n", "\\n")
    data = _CONTROL.sub(" ", text).encode("utf-8", "replace")
    return data[:LARGEST_VALUE].decode("utf-8", "ignore") or otherwise


def status(component: Component) -> str:
    """`ON` or `OFF`; there is no third word."""
    return "ON" if component.state.is_on else "OFF"


def list_body(host: str, components: Iterable[Component]) -> Body:
    """Of `components`, what Domogik's clients call the list: plugins enabled or up, externals.

    Daemons and units stand beside it, where those clients do not look: to them all that is no
    plugin is an external member.
    """
    components = tuple(components)
    body: Body = []
    listed = [component for component in components if _is_listed(component)]
    for place, component in enumerate(listed[:MAX_LISTED]):
        name, where = component.name_and_host
        words = (
            ("name", name),
            ("type", component.id.kind.value),
            ("techno", component.technology),
            ("status", status(component)),
            ("host", where),
        )
        body += [
            (f"plugin{place}-{word}", escape_value(value, "unknown").strip() or "unknown")
            for word, value in words
        ]
    head = [("command", "list"), ("host", host)]
    listing = head + _within(LARGEST_LIST, body, 5)
    for kind in Kind.all():
        if kind.has_own_list:
            listing += _within(LARGEST_SERVERS, _servers(components, kind), 3)
    return listing


def _servers(components: Iterable[Component], kind: Kind) -> Body:
    servers = [component for component in components if component.id.kind is kind]
    return [
        (f"{kind.value}{place}-{word}", value)
        for place, component in enumerate(servers[:MAX_LISTED])
        for word, value in (
            ("name", component.name),
            ("techno", component.technology),
            ("status", status(component)),
        )
    ]


def _is_listed(component: Component) -> bool:
    kind = component.id.kind
    return kind is Kind.EXTERNAL or (
        kind is Kind.PLUGIN and (bool(component.enabled) or component.state.is_on)
    )


def detail_body(detail: Detail, asked: str) -> Body:
    """A component with what can be configured, or what a member said of itself.

    It has the name that was `asked` for: whoever asked waits for that one.
    """
    component = detail.component
    _, host = component.name_and_host
    described = _within(LARGEST_DESCRIPTION, list(_description(component.description)))
    return [
        ("command", "detail"),
        *_within(LARGEST_LIST, list(_configuration(detail))),
        ("type", component.id.kind.value),
        ("plugin", escape_value(asked)),
        *described,
        ("technology", escape_value(component.technology, "unknown")),
        ("status", status(component)),
        ("version", escape_value(component.version, "n/a")),
        ("release", escape_value(component.version, "n/a")),
        ("documentation", escape_value(component.documentation, "#")),
        ("host", host),
        *_now(component),
    ]


def _now(component: Component) -> Iterable[tuple[str, str]]:
    """How it is, for our own managers; Domogik's know two words for it and read no further."""
    yield "state", component.state.value
    if component.enabled is not None:
        yield "enabled", "yes" if component.enabled else "no"
    if component.pid is not None:
        yield "pid", str(component.pid)
    if component.since > 0:
        yield "since", str(int(component.since))
    yield "restarts", str(component.restarts)
    if component.reason:
        yield "reason", escape_value(component.reason)


def _configuration(detail: Detail) -> Iterable[tuple[str, str]]:
    for place, (key, value) in enumerate(detail.values):
        yield f"cfg{place}-id", str(place)
        yield f"cfg{place}-key", escape_value(key)
        yield f"cfg{place}-value", escape_value(value)
    for entry in detail.configuration:
        start = f"cfg{entry.id}"
        yield f"{start}-key", escape_value(entry.key)
        yield f"{start}-type", escape_value(entry.type)
        yield f"{start}-desc", escape_value(entry.description, " ")
        yield f"{start}-default", escape_value(entry.default or "")
        yield f"{start}-int", "yes" if entry.interface else "no"
        if entry.options:
            yield f"{start}-options", escape_value(",".join(entry.options))
        if entry.optional:
            yield f"{start}-opt", "yes"


def _description(text: str) -> Iterable[tuple[str, str]]:
    flat = text.replace("\r\n", "\n").replace("\n", "\\n")
    place = 0
    while True:
        piece = escape_value(flat[:DESCRIPTION_PIECE], " ")
        yield f"description{place}", piece
        # what is cut off because its letters take several bytes each begins the next piece
        flat = flat[max(1, len(piece)) :]
        place += 1
        if not flat:
            return


def checks_body(checks: Sequence[DiagnosticCheck]) -> Body:
    """How many there are, and of as many as fit what they found; what did not pass comes first."""
    body: Body = []
    for place, check in enumerate(sorted(checks, key=_urgency)[:MAX_CHECKS]):
        body += [
            (f"check{place}-id", escape_value(check.check_id)),
            (f"check{place}-comp", escape_value(check.component_id or "")),
            (f"check{place}-result", check.result.value),
            (f"check{place}-desc", escape_value(check.finding_text)),
            (f"check{place}-do", escape_value(_advice(check), " ")),
        ]
    return [("checks", str(len(checks))), *_within(LARGEST_LIST, body, 5)]


def _urgency(check: DiagnosticCheck) -> int:
    return _URGENT.index(check.result) if check.result in _URGENT else len(_URGENT)


def _advice(check: DiagnosticCheck) -> str:
    return check.suggestions[0].sentence if check.result.is_issue and check.suggestions else ""


def _within(budget: int, body: Body, group: int = 1) -> Body:
    """As many pairs, in whole groups, as take no more bytes than that."""
    size = 0
    for place, (name, value) in enumerate(body):
        size += len(name) + len(value.encode()) + 2
        if size > budget:
            return body[: place - place % group]
    return body
