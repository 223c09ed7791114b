"""Checks as JSON: a whole house has thousands, so that others have turns while they are encoded."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence

from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from domogik.components.health import DiagnosticCheck

#: how many are encoded in one turn of the reactor; one takes some 20 us
AT_A_TIME = 200


async def encoded(
    clock: IReactorTime,
    checks: Sequence[DiagnosticCheck],
    spelled: Callable[[object], object] = lambda item: item,
) -> bytes:
    """The JSON array of them; `spelled` makes of an item what the clients of a face know."""
    parts = []
    for first in range(0, len(checks), AT_A_TIME):
        if first:
            await deferLater(clock, 0)
        items = [spelled(check.to_json()) for check in checks[first : first + AT_A_TIME]]
        parts.append(json.dumps(items)[1:-1].encode("ascii"))
    return b"[%s]" % b", ".join(parts)
