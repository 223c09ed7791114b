"""Are a repository's signatures good? The client side of TUF, without a network.

`tuf` asks for one file after the other and would fetch them itself, in a thread of its own time
limits and TLS rules. Here it is given what was fetched already; where it asks for more, that is the
answer, and whoever called comes again with it. What was verified lies in the directory, so nothing
is asked for twice.

Import this only where a repository is signed: `tuf` takes longer to import than a command to run.
The client's workflow is section 5 of the TUF specification, 1.0.
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
    """Nothing can be taken from a repository; `str()` is a sentence without the address.

    `may_be_meant`: its publisher may have begun anew, so that trust has to begin anew too.
    """

    def __init__(self, sentence: str, *, may_be_meant: bool = False) -> None:
        super().__init__(sentence)
        self.may_be_meant = may_be_meant


@attrs.frozen
class Wanted:
    """A file of the metadata that is needed next, and how many bytes of it are taken."""

    name: str
    limit_bytes: int


def verify(directory: Path, anchor: bytes, known: Mapping[str, bytes | None]) -> Verified | Wanted:
    """What the repository has signed, or what has to be fetched to know it.

    `anchor` is a root file that is trusted; `directory` remembers what was verified before, against
    older states that come again. `known` holds what was fetched since the last answer by name, None
    for what is not there. Blocks; raises `NotTrusted` and `OSError`.
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
    """Whether that is meant to be a root file, and not a page that says there is none."""
    try:
        return bool(Metadata[Any].from_bytes(content).signed.type == Root.type)
    except (RepositoryError, *_UNEXPECTED):
        return False


@attrs.define(eq=False)
class _Fetched(FetcherInterface):
    """Gives what was fetched, and remembers what else was asked for."""

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
    """What `Updater.refresh` has verified and left."""
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
                f"its signatures are out of date ({error}): who publishes it has to sign it"
                " again; what is known of it stays"
            )
        case BadVersionNumberError():
            sentence = (
                f"it shows an older state than it did before ({error}): a mirror that is behind,"
                " or somebody holds newer releases back"
            )
        case UnsignedMetadataError():
            sentence = f"its signatures are not by the keys that are trusted ({error})"
        case DownloadHTTPError() if str(error).startswith("timestamp"):
            sentence = f"it is signed no longer ({error}), and nothing is taken from it without"
        case _:
            return NotTrusted(
                f"its signatures cannot be understood, or do not fit together ({error}): refresh"
                " again later, or ask who publishes it"
            )
    return NotTrusted(sentence, may_be_meant=True)
