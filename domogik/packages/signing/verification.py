"""Verifies a repository's signatures: a TUF client without a network.

`tuf` would fetch one file after the other itself, in a thread with limits and TLS rules of its own.
Here it is given the files fetched so far; if it needs another one, `verify` returns its name, and
the caller fetches it and calls again. Verified files are in the directory and not requested again.

Import this module only for a signed repository, since importing `tuf` is slow. The workflow is in
section 5 of the TUF specification 1.0.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import attrs
from tuf.api.exceptions import (
    BadVersionNumberError,
    DownloadError,
    DownloadHTTPError,
    ExpiredMetadataError,
    RepositoryError,
    UnsignedMetadataError,
)
from tuf.api.metadata import Metadata, Root, Snapshot, Targets, Timestamp
from tuf.ngclient import FetcherInterface, Updater, UpdaterConfig

from domogik.config.files import read_bounded
from domogik.errors import DomogikError
from domogik.packages.signing.targets import Target, Verified

_LIMITS = UpdaterConfig(
    max_root_rotations=64,
    # what a signed snapshot says about lengths counts where it is less
    snapshot_max_length=64_000,
    targets_max_length=32 * 1024 * 1024,
    root_max_length=512_000,
    timestamp_max_length=16_384,
)
#: one more than there can be files to ask for
ROUNDS = _LIMITS.max_root_rotations + 4
_HEX = re.compile(r"[0-9a-f]{64}")
#: what hostile JSON makes of code that trusts its own writers
_UNEXPECTED = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError)


class NotTrusted(DomogikError):
    """A repository cannot be trusted; `str()` is a sentence without its URL.

    `may_be_meant`: its publisher may have replaced all keys, so that trust has to be renewed.
    """

    def __init__(self, sentence: str, *, may_be_meant: bool = False) -> None:
        super().__init__(sentence)
        self.may_be_meant = may_be_meant


@attrs.frozen
class Wanted:
    """The metadata file that is needed next, and its maximum size."""

    name: str
    limit_bytes: int


def verify(directory: Path, anchor: bytes, known: Mapping[str, bytes | None]) -> Verified | Wanted:
    """Return what the repository has signed, or the file that has to be fetched for it.

    `anchor` is a trusted root file; `directory` stores what was verified before, so that older
    states are refused. `known` has the fetched files by name, None for a missing one. Blocks;
    raises `NotTrusted` and `OSError`.
    """
    fetched = _Fetched(known)
    try:
        updater = Updater(str(directory), "", fetcher=fetched, config=_LIMITS, bootstrap=anchor)
    except (RepositoryError, *_UNEXPECTED) as error:
        raise NotTrusted(f"the root file is none: {error}", may_be_meant=True) from error
    try:
        updater.refresh()
        return _verified(directory)
    except DownloadError as error:
        if fetched.wanted is None:
            raise _refusal(error) from error
        return fetched.wanted
    except (RepositoryError, *_UNEXPECTED) as error:
        raise _refusal(error) from error


def is_root(content: bytes) -> bool:
    """Return whether the content is meant to be a root file, instead of an error page."""
    try:
        return bool(Metadata[Any].from_bytes(content).signed.type == Root.type)
    except (RepositoryError, *_UNEXPECTED):
        return False


@attrs.define(eq=False)
class _Fetched(FetcherInterface):
    """Returns fetched files, and notes which other one was requested."""

    _known: Mapping[str, bytes | None]
    wanted: Wanted | None = None

    def download_bytes(self, url: str, max_length: int) -> bytes:
        name = url.rpartition("/")[2]
        if name not in self._known:
            self.wanted = Wanted(name, max_length)
            raise DownloadError(f"{name} was not fetched yet")
        content = self._known[name]
        if content is None:
            raise DownloadHTTPError(f"{name} is not there", 404)
        return content

    def _fetch(self, url: str) -> Iterator[bytes]:
        raise NotImplementedError


def _verified(directory: Path) -> Verified:
    """Return what `Updater.refresh` has verified and stored."""
    root = _signed(directory, "root", Root)
    timestamp = _signed(directory, "timestamp", Timestamp)
    snapshot = _signed(directory, "snapshot", Snapshot)
    targets = _signed(directory, "targets", Targets)
    expires = min(one.expires for one in (root, timestamp, snapshot, targets))
    files = {
        path: Target(sha256, target.length)
        for path, target in targets.targets.items()
        # by another kind of digest alone we do not know a file
        if _HEX.fullmatch(sha256 := str(target.hashes.get("sha256", "")).lower())
    }
    return Verified(files, expires.timestamp())


def _signed(directory: Path, role: str, kind: type[Any]) -> Any:
    content = read_bounded(directory / f"{role}.json", _LIMITS.targets_max_length)
    return Metadata[Any].from_bytes(content).signed


def _refusal(error: Exception) -> NotTrusted:
    match error:
        case ExpiredMetadataError():
            return NotTrusted(
                f"its signatures are out of date ({error}): its publisher has to sign it"
                " again; what is known of it stays"
            )
        case BadVersionNumberError():
            sentence = (
                f"it shows an older state than it did before ({error}): a mirror that is behind,"
                " or newer releases are held back"
            )
        case UnsignedMetadataError():
            sentence = f"its signatures are not by the keys that are trusted ({error})"
        case DownloadHTTPError() if str(error).startswith("timestamp"):
            sentence = f"it is signed no longer ({error}), and nothing is taken from it without"
        case _:
            return NotTrusted(
                f"its signatures cannot be understood, or do not fit together ({error}): refresh"
                " again later, or ask its publisher"
            )
    return NotTrusted(sentence, may_be_meant=True)
