"""Recognises the kind of a repository, and whether it has changed.

The older kind answers with a text, `Domogik Repository` and a line `type/id/release` for each
package; the newer one with a status in JSON, and has the rest in one archive. A static repository
of `dmg_pkgmgr repository` is both, with the status in `repository.json`.
"""

from __future__ import annotations

import enum
import hashlib
import json

import attrs

from domogik.errors import DomogikError, FetchFailed
from domogik.packages.descriptor.reference import InvalidReference, PackageRef
from domogik.packages.http.fetch import Conditions, Fetcher, FetchReply
from domogik.packages.repositories.catalogue import FIRST_LINE
from domogik.packages.signing.signed_repository import SignedFetcher
from domogik.packages.signing.targets import Verified
from domogik.packages.sources import Source, file_path

STATUS_FILE = "repository.json"
#: the list, as a plain web server has it
_LIST_FILE = "index.html"
_LIST_BYTES = 4 * 1024 * 1024
_UNDERSTOOD = (1, "1")
MAXIMUM_PACKAGES = 20_000
#: a list that does everything wrong is told so much
MAXIMUM_PROBLEMS = 100


class NotARepository(DomogikError):
    """The URL is not that of a repository; the text is the one that Domogik's clients know."""

    def __init__(self, url: str) -> None:
        super().__init__(f"This is not a Domogik repository : '{url}'")


class Form(enum.Enum):
    """The kind of a repository."""

    LIST = "list"
    ARCHIVE = "archive"
    EMPTY = "empty"


@attrs.frozen
class Entrance:
    """The URL where a repository was recognised, the digest of its content, and conditions for the
    next time."""

    form: Form
    url: str
    digest: str
    conditions: Conditions = attrs.field(factory=Conditions)


@attrs.frozen
class FoundRepository:
    """A repository as it answers now: its other URLs begin with `base`."""

    entrance: Entrance
    base: str
    body: bytes = b""


async def recognise(
    fetcher: Fetcher, source: Source, known: Entrance | None
) -> FoundRepository | None:
    """Return the repository, or None if it is unchanged since `known`.

    One request if it is unchanged, at most four otherwise. Raises `FetchFailed` and
    `NotARepository`.
    """
    listed: FoundRepository | None = None
    if known is not None and known.form is not Form.EMPTY:
        reply = await _get(fetcher, known.url, known.conditions)
        if reply.is_unchanged:
            return None
        found = _parse_reply(reply, known.url)
        if found is not None and found.entrance.digest == known.digest:
            return None
        if found is not None and found.entrance.form is Form.ARCHIVE:
            return found
        # it has changed: by now it may offer everything in one archive too
        listed = found
    return await _probe(fetcher, source, listed)


async def recognise_signed(
    fetcher: SignedFetcher, source: Source, verified: Verified, known: Entrance | None
) -> FoundRepository | None:
    """Return a signed repository, or None if its files are unchanged.

    Raises `FetchFailed` and `NotARepository`.
    """
    if known is not None and known.digest == verified.digest:
        return None
    for name in (STATUS_FILE, _LIST_FILE):
        reply = await fetcher.get(f"{source.url}/{name}", limit_bytes=_LIST_BYTES)
        found = _parse_reply(reply, reply.url)
        if found is not None:
            entrance = Entrance(found.entrance.form, reply.url, verified.digest)
            return FoundRepository(entrance, source.url, found.body)
    raise NotARepository(source.url)


async def _probe(
    fetcher: Fetcher, source: Source, listed: FoundRepository | None
) -> FoundRepository:
    reply = await _get(fetcher, f"{source.url}/{STATUS_FILE}")
    found = _parse_reply(reply, f"{source.url}/{STATUS_FILE}")
    if found is not None and found.entrance.form is Form.ARCHIVE:
        return found
    if listed is not None:
        return listed
    answered = False
    for url in (f"{source.url}/", source.url):
        reply = await _get(fetcher, url)
        found = _parse_reply(reply, url)
        if found is not None:
            return found
        answered = answered or reply.status == 200
    if source.url.startswith("file:"):
        return _empty_repository(source)
    if not answered:
        reply.content()
    raise NotARepository(source.url)


def _empty_repository(source: Source) -> FoundRepository:
    path = file_path(source.url)
    if source.is_uploads or (path.is_dir() and not any(path.iterdir())):
        return FoundRepository(Entrance(Form.EMPTY, source.url, ""), source.url)
    if not path.exists():
        raise FetchFailed(source.url, "is not there")
    raise NotARepository(source.url)


async def _get(fetcher: Fetcher, url: str, conditions: Conditions | None = None) -> FetchReply:
    return await fetcher.get(url, limit_bytes=_LIST_BYTES, conditions=conditions)


def _parse_reply(reply: FetchReply, asked: str) -> FoundRepository | None:
    if reply.status != 200:
        return None
    if _is_status(reply.body):
        form = Form.ARCHIVE
    elif _first_line(reply.body) == FIRST_LINE:
        form = Form.LIST
    else:
        return None
    digest = hashlib.sha256(reply.body).hexdigest()
    base = reply.url.removesuffix(f"/{STATUS_FILE}").rstrip("/")
    return FoundRepository(Entrance(form, asked, digest, reply.conditions), base, reply.body)


def _first_line(body: bytes) -> str:
    return body[:200].decode("utf-8-sig", "replace").split("\n")[0].strip()


def _is_status(body: bytes) -> bool:
    """Return whether it is a status; like newer clients, require only `count` (and format 1)."""
    if not body.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{"):
        return False
    try:
        status = json.loads(body.decode("utf-8-sig"))
    except (ValueError, RecursionError):
        return False
    return "count" in status and status.get("json_version", 1) in _UNDERSTOOD


def read_list(url: str, body: bytes) -> tuple[list[PackageRef], list[str]]:
    """Return the packages of an older repository's list, and the errors of invalid lines.

    It ends after `MAXIMUM_PACKAGES`.
    """
    refs: dict[PackageRef, None] = {}
    problems: list[str] = []
    # not splitlines(): line numbers are those of an editor
    lines = body.decode("utf-8-sig", "replace").split("\n")
    for number, line in enumerate(lines[1:], 2):
        words = line.strip().split("/")
        if words == [""]:
            continue
        if len(refs) == MAXIMUM_PACKAGES:
            problems.append(f"{url}: only the first {MAXIMUM_PACKAGES} packages are read")
            break
        try:
            type, id, release = words
            refs[PackageRef(type, id, release)] = None
        except InvalidReference as error:
            problems.append(f"{url}: line {number}: {error}")
        except ValueError:
            problems.append(f"{url}: line {number}: is not <type>/<id>/<release>")
    return list(refs), problems
