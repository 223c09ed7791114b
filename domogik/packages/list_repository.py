"""The older generation: a list, then a descriptor and an icon for each package."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults

from domogik.packages.descriptor import MAXIMUM_BYTES, BrokenDescriptor, read
from domogik.packages.fetch import Fetcher, FetchFailed, Unreachable
from domogik.packages.recognition import MAXIMUM_PROBLEMS, Found, read_list
from domogik.packages.reference import InvalidReference, PackageRef
from domogik.packages.snapshot import Entry, Listing, carry_over, is_png

_ICON_BYTES = 512 * 1024
_TOTAL_BYTES = 256 * 1024 * 1024
#: a repository that does not give its icons is not asked for all of them
_LOST_ICONS = 5
_T = TypeVar("_T")


@attrs.define(eq=False)
class ListRepository:
    """Fills a snapshot from what `found` lists; `told(done, total)` counts packages."""

    _fetcher: Fetcher
    _in_thread: Callable[..., Awaitable[Any]]
    _found: Found
    _directory: Path
    _told: Callable[[int, int], None]
    _entries: dict[PackageRef, Entry] = attrs.field(factory=dict, init=False)
    _problems: list[str] = attrs.field(factory=list, init=False)
    _total: int = attrs.field(default=0, init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _lost_icons: int = attrs.field(default=0, init=False)
    _lasting: bool = attrs.field(default=True, init=False)

    async def fill(self, old: Path | None) -> Listing:
        """All packages of the list; those of `old` are taken over.

        One that is not there, or is no package, is left out and told in `problems`. Raises
        `FetchFailed` when the repository cannot be reached any more, and `OSError`.
        """
        refs, problems = await self._in_thread(read_list, self._found.base, self._found.body)
        self._problems += problems[:MAXIMUM_PROBLEMS]
        self._total = len(refs)
        if old is not None:
            self._entries = await self._in_thread(carry_over, old, self._directory, refs)
        missing = [ref for ref in refs if ref not in self._entries]
        self._told(self._total - len(missing), self._total)
        await in_parallel(self._fetcher.limits.connections_per_host, missing, self._package)
        entries = tuple(self._entries[ref] for ref in refs if ref in self._entries)
        return Listing(self._found.base, entries, tuple(self._problems), self._lasting)

    async def _package(self, ref: PackageRef) -> None:
        url = f"{self._found.base}/xml/{ref.type}/{ref.id}/{ref.release}"
        try:
            content = await self._get(url, MAXIMUM_BYTES)
        except Unreachable:
            raise
        except FetchFailed as error:
            # a list may be written before what it lists
            self._lasting = False
            self._problem(str(error))
        else:
            icon = await self._icon(ref)
            problem = await self._in_thread(_keep, self._directory, ref, content, icon)
            if problem is None:
                self._entries[ref] = Entry(ref, icon is not None)
            else:
                self._problem(f"{url}{problem}")
        self._told(len(self._entries), self._total)

    async def _icon(self, ref: PackageRef) -> bytes | None:
        """The icon, if there is one: a package is no worse without."""
        if self._lost_icons >= _LOST_ICONS:
            return None
        url = f"{self._found.base}/icon/{ref.type}/{ref.id}/{ref.release}"
        try:
            reply = await self._fetcher.get(url, limit_bytes=_ICON_BYTES)
        except Unreachable as error:
            self._lost_icons += 1
            self._lasting = False
            self._problem(str(error))
            return None
        except FetchFailed as error:
            self._problem(str(error))
            return None
        self._count(reply.url, reply.body)
        return reply.body if reply.status == 200 and is_png(reply.body) else None

    async def _get(self, url: str, limit_bytes: int) -> bytes:
        try:
            reply = await self._fetcher.get(url, limit_bytes=limit_bytes)
            content = reply.content()
        except Unreachable:
            reply = await self._fetcher.get(url, limit_bytes=limit_bytes)
            content = reply.content()
        self._count(url, content)
        return content

    def _count(self, url: str, content: bytes) -> None:
        self._bytes += len(content)
        if self._bytes > _TOTAL_BYTES:
            raise Unreachable(url, f"descriptors and icons are more than {_TOTAL_BYTES} bytes")

    def _problem(self, sentence: str) -> None:
        if len(self._problems) < MAXIMUM_PROBLEMS:
            self._problems.append(sentence)


def _keep(directory: Path, ref: PackageRef, content: bytes, icon: bytes | None) -> str | None:
    """Write descriptor and icon; what is wrong with them when they cannot stay. In a thread."""
    path = directory / f"{ref.file_stem}.xml"
    path.write_bytes(content)
    problem: str | None = None
    try:
        told = PackageRef.of(read(path))
        if told != ref:
            problem = f": describes {told}, not {ref}"
    except InvalidReference as error:
        problem = f": {error}"
    except BrokenDescriptor as error:
        # the file's name means nothing to anybody
        problem = str(error).removeprefix(str(path))
    if problem is not None:
        path.unlink()
    elif icon is not None:
        (directory / f"{ref.file_stem}.png").write_bytes(icon)
    return problem


async def in_parallel(
    width: int, items: Iterable[_T], work: Callable[[_T], Coroutine[Any, Any, None]]
) -> None:
    """Do `work` on all items, `width` at a time; the first error ends them all."""
    pending = iter(items)

    async def worker() -> None:
        for item in pending:
            await work(item)

    workers = [Deferred.fromCoroutine(worker()) for _ in range(width)]
    try:
        await gatherResults(workers, consumeErrors=True)
    except FirstError as error:
        error.subFailure.raiseException()
    finally:
        for one in workers:
            one.cancel()
