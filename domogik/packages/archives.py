"""Archives of packages on this host: fetched once, checked, and kept while there is room."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred, DeferredLock

from domogik.packages.download import Progress, sha256_of
from domogik.packages.fetch import Fetcher
from domogik.packages.index import Offer

#: one archive; real packages have some ten kilobytes, with wheels some ten megabytes
MAXIMUM_BYTES = 256 * 1024 * 1024
_KEPT_BYTES = 1024 * 1024 * 1024


@attrs.define(eq=False)
class Archives:
    """The archives in `directory`, which nobody else writes to.

    At most `kept_bytes` stay, those that were wanted last. `in_thread(f, *args)` calls what blocks.
    """

    _directory: Path
    _fetcher: Fetcher
    _in_thread: Callable[..., Awaitable[Any]]
    _kept_bytes: int = _KEPT_BYTES
    _locks: dict[Path, DeferredLock] = attrs.field(factory=dict, init=False)

    async def get(self, offer: Offer, progress: Progress | None = None) -> Path:
        """The archive of an offer, from here or from its repository.

        What the repository says of size and digest holds. Whoever asks for the same archive
        meanwhile waits for it. Raises `FetchFailed` and `OSError`.
        """
        target = self._path(offer)
        lock = self._locks.setdefault(target, DeferredLock())
        await lock.acquire()
        try:
            if not await self._in_thread(self._have, target, offer):
                await self._fetcher.download(
                    offer.url,
                    target,
                    limit_bytes=MAXIMUM_BYTES,
                    sha256=offer.sha256,
                    size=offer.size,
                    progress=progress,
                )
                await self._in_thread(self._make_room, target)
            return target
        finally:
            lock.release()
            if not lock.locked and not lock.waiting:
                self._locks.pop(target, None)

    def forget(self, offer: Offer) -> Deferred[None]:
        """Do without it, since it proved to be no good; the next `get` fetches it anew."""
        return Deferred.fromCoroutine(self._forget(self._path(offer)))

    async def _forget(self, target: Path) -> None:
        await self._in_thread(target.unlink, True)

    def _path(self, offer: Offer) -> Path:
        # another repository may have something else under that name
        key = hashlib.sha256(f"{offer.url} {offer.sha256}".encode()).hexdigest()[:12]
        return self._directory / f"{offer.ref.file_stem}-{key}.tgz"

    def _have(self, target: Path, offer: Offer) -> bool:
        """Whether it is here and still what it should be; blocks."""
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not target.is_file():
            return False
        if offer.sha256 is not None and sha256_of(target) != offer.sha256:
            target.unlink()
            return False
        os.utime(target)
        return True

    def _make_room(self, newest: Path) -> None:
        """Remove those that nobody has wanted for longest; blocks."""
        found = []
        for path in self._directory.iterdir():
            if path != newest and path.is_file():
                status = path.stat()
                found.append((status.st_mtime, status.st_size, path))
        left = self._kept_bytes - newest.stat().st_size
        for _, size, path in sorted(found, reverse=True):
            left -= size
            if left < 0:
                path.unlink(missing_ok=True)
