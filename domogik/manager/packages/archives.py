"""Archives of packages: fetched once, verified, and kept while there is space."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import attrs
from twisted.internet.defer import DeferredLock

from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.http.download import sha256_of
from domogik.packages.http.fetch import Fetcher
from domogik.packages.store.installation import Place
from domogik.threads import Threads

#: no package is larger, and a repository that says so is not believed
LARGEST_BYTES = 256 * 1024 * 1024
#: archives together; beyond that those that were not wanted for the longest time go
ROOM_BYTES = 1024 * 1024 * 1024
#: bytes that arrived, and of how many where that is known
Told = Callable[[int, int | None], None]


@attrs.define(eq=False)
class Archives:
    """The archives in `directory`. `in_thread(f, *args)` calls what blocks."""

    _directory: Path
    _fetcher: Fetcher
    _in_thread: Threads
    _locks: dict[Path, DeferredLock] = attrs.field(init=False, factory=dict)

    async def get(
        self, ref: PackageRef, place: Place, told: Told | None = None, *, ordered: bool = False
    ) -> Path:
        """The file with the archive; asked for twice at once it is fetched once.

        `ordered`: the place and its digest are those of an order that is trusted.

        Raises `FetchFailed`, and `OSError` for what cannot be kept.
        """
        target = self._file(ref, place)
        lock = self._locks.setdefault(target, DeferredLock())
        await lock.acquire()
        try:
            if not await self._in_thread(_is_there, target, place.sha256):
                await self._fetcher.download(
                    place.url,
                    target,
                    limit_bytes=LARGEST_BYTES,
                    sha256=place.sha256,
                    size=place.size,
                    progress=told,
                    accept_any_certificate=ordered,
                )
                await self._in_thread(_make_room, self._directory, target)
        finally:
            lock.release()
            if not lock.waiting:
                self._locks.pop(target, None)
        return target

    async def forget(self, ref: PackageRef, place: Place) -> None:
        """Remove the archive, so that it is fetched again."""
        await self._in_thread(self._file(ref, place).unlink, True)

    def _file(self, ref: PackageRef, place: Place) -> Path:
        """Return the path of an archive, with the digest, since releases can share a name."""
        key = (place.sha256 or hashlib.sha256(place.url.encode()).hexdigest())[:16].lower()
        return self._directory / f"{ref.file_stem}.{key}.tgz"


def _is_there(path: Path, sha256: str | None) -> bool:
    """Return whether the archive is complete, and mark it as used. Makes its directory."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        os.utime(path)
    except FileNotFoundError:
        return False
    return sha256 is None or sha256_of(path) == sha256.lower()


def _make_room(directory: Path, but: Path) -> None:
    found = sorted(
        ((path.stat(), path) for path in directory.glob("[!.]*.tgz")),
        key=lambda entry: entry[0].st_mtime,
        reverse=True,
    )
    room = ROOM_BYTES
    for status, path in found:
        room -= status.st_size
        if room < 0 and path != but:
            path.unlink(missing_ok=True)
