"""Restricts a signed repository to the files that it has signed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import attrs

from domogik.config.files import read_bounded
from domogik.errors import FetchFailed
from domogik.packages.http.download import Progress
from domogik.packages.http.fetch import Fetcher, FetchReply
from domogik.packages.http.response import FetchLimits, Unreachable
from domogik.packages.signing.targets import Target


class NotAsSigned(Unreachable):
    """A file differs from what was signed; it may be in publication, so a retry may succeed."""

    def __init__(self, url: str, how: str) -> None:
        super().__init__(
            url,
            f"is not what the repository has signed ({how}): it is being published right now,"
            " then refresh again; or it was manipulated",
        )


@attrs.define(eq=False)
class SignedFetcher:
    """A `Fetcher` for one repository, to which unsigned files do not exist."""

    _fetcher: Fetcher
    _url: str
    _files: Mapping[str, Target]

    @property
    def limits(self) -> FetchLimits:
        """The limits of the fetcher."""
        return self._fetcher.limits

    def is_valid(self, path: str, file: Path) -> bool:
        """Return whether the file is what was signed for `path`; blocks, raises `OSError`."""
        target = self._files.get(path)
        if target is None or file.stat().st_size != target.size:
            return False
        return Target.of(read_bounded(file, target.size)) == target

    def _target(self, url: str) -> Target | None:
        base = f"{self._url}/"
        return self._files.get(url.removeprefix(base)) if url.startswith(base) else None

    async def get(self, url: str, *, limit_bytes: int) -> FetchReply:
        """Return the signed content of `url`, or status 404 without a request.

        Raises `FetchFailed`, `NotAsSigned` also for another status than 200.
        """
        target = self._target(url)
        if target is None:
            return FetchReply(404, b"", None, None, url)
        reply = await self._fetcher.get(url, limit_bytes=limit_bytes)
        if reply.status >= 500:
            reply.content()
        if reply.status != 200:
            raise NotAsSigned(url, f"the answer is status {reply.status}")
        if Target.of(reply.body) != target:
            raise NotAsSigned(url, "it has another digest")
        # wherever it came from, it is what was signed as this
        return FetchReply(200, reply.body, None, None, url)

    async def download(
        self,
        url: str,
        target: Path,
        *,
        limit_bytes: int,
        timeout_s: float = 3600,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> Path:
        """Download like `Fetcher.download`, with the signed digest and size."""
        signed = self._target(url)
        if signed is None:
            raise NotAsSigned(url, "it was not signed at all")
        try:
            return await self._fetcher.download(
                url,
                target,
                limit_bytes=limit_bytes,
                sha256=signed.sha256,
                size=signed.size,
                timeout_s=timeout_s,
                progress=progress,
                resume=resume,
            )
        except Unreachable:
            raise
        except FetchFailed as error:
            raise NotAsSigned(url, str(error).removeprefix(f"{url}: ")) from error
