"""What the cache holds, on the disk: one small file names the snapshots that count.

Replacing that file is the one step in which a refresh becomes visible, to this process and to
others; a snapshot that it names is never changed. Nothing here knows the network.
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
from domogik.packages.repositories.sources import Source

MANIFEST_FILE = "repositories.json"
SNAPSHOTS = "repositories"
_FORM = 1
_MAXIMUM_BYTES = 16 * 1024 * 1024
_TRIES = 3


@attrs.frozen
class ManifestEntry:
    """What the cache knows of one repository.

    `snapshot` is a directory's name, None where nothing could ever be had. `as_of` is when that was
    found to be what the repository offers (seconds since 1970); `error` what went wrong since, or
    empty. `entrance` is for the next refresh and means nothing to others. `signed` says that the
    snapshot was verified, `expires` when its signatures are out of date (seconds since 1970).
    """

    source: Source
    snapshot: str | None = None
    as_of: float | None = None
    error: str = ""
    entrance: dict[str, str | None] | None = None
    signed: bool = False
    expires: float | None = None


def read_manifest(directory: Path) -> tuple[ManifestEntry, ...]:
    """The records in the order of priority; none where there is no cache, or a broken one. Blocks.

    Raises `OSError` for one that cannot be read.
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
    """Make these the cache, in one step. Blocks; raises `OSError`, and then nothing changed."""
    document = {"form": _FORM, "repositories": [_values(record) for record in records]}
    content = json.dumps(document, indent=1).encode()
    write_atomically(directory / MANIFEST_FILE, content)


def read_index(directory: Path) -> Index:
    """What the cache in `directory` offers. Blocks, and may be called by any process.

    A snapshot that cannot be read offers nothing.
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
    """All offers, and whether a snapshot is gone."""
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
    """Remove the snapshots that none of the records names; blocks.

    What cannot be removed now is tried again the next time.
    """
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
    """Raises `TypeError`, `KeyError` and `ValueError` for what we have not written."""
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
    raise ValueError("not a record of ours")
