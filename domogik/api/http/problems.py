"""Which error is which status? The one place, for every path that speaks problem details."""

from __future__ import annotations

import json
from http import HTTPStatus

import attrs

from domogik.api.access import TokenNeeded
from domogik.api.http.exchange import BadRequest, Reply
from domogik.api.http.streams import TooManyStreams
from domogik.api.http.uploads import TooManyUploads, WrongBody
from domogik.components.model import InvalidId
from domogik.errors import (
    AmbiguousComponent,
    DomogikError,
    FetchFailed,
    InvalidFileName,
    NoAnswer,
    NotAllowed,
    NotPossible,
    OperationFailed,
    UnknownComponent,
)
from domogik.manager.operations.parameters import InvalidParameter
from domogik.packages.archive.tarball import BrokenArchive
from domogik.packages.descriptor.draft import BrokenDescriptor
from domogik.packages.descriptor.reference import InvalidReference
from domogik.packages.repositories.index import UnknownRelease

#: RFC 9457
CONTENT_TYPE = "application/problem+json"


class NoSuchPath(DomogikError):
    """Nothing has this address."""


class WrongMethod(DomogikError):
    """Something has this address, and this is not what can be done with it."""

    def __init__(self, method: str, allowed: tuple[str, ...]) -> None:
        super().__init__(f"{method} is not for this path, but {', '.join(allowed)}")
        self.allowed = allowed


#: the most special first; what is not here is our own fault: 500
_STATUS: tuple[tuple[type[DomogikError], int], ...] = (
    (BadRequest, 400),
    (InvalidParameter, 400),
    (InvalidFileName, 400),
    (TokenNeeded, 401),
    (NotAllowed, 403),
    (NoSuchPath, 404),
    (UnknownComponent, 404),
    (UnknownRelease, 404),
    (InvalidReference, 404),
    (InvalidId, 404),
    (WrongMethod, 405),
    (AmbiguousComponent, 409),
    (OperationFailed, 409),
    (NotPossible, 409),
    (WrongBody, 415),
    (BrokenArchive, 422),
    (BrokenDescriptor, 422),
    (TooManyStreams, 503),
    (TooManyUploads, 503),
    (FetchFailed, 502),
    (NoAnswer, 504),
)


@attrs.frozen
class Problem:
    """RFC 9457; `type` is always `about:blank`, so `title` is the phrase of the status."""

    status: int
    detail: str
    candidates: tuple[str, ...] = ()
    headers: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """The phrase of the status."""
        return HTTPStatus(self.status).phrase

    def body(self) -> bytes:
        """The document."""
        document: dict[str, object] = {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
        }
        if self.candidates:
            document["candidates"] = list(self.candidates)
        return json.dumps(document).encode("ascii")

    def reply(self) -> Reply:
        """As an answer."""
        headers = (("Cache-Control", "no-store"), *self.headers)
        return Reply(self.status, self.body(), CONTENT_TYPE, headers)


def status_of(error: type[Exception]) -> int | None:
    """Return the status of a class of errors, None for an unexpected one."""
    return next((status for kind, status in _STATUS if issubclass(error, kind)), None)


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that describes an error, None for an unexpected one."""
    status = status_of(type(error))
    if status is None:
        return None
    headers: tuple[tuple[str, str], ...] = ()
    candidates: tuple[str, ...] = ()
    if isinstance(error, TokenNeeded):
        headers = (("WWW-Authenticate", 'Bearer realm="domogik"'),)
    elif isinstance(error, WrongMethod):
        headers = (("Allow", ", ".join(error.allowed)),)
    elif isinstance(error, AmbiguousComponent):
        candidates = error.candidates
    text = error.words if isinstance(error, DomogikError) else str(error)
    return Problem(status, text, candidates, headers)
