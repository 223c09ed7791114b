"""The older kind of repository: a list, and a descriptor and an icon for each package."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import Any, TypeVar

import attrs
from twisted.internet.defer import Deferred, FirstError, gatherResults

from domogik.errors import FetchFailed
from domogik.packages.descriptor.draft import BrokenDescriptor
from domogik.packages.descriptor.files import MAXIMUM_BYTES, draft
from domogik.packages.descriptor.reference import InvalidReference, PackageRef
from domogik.packages.descriptor.validation import validate
from domogik.packages.http.fetch import Fetching
from domogik.packages.http.response import Unreachable
from domogik.packages.repositories.recognition import MAXIMUM_PROBLEMS, FoundRepository, read_list
from domogik.packages.repositories.snapshot import Entry, Listing, carry_over, is_png
from domogik.threads import Threads

_ICON_BYTES = 512 * 1024
_TOTAL_BYTES = 256 * 1024 * 1024
#: a repository that does not give its icons is not asked for all of them
_LOST_ICONS = 5
#: so many packages are written in one go
_TOGETHER = 40
_T = TypeVar("_T")


@attrs.frozen
class _Arrived:
    ref: PackageRef
    url: str
    descriptor: bytes
    icon: bytes | None


@attrs.define(eq=False)
class ListRepository:
    """Fills a snapshot from the list `found`; `told(done, total)` counts packages."""

    _fetcher: Fetching
    _in_thread: Threads
    _found: FoundRepository
    _directory: Path
    _on_progress: Callable[[int, int], None]
    _entries: dict[PackageRef, Entry] = attrs.field(factory=dict, init=False)
    _problems: list[str] = attrs.field(factory=list, init=False)
    _arrived: list[_Arrived] = attrs.field(factory=list, init=False)
    _total: int = attrs.field(default=0, init=False)
    _bytes: int = attrs.field(default=0, init=False)
    _lost_icons: int = attrs.field(default=0, init=False)
    _lasting: bool = attrs.field(default=True, init=False)

    async def fill(
        self, old: Path | None, is_valid: Callable[[str, Path], bool] = lambda path, file: True
    ) -> Listing:
        """Return all packages of the list; those of `old` are reused if they are valid.

        Missing or invalid packages are noted in `problems`. Raises `FetchFailed` if the repository
        cannot be reached any more, and `OSError`.
        """
        refs, problems = await self._in_thread(read_list, self._found.base, self._found.body)
        self._problems += problems[:MAXIMUM_PROBLEMS]
        self._total = len(refs)
        if old is not None:
            self._entries = await self._in_thread(carry_over, old, self._directory, refs, is_valid)
        missing = [ref for ref in refs if ref not in self._entries]
        self._on_progress(self._total - len(missing), self._total)
        await in_parallel(self._fetcher.limits.connections_per_host, missing, self._package)
        await self._store_arrived()
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
            arrived = _Arrived(ref, url, content, await self._icon(ref))
            # only now: while the icon was waited for, others may have begun a new list
            self._arrived.append(arrived)
            if len(self._arrived) >= _TOGETHER:
                await self._store_arrived()

    async def _store_arrived(self) -> None:
        """Write and validate the waiting packages in one thread, which is cheaper than one each."""
        arrived, self._arrived = self._arrived, []
        problems = await self._in_thread(_store_all, self._directory, arrived)
        for one in arrived:
            problem = problems.get(one.ref)
            if problem is None:
                self._entries[one.ref] = Entry(one.ref, one.icon is not None)
            else:
                self._problem(f"{one.url}{problem}")
        self._on_progress(len(self._entries), self._total)

    async def _icon(self, ref: PackageRef) -> bytes | None:
        """Return the icon, if there is one."""
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


def _store_all(directory: Path, arrived: list[_Arrived]) -> dict[PackageRef, str]:
    """Write descriptors and icons; return the errors of invalid ones. In a thread."""
    problems = {}
    for one in arrived:
        path = directory / f"{one.ref.file_stem}.xml"
        problem = _problem_of(one, path)
        if problem is not None:
            problems[one.ref] = problem
            continue
        path.write_bytes(one.descriptor)
        if one.icon is not None:
            (directory / f"{one.ref.file_stem}.png").write_bytes(one.icon)
    return problems


def _problem_of(one: _Arrived, path: Path) -> str | None:
    try:
        told = PackageRef.of(validate(draft(path, one.descriptor)))
    except InvalidReference as error:
        return f": {error}"
    except BrokenDescriptor as error:
        # the temporary file's name is of no use to the user
        return str(error).removeprefix(str(path))
    return None if told == one.ref else f": describes {told}, not {one.ref}"


async def in_parallel(
    width: int, items: Iterable[_T], work: Callable[[_T], Coroutine[Any, Any, None]]
) -> None:
    """Call `work` for all items, `width` at a time; the first error cancels all."""
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
