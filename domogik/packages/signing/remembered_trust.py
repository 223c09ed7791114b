"""The trust in repositories: which are signed, and by which keys.

Each repository has a directory in `trust/`, outside of the cache: the first trusted root file
(`anchor.json`), and what was verified last, so that an older state is refused. Otherwise its layout
is that of `tuf`.
"""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import attrs
from twisted.logger import Logger

from domogik.config.files import read_bounded, write_atomically
from domogik.errors import DomogikError, FetchFailed
from domogik.packages.archive import durable
from domogik.packages.http.fetch import Fetcher
from domogik.packages.http.response import Unreachable
from domogik.packages.signing.targets import METADATA, Verified
from domogik.packages.sources import Source, read_root_file
from domogik.threads import Threads

_ANCHOR = "anchor.json"
_FIRST_ROOT = "1.root.json"
_ROOT_BYTES = 512_000
#: what a server says that does not give a file
_MISSING = (403, 404, 410)
_NEW = ".new-"


class BrokenSignatures(DomogikError):
    """The signatures of a repository are not valid; `str()` names it and says what to do."""


@attrs.define(eq=False)
class Signatures:
    """Stores in `directory` which repositories are signed. `in_thread` calls blocking functions.

    Calls about the same repository must not overlap.
    """

    _directory: Path
    _fetcher: Fetcher
    _in_thread: Threads
    _log: Logger = Logger()

    async def verified(self, source: Source) -> Verified | None:
        """Return what the repository has signed; None if it was never signed.

        Raises `BrokenSignatures`, `FetchFailed`, `NoRootFile` and `OSError`: nothing may be used
        from it then.
        """
        if source.is_uploads:
            return None
        directory = self._directory_of(source)
        pinned = await self._in_thread(_anchor, directory)
        if source.root_file is None:
            if pinned is None:
                return None
            advice = f"if it was meant to change, remove {directory} and refresh again"
            return await self._verify(source, directory, pinned, advice)
        anchor = await self._in_thread(read_root_file, source)
        advice = f"the root file in use is {source.root_file} ({source.place})"
        found = await self._verify(source, directory, anchor, advice)
        if anchor != pinned:
            # so that nothing is lost when the line does not say it any more
            await self._in_thread(write_atomically, directory / _ANCHOR, anchor)
        return found

    async def offered(self, source: Source) -> Verified | None:
        """Return what the repository has signed, if it offers signatures; they are required from
        now on.

        None if it offers none. Raises as `verified` does, and stores nothing then.
        """
        if source.is_uploads:
            return None
        url = f"{source.url}/{METADATA}/{_FIRST_ROOT}"
        try:
            reply = await self._fetcher.get(url, limit_bytes=_ROOT_BYTES)
        except Unreachable:
            raise
        except FetchFailed:
            # a server that redirects requests for missing files offers no signatures
            return None
        if reply.status != 200 or not await self._in_thread(_is_root, reply.body):
            return None
        directory = self._directory_of(source)
        new = directory.with_name(f"{_NEW}{directory.name}")
        await self._in_thread(_remove, new)
        advice = "nothing was taken from it yet; refresh again, or ask its publisher"
        found = await self._verify(source, new, reply.body, advice)
        await self._in_thread(_store_trust, new, directory, reply.body)
        self._log.info("{url} is signed, and has to be from now on", url=source.url)
        return found

    async def _verify(
        self, source: Source, directory: Path, anchor: bytes, advice: str
    ) -> Verified:
        known: dict[str, bytes | None] = {}
        await self._in_thread(_make, directory)
        while True:
            outcome = await self._in_thread(
                _verify, directory, anchor, known, url=source.url, advice=advice
            )
            if isinstance(outcome, Verified):
                return outcome
            url = f"{source.url}/{METADATA}/{outcome.name}"
            reply = await self._fetcher.get(url, limit_bytes=outcome.limit_bytes)
            known[outcome.name] = None if reply.status in _MISSING else reply.content()

    def _directory_of(self, source: Source) -> Path:
        """Return the directory for the URL; the same server under another name is separate."""
        digest = hashlib.sha256(source.url.encode()).hexdigest()[:12]
        host = urlsplit(source.url).hostname or "directory"
        return self._directory / f"{host}-{digest}"


def _verify(
    directory: Path, anchor: bytes, known: dict[str, bytes | None], url: str, advice: str
) -> Any:
    """Call `verify`, with errors that name the repository. In a thread, because of the import."""
    from domogik.packages.signing.verification import ROUNDS, NotTrusted, verify

    try:
        if len(known) > ROUNDS:
            raise NotTrusted("its metadata do not end")
        outcome = verify(directory, anchor, dict(known))
    except NotTrusted as error:
        advice = f"; {advice}" if error.may_be_meant else ""
        raise BrokenSignatures(f"{url}: {error}{advice}") from error
    if isinstance(outcome, Verified):
        durable.sync_file_system(directory)
    return outcome


def _is_root(content: bytes) -> bool:
    if not content.lstrip().startswith(b"{"):
        return False
    from domogik.packages.signing.verification import is_root

    return is_root(content)


def _anchor(directory: Path) -> bytes | None:
    try:
        return read_bounded(directory / _ANCHOR, _ROOT_BYTES)
    except FileNotFoundError:
        return None


def _make(directory: Path) -> None:
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)


def _remove(directory: Path) -> None:
    if directory.exists():
        shutil.rmtree(directory)


def _store_trust(new: Path, directory: Path, anchor: bytes) -> None:
    """Store the first trust with one rename."""
    write_atomically(new / _ANCHOR, anchor)
    # without an anchor it is what a root file left that never led anywhere
    _remove(directory)
    new.rename(directory)
    durable.sync_directory(directory.parent)
