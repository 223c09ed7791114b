"""Snapshots of a repository: directories that are written once and then only read."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import attrs

from domogik.config.files import read_bounded
from domogik.packages.archive.durable import link_or_copy
from domogik.packages.descriptor.draft import BrokenDescriptor
from domogik.packages.descriptor.files import read
from domogik.packages.descriptor.package import PNG_SIGNATURE, Dependency, Package
from domogik.packages.descriptor.reference import InvalidReference, PackageRef
from domogik.packages.repositories.catalogue import place
from domogik.packages.repositories.index import Offer
from domogik.packages.signing.targets import Target
from domogik.packages.sources import Source

LISTING_FILE = "listing.json"
_MAXIMUM_BYTES = 64 * 1024 * 1024
_HEX = frozenset("0123456789abcdef")
_MAXIMUM_TEXT = 20_000


class BrokenSnapshot(ValueError):
    """The directory is not a valid snapshot."""


@attrs.frozen
class Entry:
    """A release in a snapshot.

    `item` is its entry in a JSON list, None if there is a descriptor, `<stem>.xml`. `icon` means
    that there is an `<stem>.png`. `archive` is the signed target of its archive, at `path` below
    the repository's URL; None if it is not signed.
    """

    ref: PackageRef
    icon: bool = False
    item: dict[str, object] | None = None
    path: str = ""
    archive: Target | None = None


@attrs.frozen
class Listing:
    """The content of a snapshot; `problems` are sentences about what was left out.

    One that is not `lasting` is fetched again, even if the repository is unchanged, since something
    could not be fetched.
    """

    base: str
    entries: tuple[Entry, ...] = ()
    problems: tuple[str, ...] = ()
    lasting: bool = True


def write_listing(directory: Path, listing: Listing) -> None:
    """Write the last file of a snapshot; blocks, raises `OSError`."""
    record = {
        "base": listing.base,
        "entries": [
            [one.ref.type, one.ref.id, one.ref.release, one.icon, one.item, *_signed(one)]
            for one in listing.entries
        ],
        "problems": list(listing.problems),
    }
    (directory / LISTING_FILE).write_text(json.dumps(record), encoding="utf-8")


def read_listing(directory: Path) -> Listing:
    """Return what `write_listing` wrote; blocks, raises `OSError` and `BrokenSnapshot`."""
    try:
        record = json.loads(read_bounded(directory / LISTING_FILE, _MAXIMUM_BYTES))
        entries = tuple(
            Entry(PackageRef(type, id, release), bool(icon), item, *_archive(*signed))
            for type, id, release, icon, item, *signed in record["entries"]
        )
        return Listing(str(record["base"]), entries, tuple(map(str, record["problems"])))
    except (ValueError, KeyError, TypeError, InvalidReference) as error:
        raise BrokenSnapshot(f"{directory} is broken: {error}") from error


def _signed(entry: Entry) -> list[object]:
    """Return the signed target as a list, empty if there is none."""
    one = entry.archive
    return [] if one is None else [entry.path, one.sha256, one.size]


def _archive(path: str = "", sha256: str = "", size: int = 0) -> tuple[str, Target | None]:
    return path, Target(sha256, size) if path else None


def signed_listing(listing: Listing, files: Mapping[str, Target]) -> Listing:
    """Return the releases whose archives are among the signed `files`; others are noted in
    `problems`."""
    entries: list[Entry] = []
    problems = list(listing.problems)
    for entry in listing.entries:
        paths = (url.removeprefix(f"{listing.base}/") for url in _addresses(listing.base, entry))
        path = next((path for path in paths if path in files), None)
        if path is None:
            problems.append(f"{listing.base}: {entry.ref} is listed, and its archive is not signed")
        else:
            entries.append(attrs.evolve(entry, path=path, archive=files[path]))
    return attrs.evolve(listing, entries=tuple(entries), problems=tuple(problems))


def read_offers(directory: Path, source: Source) -> Iterator[Offer]:
    """Yield the offers of a snapshot; blocks, raises `OSError` and `BrokenSnapshot`.

    Unreadable descriptors are skipped.
    """
    listing = read_listing(directory)
    for entry in listing.entries:
        ref, archive = entry.ref, entry.archive
        url = f"{listing.base}/{entry.path}" if archive else _addresses(listing.base, entry)[0]
        sha256, size = (archive.sha256, archive.size) if archive else _digest_in_list(entry)
        icon = directory / f"{ref.file_stem}.png" if entry.icon else None
        if entry.item is not None:
            package = _listed(ref, entry.item, directory / LISTING_FILE)
        else:
            try:
                package = read(directory / f"{ref.file_stem}.xml")
            except BrokenDescriptor:
                continue
        yield Offer(
            package,
            source,
            url=url,
            sha256=sha256,
            size=size,
            icon=icon,
            signed=archive is not None,
        )


def _addresses(base: str, entry: Entry) -> list[str]:
    """Return the possible URLs of the archive, the most likely first."""
    ref = entry.ref
    usual = f"{base}/download/{ref.type}/{ref.id}/{ref.release}"
    told = _archive_url(base, entry.item) if entry.item is not None else None
    return [usual] if told is None else [told, usual]


def _digest_in_list(entry: Entry) -> tuple[str | None, int | None]:
    return (None, None) if entry.item is None else (_sha256(entry.item), _size(entry.item))


def _listed(ref: PackageRef, item: dict[str, object], path: Path) -> Package:
    """Return a package from its entry in a JSON list, without keys and files."""
    return Package(
        type=ref.type,
        id=ref.id,
        release=ref.release,
        technology=_text(item, "category"),
        description=_text(item, "description"),
        documentation=_text(item, "documentation"),
        author=_text(item, "author"),
        author_email=_text(item, "author_email"),
        changelog=_text(item, "changelog"),
        min_version=_text(item, "domogik_min_version") or "0.1.0",
        generated=_text(item, "generated"),
        dependencies=tuple(_dependencies(item.get("dependencies"))),
        path=path,
    )


def _text(item: dict[str, object], name: str) -> str:
    value = item.get(name)
    if isinstance(value, str):
        # half a character, as JSON can have it, could not be written anywhere
        return value.encode("utf-8", "replace").decode().strip()[:_MAXIMUM_TEXT]
    return str(value) if isinstance(value, int | float) else ""


def _dependencies(value: object) -> Iterator[Dependency]:
    """Yield the dependencies in a list or null, which some repositories send."""
    for record in value if isinstance(value, list) else ():
        if isinstance(record, dict):
            dependency = Dependency(_text(record, "type"), _text(record, "id"))
            if dependency.id:
                yield dependency


def _archive_url(base: str, item: dict[str, object]) -> str | None:
    """Return the URL of the archive in the list, if it is on the repository's host."""
    address = item.get("archive_url")
    if not isinstance(address, str) or not address.isascii() or not address.isprintable():
        return None
    try:
        own, url = urlsplit(base), urljoin(f"{base}/", address)
        parts = urlsplit(url)
    except ValueError:
        return None
    if (parts.scheme, parts.netloc) != (own.scheme, own.netloc):
        return None
    # of a directory only what is in it
    if own.scheme == "file" and (".." in parts.path or not url.startswith(f"{base}/")):
        return None
    return url


def _sha256(item: dict[str, object]) -> str | None:
    value = _text(item, "sha256").lower()
    return value if len(value) == 64 and set(value) <= _HEX else None


def _size(item: dict[str, object]) -> int | None:
    value = item.get("size")
    return value if type(value) is int and value > 0 else None


def carry_over(
    old: Path,
    directory: Path,
    refs: Iterable[PackageRef],
    is_valid: Callable[[str, Path], bool] = lambda path, file: True,
) -> dict[PackageRef, Entry]:
    """Link from an older snapshot what it has of `refs`; blocks, raises `OSError`.

    Releases do not change, so they are not fetched again. `is_valid(path, file)` returns whether
    the file is valid for `path` below the repository's URL.
    """
    wanted = set(refs)
    taken = {}
    try:
        entries = read_listing(old).entries
    except (OSError, BrokenSnapshot):
        return {}
    for entry in entries:
        if entry.ref in wanted and entry.item is None:
            names = {f"{entry.ref.file_stem}.xml": f"xml/{place(entry.ref)}"}
            if entry.icon:
                names[f"{entry.ref.file_stem}.png"] = f"icon/{place(entry.ref)}"
            if _all_linked(old, directory, names, is_valid):
                taken[entry.ref] = attrs.evolve(entry, path="", archive=None)
    return taken


def _all_linked(
    old: Path,
    directory: Path,
    names: Mapping[str, str],
    is_valid: Callable[[str, Path], bool],
) -> bool:
    try:
        if not all(is_valid(path, old / name) for name, path in names.items()):
            return False
        for name in names:
            link_or_copy(old / name, directory / name)
    except FileNotFoundError:
        return False
    return True


def is_png(content: bytes) -> bool:
    """Return whether the content is a PNG, instead of an error page."""
    return content.startswith(PNG_SIGNATURE)
