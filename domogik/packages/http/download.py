"""Downloads of archives, which resume after a broken connection and are verified."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TypeAlias

import attrs
from twisted.internet.defer import CancelledError

from domogik.config.files import read_bounded, write_atomically
from domogik.errors import FetchFailed
from domogik.packages.http.client import Transport
from domogik.packages.http.response import Response, Unreachable
from domogik.threads import Threads

#: received bytes, and all of them where that is known
Progress: TypeAlias = Callable[[int, int | None], None]

_TRIES = 4
_NOTE_BYTES = 16 * 1024
_COPY_BYTES = 1024 * 1024
_OK, _PARTIAL, _BEYOND = 200, 206, 416
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII)


class _CannotResume(Exception):
    """The partial file cannot be continued."""


@attrs.frozen
class Expected:
    """The expected file: at most `limit_bytes`; exactly `size` and `sha256` (hex), if known."""

    limit_bytes: int
    size: int | None = None
    sha256: str | None = None


@attrs.frozen
class _PartialVersion:
    """The version of a partial file, so that parts of different versions are not joined."""

    url: str
    validator: str

    @classmethod
    def of(cls, answer: Response, url: str) -> _PartialVersion:
        etag = answer.header("etag")
        # A weak ETag does not promise the same bytes.
        if etag is None or etag.startswith("W/"):
            etag = answer.header("last-modified")
        return cls(url, etag or "")


@attrs.define(eq=False, kw_only=True)
class Download:
    """A download of one file from `url` to `target`."""

    _transport: Transport
    _in_thread: Threads
    _url: str
    _target: Path
    _expected: Expected
    _headers: Mapping[str, str]
    _progress: Progress | None

    @property
    def _part(self) -> Path:
        return self._target.with_name(f".{self._target.name}.part")

    @property
    def _note_path(self) -> Path:
        return self._target.with_name(f".{self._target.name}.note")

    async def run(self, resume: bool) -> None:
        """Download, and retry after broken connections."""
        if not resume:
            await self._in_thread(self._remove_partial)
        tries = 0
        while True:
            tries += 1
            try:
                resumed: bool = await self._transfer()
            except _CannotResume as error:
                if tries >= _TRIES:
                    raise FetchFailed(self._url, "what comes does not fit together") from error
                await self._in_thread(self._remove_partial)
                continue
            except Unreachable:
                if tries >= _TRIES:
                    raise
                await self._transport.pause(self._transport.limits.first_pause_s * 2 ** (tries - 1))
                continue
            except FetchFailed:
                await self._in_thread(self._remove_partial)
                raise
            try:
                await self._in_thread(self._verify)
            except FetchFailed:
                # what was there before may have been the broken half
                if not resumed or tries >= _TRIES:
                    raise
                continue
            return

    async def _transfer(self) -> bool:
        """Download the missing part; return whether there was an earlier one."""
        begin: int
        begin, note = await self._in_thread(self._partial)
        headers = dict(self._headers)
        if begin:
            headers |= {"Range": f"bytes={begin}-", "If-Range": note.validator}
        answer = await self._transport.request(self._url, headers)
        if answer.status == _BEYOND and begin:
            await self._transport.read(answer, _NOTE_BYTES)
            raise _CannotResume
        if answer.status == _OK:
            begin = 0
        elif answer.status != _PARTIAL or not begin:
            await self._transport.read(answer, _COPY_BYTES)
            kind = Unreachable if answer.status >= 500 else FetchFailed
            raise kind(self._url, f"the answer is status {answer.status}")
        elif not self._range_matches(answer, begin):
            self._transport.drop(answer)
            raise _CannotResume
        total = begin + answer.length if answer.length is not None else self._expected.size
        await self._spool(answer, begin, total)
        return begin > 0

    def _range_matches(self, answer: Response, begin: int) -> bool:
        found = _CONTENT_RANGE.fullmatch((answer.header("content-range") or "").strip())
        return found is not None and int(found[1]) == begin

    async def _spool(self, answer: Response, begin: int, total: int | None) -> None:
        limit = self._expected.limit_bytes
        if self._expected.size is not None:
            limit = min(limit, self._expected.size)
        if begin == 0:
            try:
                await self._in_thread(self._begin, _PartialVersion.of(answer, self._url))
            except (OSError, CancelledError):
                self._transport.drop(answer)
                raise
        received = begin

        async def write(data: bytes) -> None:
            nonlocal received
            await self._in_thread(_append, self._part, data)
            received += len(data)
            if self._progress is not None:
                self._progress(received, total)

        await self._transport.spool(answer, limit - begin, write)

    def _partial(self) -> tuple[int, _PartialVersion]:
        """Return size and version of the partial file; 0 if it cannot be continued."""
        nothing = 0, _PartialVersion(self._url, "")
        try:
            values = json.loads(read_bounded(self._note_path, _NOTE_BYTES))
            note = _PartialVersion(str(values["url"]), str(values["validator"]))
            size = self._part.stat().st_size
        except (OSError, ValueError, KeyError, TypeError):
            return nothing
        if note.url != self._url or not note.validator:
            return nothing
        limit = self._expected.size or self._expected.limit_bytes
        return (size, note) if size < limit else nothing

    def _begin(self, note: _PartialVersion) -> None:
        self._remove_partial()
        _append(self._part, b"")
        write_atomically(self._note_path, json.dumps(attrs.asdict(note)).encode(), durable=False)

    def _remove_partial(self) -> None:
        # the note first: a part without one counts for nothing
        self._note_path.unlink(missing_ok=True)
        self._part.unlink(missing_ok=True)

    def copy(self, path: Path) -> None:
        """Copy a local file; blocks."""
        self._remove_partial()
        try:
            with open(path, "rb") as source:
                size = os.fstat(source.fileno()).st_size
                if size > self._expected.limit_bytes:
                    raise FetchFailed(self._url, f"is {size} bytes, which is too much")
                _append(self._part, b"")
                with open(self._part, "wb") as part:
                    shutil.copyfileobj(source, part, _COPY_BYTES)
        except FileNotFoundError as error:
            raise FetchFailed(self._url, "is not there") from error
        self._verify()

    def _verify(self) -> None:
        """Verify the partial file and rename it to the target, or remove it."""
        expected = self._expected
        try:
            size = self._part.stat().st_size
            if expected.size is not None and size != expected.size:
                raise FetchFailed(self._url, f"is {size} bytes and should be {expected.size}")
            if expected.sha256 is not None:
                digest = sha256_of(self._part)
                if digest != expected.sha256.lower():
                    raise FetchFailed(
                        self._url, f"has the digest {digest}, and should have {expected.sha256}"
                    )
        except FetchFailed:
            self._remove_partial()
            raise
        with open(self._part, "rb") as part:
            os.fsync(part.fileno())
        self._part.replace(self._target)
        self._remove_partial()


def _append(path: Path, data: bytes) -> None:
    # opened anew for each piece: a piece that is written while the download is given up
    # must not go to whatever file has that descriptor by then
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
    with open(os.open(path, flags, 0o600), "ab") as file:
        file.write(data)


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file, in hex; blocks."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(_COPY_BYTES):
            digest.update(piece)
    return digest.hexdigest()
