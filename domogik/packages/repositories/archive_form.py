"""The newer kind of repository: one archive with the list of all packages and their icons."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs

from domogik.errors import DomogikError
from domogik.packages.archive.tarball import BrokenArchive, Limits, members
from domogik.packages.descriptor.reference import InvalidReference, PackageRef
from domogik.packages.http.fetch import Fetching
from domogik.packages.repositories.catalogue import IMAGES, INFO, image
from domogik.packages.repositories.recognition import (
    MAXIMUM_PACKAGES,
    MAXIMUM_PROBLEMS,
    FoundRepository,
)
from domogik.packages.repositories.snapshot import Entry, Listing, is_png
from domogik.threads import Threads

_ARCHIVE_BYTES = 64 * 1024 * 1024
_LIST_BYTES = 48 * 1024 * 1024
_ICON_BYTES = 512 * 1024
#: pictures of each package are an icon, a banner and a screenshot; lists compress very well
_LIMITS = Limits(
    members=3 * MAXIMUM_PACKAGES,
    member_bytes=_LIST_BYTES,
    total_bytes=192 * 1024 * 1024,
    ratio=1000,
)
_ICON = re.compile(rf"{IMAGES}/(icon_[a-z0-9.+!_-]{{1,80}}\.png)")
_TIMEOUT_S = 900


class BrokenRepository(DomogikError):
    """The repository's archive is not valid; `str()` is a sentence with its URL."""


@attrs.define(eq=False)
class ArchiveRepository:
    """Fills a snapshot from the archive; `told(done, total)` counts its bytes."""

    _fetcher: Fetching
    _in_thread: Threads
    _found: FoundRepository
    _directory: Path
    _on_progress: Callable[[int, int], None]

    async def fill(self) -> Listing:
        """Return all packages of the list; invalid ones are noted in `problems`.

        Raises `FetchFailed`, `BrokenRepository` and `OSError`.
        """
        url = f"{self._found.base}/data"
        archive = self._directory / "data.tgz"
        await self._fetcher.download(
            url,
            archive,
            limit_bytes=_ARCHIVE_BYTES,
            timeout_s=_TIMEOUT_S,
            progress=lambda received, total: self._on_progress(received, total or received),
            resume=False,
        )
        return await self._in_thread(_unpack, archive, url, self._found)


def _unpack(archive: Path, url: str, found: FoundRepository) -> Listing:
    """Return the list in an archive, extract its icons, and remove it; blocks.

    Only icons of listed packages are written. Raises `BrokenRepository` and `OSError`.
    """
    directory = archive.parent
    icons = directory / ".icons"
    icons.mkdir()
    try:
        info = _read(archive, icons)
        entries, problems = _entries(info, url)
    except BrokenArchive as error:
        raise BrokenRepository(f"{url}: {error}") from error
    archive.unlink()
    entries = [attrs.evolve(one, icon=_take_icon(icons, one.ref, directory)) for one in entries]
    for icon in icons.iterdir():
        icon.unlink()
    icons.rmdir()
    # the archive may be of another moment than the status was
    lasting = info.get("count") == json.loads(found.body.decode("utf-8-sig")).get("count")
    return Listing(found.base, tuple(entries), tuple(problems), lasting)


def _read(archive: Path, icons: Path) -> dict[str, Any]:
    """Return the list, and extract images to `icons`. Raises `BrokenArchive` and `OSError`."""
    listing: bytes | None = None
    with open(archive, "rb") as file:
        for member in members(file, _LIMITS):
            name = member.name.removeprefix("./")
            picture = _ICON.fullmatch(name)
            if name == INFO and listing is None:
                listing = b"".join(member.content())
            elif picture and not member.is_directory and member.size <= _ICON_BYTES:
                content = b"".join(member.content())
                if is_png(content):
                    (icons / picture[1]).write_bytes(content)
    if listing is None:
        raise BrokenArchive(f"there is no {INFO} in the archive")
    try:
        info = json.loads(listing.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise BrokenArchive(f"{INFO} is not JSON in UTF-8: {error}") from error
    if not isinstance(info, dict) or not isinstance(info.get("packages"), list):
        raise BrokenArchive(f"{INFO} has no list of packages")
    return info


def _entries(info: dict[str, Any], url: str) -> tuple[list[Entry], list[str]]:
    entries: dict[PackageRef, Entry] = {}
    problems: list[str] = []
    for number, (item, words) in enumerate(_identities(info["packages"])):
        if number == MAXIMUM_PACKAGES:
            problems.append(f"{url}: only the first {MAXIMUM_PACKAGES} packages are read")
            break
        try:
            ref = PackageRef(*words)
        except InvalidReference as error:
            problems.append(f"{url}: package {number}: {error}")
            continue
        entries.setdefault(ref, Entry(ref, item=item))
    return list(entries.values()), problems[-MAXIMUM_PROBLEMS:]


def _identities(packages: list[Any]) -> Iterator[tuple[dict[str, Any], list[str]]]:
    """Yield each item with its type, id and version, empty if missing."""
    for item in packages:
        record = item if isinstance(item, dict) else {}
        words = [record.get(name) for name in ("type", "id", "version")]
        yield record, [word if isinstance(word, str) else "" for word in words]


def _take_icon(icons: Path, ref: PackageRef, directory: Path) -> bool:
    """Rename the icon for its package; repositories use lower case."""
    icon = icons / image(ref).removeprefix(f"{IMAGES}/")
    try:
        icon.rename(directory / f"{ref.file_stem}.png")
    except FileNotFoundError:
        return False
    return True
