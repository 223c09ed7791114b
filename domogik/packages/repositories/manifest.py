"""The manifest of the cache: a small file that names the current snapshots.

Replacing that file makes a refresh visible, to all processes; a snapshot that it names is never
changed.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable
from pathlib import Path

import attrs

from domogik.config.files import read_bounded, write_atomically
from domogik.packages.repositories.index import Index, Offer
from domogik.packages.repositories.snapshot import BrokenSnapshot, read_offers
from domogik.packages.sources import Source

MANIFEST_FILE = "repositories.json"
SNAPSHOTS = "repositories"
_FORM = 1
_MAXIMUM_BYTES = 16 * 1024 * 1024
_TRIES = 3


@attrs.frozen
class ManifestEntry:
    """The state of one repository in the cache.

    `snapshot` is the name of a directory, None if nothing was fetched yet. `as_of` is the Unix time
    at which it was current; `error` is what failed since, or empty. `entrance` is for the next
    refresh. `signed` means that the snapshot was verified, `expires` is the Unix time at which its
    signatures expire.
    """

    source: Source
    snapshot: str | None = None
    as_of: float | None = None
    error: str = ""
    entrance: dict[str, str | None] | None = None
    signed: bool = False
    expires: float | None = None


def read_manifest(directory: Path) -> tuple[ManifestEntry, ...]:
    """Return the entries in order of priority; none for a missing or invalid file. Blocks.

    Raises `OSError` if it cannot be read.
    """
    try:
        document = json.loads(read_bounded(directory / MANIFEST_FILE, _MAXIMUM_BYTES))
        if document["form"] != _FORM:
            return ()
        return tuple(_record(values) for values in document["repositories"])
    except FileNotFoundError:
        return ()
    except (ValueError, KeyError, TypeError):
        return ()


def write_manifest(directory: Path, records: Iterable[ManifestEntry]) -> None:
    """Replace the manifest in one step. Blocks; raises `OSError`, after which it is unchanged."""
    document = {"form": _FORM, "repositories": [_values(record) for record in records]}
    content = json.dumps(document, indent=1).encode()
    write_atomically(directory / MANIFEST_FILE, content)


def read_index(directory: Path) -> Index:
    """Return what the cache in `directory` offers. Blocks; any process may call it.

    Unreadable snapshots are skipped.
    """
    for _ in range(_TRIES):
        records = read_manifest(directory)
        offers, missing = _offers(directory, records)
        if not missing:
            break
        # two refreshes went by while we read: what we had was removed
    known = [record.as_of for record in records if record.as_of is not None]
    return Index(offers, min(known, default=None))


def _offers(directory: Path, records: Iterable[ManifestEntry]) -> tuple[list[Offer], bool]:
    """Return all offers, and whether a snapshot is missing."""
    offers: list[Offer] = []
    missing = False
    for record in records:
        if record.snapshot is not None:
            try:
                offers += read_offers(directory / SNAPSHOTS / record.snapshot, record.source)
            except FileNotFoundError:
                missing = True
            except (OSError, BrokenSnapshot):
                continue
    return offers, missing


def remove_others(directory: Path, records: Iterable[ManifestEntry]) -> None:
    """Remove snapshots that no record names; blocks. Failures are retried the next time."""
    named = {record.snapshot for record in records}
    try:
        found = list((directory / SNAPSHOTS).iterdir())
    except FileNotFoundError:
        return
    for path in found:
        if path.name not in named:
            shutil.rmtree(path, ignore_errors=True)


def _values(record: ManifestEntry) -> dict[str, object]:
    source = record.source
    return {
        "priority": source.priority,
        "url": source.url,
        "options": dict(source.options),
        "snapshot": record.snapshot,
        "as_of": record.as_of,
        "error": record.error,
        "entrance": record.entrance,
        "signed": record.signed,
        "expires": record.expires,
    }


def _record(values: dict[str, object]) -> ManifestEntry:
    """Return the entry; raises `TypeError`, `KeyError` and `ValueError` for invalid values."""
    match values:
        case {
            "priority": int(priority),
            "url": str(url),
            "options": dict(options),
            "snapshot": (str() | None) as snapshot,
            "as_of": (int() | float() | None) as as_of,
            "error": str(error),
            "entrance": (dict() | None) as entrance,
        } if snapshot is None or Path(snapshot).name == snapshot:
            source = Source(priority, url, options)
            expires = values.get("expires")
            return ManifestEntry(
                source,
                snapshot,
                as_of=as_of,
                error=error,
                entrance=entrance,
                signed=values.get("signed") is True,
                expires=expires if isinstance(expires, int | float) else None,
            )
    raise ValueError("not a valid record")
