"""The repositories: their offers, and the local repository for uploads."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
from twisted.internet.defer import DeferredLock
from twisted.logger import Logger

from domogik.components.events import EventStream
from domogik.errors import OperationFailed
from domogik.manager.jobs import Progress
from domogik.manager.packages.archives import Archives, Told
from domogik.manager.packages.interfaces import RepositoryInfo
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.descriptor.requirements import Requirement
from domogik.packages.publish.repository import CannotSign, RepositoryBusy
from domogik.packages.publish.uploads import accept_upload
from domogik.packages.repositories.cache import Cache, RefreshProgress
from domogik.packages.repositories.index import Index, fits
from domogik.packages.repositories.manifest import ManifestEntry
from domogik.packages.sources import Source, Sources, read_sources
from domogik.packages.store.installation import Place
from domogik.threads import Threads


@attrs.define(eq=False, kw_only=True)
class Repositories:
    """The index in memory, and what changes it.

    `sources` is the file or directory that names them, `uploads` the local one. `today()` is the
    date that a changed local repository carries. Publishes `repositories.changed` {}.
    """

    _sources_path: Path
    _uploads: Path
    _cache: Cache
    _archives: Archives
    _in_thread: Threads
    _events: EventStream
    _today: Callable[[], str]
    _log: Logger = Logger()
    index: Index = Index()
    _sources: Sources = Sources(())
    _records: tuple[ManifestEntry, ...] = ()
    _said: frozenset[str] = frozenset()
    _looking: DeferredLock = attrs.field(init=False, factory=DeferredLock)

    def all(self) -> tuple[RepositoryInfo, ...]:
        """Return the repositories, highest priority first, as read last."""
        nothing = ManifestEntry(Source(0, ""))
        known = {record.source.url: record for record in self._records}
        counts: dict[str, int] = {}
        for offer in self.index.offers:
            counts[offer.source.url] = counts.get(offer.source.url, 0) + 1
        return tuple(
            RepositoryInfo(
                url=source.url,
                priority=source.priority,
                as_of=record.as_of,
                packages=counts.get(source.url, 0),
                error=record.error,
                signed=record.signed,
                expires=record.expires,
                accepted=source.is_accepted,
            )
            for source in self._sources.entries
            for record in (known.get(source.url, nothing),)
        )

    async def look(self) -> None:
        """Read again what the files say: the repositories, and the cache where it has changed."""
        await self._looking.acquire()
        try:
            sources = await self._in_thread(read_sources, self._sources_path, self._uploads)
            records = await self._cache.records()
            changed = records != self._records or sources != self._sources
            if changed:
                self.index = _trusted(await self._cache.load(), sources)
            self._sources, self._records = sources, records
        except OSError as error:
            self._log.error("the cache cannot be read: {error}", error=str(error))
            return
        finally:
            self._looking.release()
        self._complain(sources.problems)
        if changed:
            self._events.publish("repositories.changed")

    async def refresh(self, progress: Progress, only_uploads: bool = False) -> None:
        """Ask them what they offer; one that fails keeps what it offered before.

        Raises `CacheFailed` where nothing can be kept.
        """
        sources = await self._in_thread(read_sources, self._sources_path, self._uploads)
        wanted = [one for one in sources.entries if one.is_uploads or not only_uploads]
        done: dict[str, RefreshProgress] = {}

        def told(step: RefreshProgress) -> None:
            done[step.url] = step
            total = sum(one.done / one.total for one in done.values() if one.total)
            progress.stage("fetching", 100 * total / len(wanted))

        progress.stage("asking")
        report = await self._cache.refresh(sources.entries, told, only=wanted.__contains__)
        for one in report.sources:
            for problem in one.problems:
                self._log.warn("{problem}", problem=problem)
        await self.look()

    async def archive(self, ref: PackageRef, told: Told | None = None) -> Path:
        """Return the archive of a release; `UnknownRelease`, `FetchFailed`, `OperationFailed`."""
        offer = self.index.find(ref.type, ref.id, ref.release)
        return await self.fetch(ref, Place(offer.url, offer.sha256, offer.size), told)

    def newest_plugin(self, requirement: Requirement) -> str | None:
        """Return the newest suitable release that is offered."""
        offers = self.index.releases("plugin", requirement.name)
        suitable = (
            offer.package.release
            for offer in offers
            if fits(offer.package) and requirement.fits(offer.package.release)
        )
        return next(suitable, None)

    def signed_digest(self, ref: PackageRef) -> str | None:
        """Return the signed SHA-256 of the archive, None without a signature."""
        for offer in self.index.offers:
            if offer.signed and offer.ref == ref and offer.sha256:
                return offer.sha256
        return None

    async def fetch(self, ref: PackageRef, place: Place, told: Told | None = None) -> Path:
        """Return the archive at that place; raises `FetchFailed`, `OperationFailed`."""
        try:
            ordered = self._is_named(place)
            if place.sha256 is None and place.url.startswith("http") and ordered:
                await self._archives.forget(ref, place)
            return await self._archives.get(ref, place, told, ordered=ordered)
        except OSError as error:
            raise OperationFailed(
                f"the archive of {ref} cannot be kept: {error.strerror or error}"
            ) from error

    def _is_named(self, place: Place) -> bool:
        """Whether an order names it: of a repository, a release does not change."""
        return all(offer.url != place.url for offer in self.index.offers)

    async def accept_upload(self, path: Path, named: PackageRef | None = None) -> PackageRef:
        """Check an archive, which has to be `named`, and offer it once the cache is refreshed.

        Raises `BrokenArchive`, `OperationFailed`.
        """
        try:
            ref = await self._in_thread(accept_upload, path, self._uploads, self._today(), named)
        except OSError as error:
            raise OperationFailed(
                f"{self._uploads} cannot be written: {error.strerror or error}"
            ) from error
        except (CannotSign, RepositoryBusy) as error:
            raise OperationFailed(str(error)) from error
        return ref

    def _complain(self, problems: Iterable[str]) -> None:
        """Each thing once while it lasts."""
        sentences = frozenset(problems)
        for sentence in sorted(sentences - self._said):
            self._log.warn("{sentence}", sentence=sentence)
        self._said = sentences


def _trusted(index: Index, sources: Sources) -> Index:
    """Without what was fetched unsigned from a repository whose line says by now that it is signed.

    What is signed comes with the next refresh.
    """
    signed = {one.url for one in sources.entries if one.root_file is not None}
    offers = [one for one in index.offers if one.signed or one.source.url not in signed]
    return attrs.evolve(index, offers=offers)
