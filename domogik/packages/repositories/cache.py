"""The cache of what repositories offer: fetched beside the old state, then switched."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeAlias

import attrs
from twisted.internet.defer import Deferred, DeferredLock
from twisted.logger import Logger

from domogik.errors import DomogikError
from domogik.packages.http.fetch import Conditions, Fetcher
from domogik.packages.repositories.archive_form import ArchiveRepository
from domogik.packages.repositories.index import Index
from domogik.packages.repositories.list_form import ListRepository
from domogik.packages.repositories.manifest import (
    SNAPSHOTS,
    ManifestEntry,
    read_index,
    read_manifest,
    remove_others,
    write_manifest,
)
from domogik.packages.repositories.recognition import (
    Entrance,
    Form,
    FoundRepository,
    recognise,
    recognise_signed,
)
from domogik.packages.repositories.snapshot import (
    BrokenSnapshot,
    Listing,
    read_listing,
    signed_listing,
    write_listing,
)
from domogik.packages.signing.remembered_trust import Signatures
from domogik.packages.signing.signed_repository import NotAsSigned, SignedFetcher
from domogik.packages.signing.targets import Verified
from domogik.packages.sources import Source
from domogik.threads import Threads

_TIMEOUT_S = 1800


class CacheFailed(DomogikError):
    """The cache directory cannot be used; `str()` is a sentence with its path."""


@attrs.frozen
class RefreshProgress:
    """The progress of a repository: `done` of `total` packages, or bytes of one archive."""

    url: str
    done: int
    total: int


@attrs.frozen
class SourceReport:
    """The result of a refresh for one repository.

    `error` is empty, or says why the old state stays; `unchanged` means that there was nothing new.
    `offered` counts the packages (0 after an error), `problems` say what was left out. `as_of` is
    the Unix time of what is offered now.
    """

    source: Source
    error: str = ""
    unchanged: bool = False
    offered: int = 0
    problems: tuple[str, ...] = ()
    as_of: float | None = None

    @property
    def ok(self) -> bool:
        """Whether the cache has what the repository offers."""
        return not self.error


@attrs.frozen
class Report:
    """The result of a refresh, by repository in order of priority."""

    sources: tuple[SourceReport, ...]

    @property
    def ok(self) -> bool:
        """Whether all repositories were fetched."""
        return all(report.ok for report in self.sources)


OnProgress: TypeAlias = Callable[[RefreshProgress], None]


@attrs.define(eq=False)
class Cache:
    """The cache in `directory`, with one process that refreshes and many that read.

    `in_thread(f, *args)` calls blocking functions; `now()` returns Unix time. `trust` is the
    directory of trusted signatures, which cannot be fetched again. At most two snapshots of each
    repository are kept.
    """

    _directory: Path
    _fetcher: Fetcher
    _in_thread: Threads
    _now: Callable[[], float]
    _trust: Path
    _signatures: Signatures = attrs.field(init=False)
    _one_at_a_time: DeferredLock = attrs.field(factory=DeferredLock, init=False)
    _log = Logger()

    def __attrs_post_init__(self) -> None:
        self._signatures = Signatures(self._trust, self._fetcher, self._in_thread)

    async def load(self) -> Index:
        """Return what was offered at the last refresh; empty before the first one."""
        return await self._in_thread(read_index, self._directory)

    async def records(self) -> tuple[ManifestEntry, ...]:
        """Return the state of each repository: its time, and errors since."""
        return await self._in_thread(read_manifest, self._directory)

    async def refresh(
        self,
        sources: Iterable[Source],
        progress: OnProgress | None = None,
        *,
        only: Callable[[Source], bool] = lambda source: True,
    ) -> Report:
        """Fetch what the repositories offer, in parallel, or only those selected by `only`.

        A repository that fails keeps its old state; one that is not among `sources` is removed. The
        new state becomes visible at the end, in one step. A second refresh waits for the first.
        Raises `CacheFailed` if nothing was changed.
        """
        await self._one_at_a_time.acquire()
        try:
            return await self._refresh(tuple(sources), only, progress or _ignore)
        except OSError as error:
            raise CacheFailed(f"{self._directory}: {error.strerror or error}") from error
        finally:
            self._one_at_a_time.release()

    async def _refresh(
        self,
        sources: tuple[Source, ...],
        is_meant: Callable[[Source], bool],
        progress: OnProgress,
    ) -> Report:
        before = await self._in_thread(self._prepare)
        known = {record.source.url: record for record in before}
        work = [
            Deferred.fromCoroutine(self._source(source, known.get(source.url), progress))
            for source in sources
            if is_meant(source)
        ]
        try:
            done = [await one for one in work]
        finally:
            for one in work:
                one.cancel()
        known |= {record.source.url: record for record, _ in done}
        records = tuple(
            attrs.evolve(known.get(source.url, ManifestEntry(source)), source=source)
            for source in sources
        )
        await self._in_thread(write_manifest, self._directory, records)
        # the previous ones stay for processes that are reading them
        await self._in_thread(remove_others, self._directory, (*before, *records))
        return Report(tuple(report for _, report in done))

    def _prepare(self) -> tuple[ManifestEntry, ...]:
        """Remove what an interrupted refresh left; blocks."""
        (self._directory / SNAPSHOTS).mkdir(mode=0o700, parents=True, exist_ok=True)
        records = read_manifest(self._directory)
        remove_others(self._directory, records)
        return records

    async def _source(
        self, source: Source, known: ManifestEntry | None, progress: OnProgress
    ) -> tuple[ManifestEntry, SourceReport]:
        """Update one repository; errors are in its report."""
        record = attrs.evolve(known, source=source) if known is not None else ManifestEntry(source)
        try:
            return await self._fetcher.within(
                _TIMEOUT_S, source.url, self._update(record, progress)
            )
        except DomogikError as error:
            sentence = str(error)
        except OSError as error:
            sentence = f"{source.url}: cannot be kept: {error.strerror or error}"
        self._log.warn("refresh failed: {sentence}", sentence=sentence)
        record = attrs.evolve(record, error=sentence)
        return record, SourceReport(source, sentence, as_of=record.as_of)

    async def _update(
        self, record: ManifestEntry, progress: OnProgress
    ) -> tuple[ManifestEntry, SourceReport]:
        try:
            return await self._fetched(record, progress)
        except NotAsSigned:
            # it may have been published anew between its signatures and the rest
            return await self._fetched(record, progress)

    async def _fetched(
        self, record: ManifestEntry, progress: OnProgress
    ) -> tuple[ManifestEntry, SourceReport]:
        source = record.source
        old = await self._in_thread(self._usable, record)
        found, verified = await self._look(record, _entrance(record) if old else None)
        expires = None if verified is None else verified.expires
        if found is None:
            assert old is not None
            record = attrs.evolve(record, as_of=self._now(), error="", expires=expires)
            return record, _report(record, old[1], unchanged=True)

        def on_progress(done: int, total: int) -> None:
            progress(RefreshProgress(source.url, done, total))

        directory = await self._in_thread(self._new_snapshot, source)
        listing = await self._filled(
            found, verified, directory, old[0] if old else None, on_progress
        )
        await self._in_thread(write_listing, directory, listing)
        entrance = found.entrance
        if not listing.lasting:
            entrance = attrs.evolve(entrance, digest="", conditions=Conditions())
        record = ManifestEntry(
            source,
            directory.name,
            as_of=self._now(),
            error="",
            entrance=_saved(entrance),
            signed=verified is not None,
            expires=expires,
        )
        return record, _report(record, listing)

    async def _look(
        self, record: ManifestEntry, known: Entrance | None
    ) -> tuple[FoundRepository | None, Verified | None]:
        """Return the current repository, None if it is the `known` one; and what is signed."""
        source = record.source
        # what was known of a signed one means nothing of one that is not, and the other way round
        unsigned = None if record.signed else known
        verified = await self._signatures.verified(source)
        if verified is None:
            found = await recognise(self._fetcher, source, unsigned)
            if found is None:
                return None, None
            verified = await self._signatures.offered(source)
            if verified is None:
                return found, None
        fetcher = SignedFetcher(self._fetcher, source.url, verified.files)
        signed = known if record.signed else None
        return await recognise_signed(fetcher, source, verified, signed), verified

    async def _filled(
        self,
        found: FoundRepository,
        verified: Verified | None,
        directory: Path,
        old: Path | None,
        on_progress: Callable[[int, int], None],
    ) -> Listing:
        form = found.entrance.form
        if form is Form.EMPTY:
            return Listing(found.base)
        given = self._in_thread, found, directory, on_progress
        if verified is None:
            if form is Form.LIST:
                return await ListRepository(self._fetcher, *given).fill(old)
            return await ArchiveRepository(self._fetcher, *given).fill()
        fetcher = SignedFetcher(self._fetcher, found.base, verified.files)
        if form is Form.LIST:
            listing = await ListRepository(fetcher, *given).fill(old, fetcher.is_valid)
        else:
            listing = await ArchiveRepository(fetcher, *given).fill()
        return await self._in_thread(signed_listing, listing, verified.files)

    def _usable(self, record: ManifestEntry) -> tuple[Path, Listing] | None:
        """Return the snapshot of a record, if it is complete."""
        if record.snapshot is None:
            return None
        path = self._directory / SNAPSHOTS / record.snapshot
        try:
            return path, read_listing(path)
        except (OSError, BrokenSnapshot):
            return None

    def _new_snapshot(self, source: Source) -> Path:
        prefix = f"{hashlib.sha256(source.url.encode()).hexdigest()[:12]}-"
        return Path(tempfile.mkdtemp(prefix=prefix, dir=self._directory / SNAPSHOTS))


def _report(record: ManifestEntry, listing: Listing, *, unchanged: bool = False) -> SourceReport:
    return SourceReport(
        source=record.source,
        unchanged=unchanged,
        offered=len(listing.entries),
        problems=listing.problems,
        as_of=record.as_of,
    )


def _saved(entrance: Entrance) -> dict[str, str | None]:
    return {
        "form": entrance.form.value,
        "url": entrance.url,
        "digest": entrance.digest,
        "etag": entrance.conditions.etag,
        "last_modified": entrance.conditions.last_modified,
    }


def _entrance(record: ManifestEntry) -> Entrance | None:
    """Return what `_saved` saved; None for anything else."""
    match record.entrance:
        case {
            "form": str(form),
            "url": str(url),
            "digest": str(digest),
            "etag": (str() | None) as etag,
            "last_modified": (str() | None) as last_modified,
        } if form in {known.value for known in Form}:
            return Entrance(Form(form), url, digest, Conditions(etag, last_modified))
    return None


def _ignore(progress: RefreshProgress) -> None:
    """Ignore the progress."""
