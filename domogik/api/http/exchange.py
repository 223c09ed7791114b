"""One request and its one reply: what every path is given, and what it hands back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property
from typing import Protocol
from urllib.parse import parse_qsl, unquote_to_bytes

import attrs
from twisted.web.http import Request

from domogik.api.access import Access, Caller
from domogik.errors import DomogikError
from domogik.manager.operations.table import Context, Right

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_MAX_PARAMETERS = 64


class BadRequest(DomogikError):
    """What was asked cannot be read; the text says what is wrong with it."""


@attrs.frozen
class Reply:
    """A whole answer. `headers` are added to those that every answer has."""

    status: int
    body: bytes
    content_type: str
    headers: tuple[tuple[str, str], ...] = ()


class Stream(Protocol):
    """An answer without an end of its own: it writes to the request until the client leaves."""

    def start(self, request: Request) -> None:
        """Send the head and go on; must not raise."""

    def discard(self) -> None:
        """Let go of everything: the client left, or wanted no more than the head."""


@attrs.define(eq=False)
class Call:
    """A request, read once: its parts decoded after the path was split, so `%2F` splits nothing.

    `parts` are the segments of the path, without the empty one behind a trailing slash.
    """

    request: Request
    method: str
    parts: tuple[str, ...]
    query_string: bytes
    caller: Caller
    access: Access

    @classmethod
    def read(cls, request: Request, access: Access) -> Call:
        """Raises `BadRequest`; every byte of the request line is a stranger's."""
        path, _, query = request.uri.partition(b"?")
        return cls(
            request,
            request.method.decode("latin-1"),
            parts=split_path(path),
            query_string=query,
            caller=access.caller(request),
            access=access,
        )

    def allow(self, right: Right) -> None:
        """Go on, or raise what `Access.check` raises. That something changes, the log tells."""
        self.access.check(self.caller, right)
        self.request.changes = right is Right.CHANGE  # type: ignore[attr-defined]

    def acting_on(self, context: Context) -> Context:
        """What operations work on, for who calls."""
        sees_passwords = self.caller.sees_passwords
        return attrs.evolve(context, allow=self.allow, sees_passwords=sees_passwords)

    @cached_property
    def query(self) -> Mapping[str, str]:
        """What stands behind `?`; of a repeated name the last. Raises `BadRequest`."""
        if not self.query_string:
            return {}
        try:
            pairs = parse_qsl(
                self.query_string.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=_MAX_PARAMETERS,
            )
        except ValueError as error:
            raise BadRequest("What stands behind '?' cannot be read") from error
        return dict(pairs)


def split_path(path: bytes) -> tuple[str, ...]:
    """The decoded segments; raises `BadRequest` for control characters and bytes not UTF-8."""
    if not path.startswith(b"/"):
        # absolute form (RFC 9112, 3.2.2): what a proxy is sent
        scheme, separator, rest = path.partition(b"://")
        if not separator or scheme.lower() not in (b"http", b"https"):
            raise BadRequest("The path does not begin with '/'")
        path = b"/" + rest.partition(b"/")[2]
    path = path[1:]
    if path.endswith(b"/"):
        path = path[:-1]
    if not path:
        return ()
    try:
        parts = tuple(unquote_to_bytes(part).decode("utf-8") for part in path.split(b"/"))
    except UnicodeDecodeError as error:
        raise BadRequest("The path is not UTF-8") from error
    if any(_CONTROL.search(part) for part in parts):
        raise BadRequest("The path holds control characters")
    return parts


def send(request: Request, reply: Reply) -> None:
    """Write the whole reply; of a HEAD request the request itself leaves the body out."""
    request.setResponseCode(reply.status)
    headers = request.responseHeaders
    for name, value in reply.headers:
        headers.setRawHeaders(name, [value])
    if reply.status not in (204, 304):
        headers.setRawHeaders(b"Content-Type", [reply.content_type.encode("ascii")])
        headers.setRawHeaders(b"Content-Length", [b"%d" % len(reply.body)])
        request.write(reply.body)
    request.finish()
