"""How do answers look on the RINOR paths?

`{"status": "OK"|"ERROR", "code": 0|999, "description": ..., "<what>": [...]}`: booleans are the
strings `True` and `False`, null is the empty string, errors keep HTTP 200, because existing clients
read the body. With `?callback=name` the same as a script: `name (...)`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

import attrs

from domogik.api.http.exchange import Reply
from domogik.errors import DomogikError

#: the only code of an error that Domogik ever had
ERROR = 999
JSON = "application/json; charset=utf-8"
SCRIPT = "application/javascript; charset=utf-8"

_CALLBACK = re.compile(r"[A-Za-z_$][\w$.]{0,63}", re.ASCII)
_HEADERS = (("Expires", "-1"), ("Cache-Control", "no-cache"))


class RinorError(DomogikError):
    """An answer that says what went wrong; `type` adds an empty list of that name."""

    def __init__(self, description: str, type: str | None = None) -> None:
        super().__init__(description)
        self.type = type


class BadCallback(RinorError):
    """`?callback=` is not the name of a function."""


@attrs.frozen
class RinorAnswer:
    """What a path found: `type` None leaves the bare envelope."""

    type: str | None = None
    items: Sequence[object] = ()
    description: str = "None"

    def encoded(self) -> bytes:
        """The envelope as JSON, ASCII only."""
        envelope: dict[str, object] = {
            "status": "OK",
            "code": 0,
            "description": self.description,
        }
        if self.type is not None:
            envelope[self.type] = spelled(self.items)
        return json.dumps(envelope).encode("ascii")


def encode_error(description: str, type: str | None = None) -> bytes:
    """The envelope of an error."""
    envelope: dict[str, object] = {"status": "ERROR", "code": ERROR, "description": description}
    if type is not None:
        envelope[type] = []
    return json.dumps(envelope).encode("ascii")


def check_callback(name: str) -> str:
    """The name, if a script may call it; raises `BadCallback`."""
    if not _CALLBACK.fullmatch(name):
        raise BadCallback("callback must be the name of a function, of at most 64 characters")
    return name


def reply(
    body: bytes,
    callback: str | None = None,
    status: int = 200,
    headers: tuple[tuple[str, str], ...] = (),
) -> Reply:
    """An encoded envelope on its way, wrapped for `callback` where there is one."""
    if callback is None:
        return Reply(status, body, JSON, _HEADERS + headers)
    script = b"%s (%s)" % (callback.encode("ascii"), body)
    return Reply(status, script, SCRIPT, _HEADERS + headers)


def spelled(value: object) -> object:
    """Booleans and null as Domogik's clients know them, however deep."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "True" if value else "False"
    if isinstance(value, Mapping):
        return {str(key): spelled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [spelled(item) for item in value]
    return value
