"""Fetches small responses and archives, from the web or a directory."""

from __future__ import annotations

import hashlib
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.web.iweb import IPolicyForHTTPS

from domogik import __version__
from domogik.config.files import read_bounded
from domogik.errors import FetchFailed
from domogik.packages.http.client import IClientReactor, Transport
from domogik.packages.http.download import Download, Expected, Progress
from domogik.packages.http.reasons import NO_TLS
from domogik.packages.http.response import FetchLimits, Unreachable
from domogik.packages.sources import file_path
from domogik.threads import Threads

_T = TypeVar("_T")
_AGENT = f"domogik/{__version__}"
#: what a directory answers with, as web servers have it
_INDEX = "index.html"
_OK, _NOT_MODIFIED, _NOT_FOUND = 200, 304, 404


@attrs.frozen
class Conditions:
    """The version fetched last; the status is 304 if it is unchanged."""

    etag: str | None = None
    last_modified: str | None = None

    def headers(self) -> dict[str, str]:
        """Return the request headers."""
        headers = {}
        if self.etag is not None:
            headers["If-None-Match"] = self.etag
        if self.last_modified is not None:
            headers["If-Modified-Since"] = self.last_modified
        return headers


@attrs.frozen
class FetchReply:
    """A response; `url` is where it came from after redirects."""

    status: int
    body: bytes
    etag: str | None
    last_modified: str | None
    url: str

    @property
    def is_unchanged(self) -> bool:
        """Whether the status is 304."""
        return self.status == _NOT_MODIFIED

    @property
    def conditions(self) -> Conditions:
        """The conditions for the next request."""
        return Conditions(self.etag, self.last_modified)

    def content(self) -> bytes:
        """Return the body if the status is 200; raises `FetchFailed` for any other.

        It is `Unreachable` for statuses that may be temporary.
        """
        if self.status == _OK:
            return self.body
        kind = Unreachable if self.status >= 500 or self.status in (408, 429) else FetchFailed
        raise kind(self.url, f"the answer is status {self.status}")


class Fetching(Protocol):
    """The interface that filling a snapshot needs, of a `Fetcher` or `SignedFetcher`."""

    @property
    def limits(self) -> FetchLimits: ...

    async def get(self, url: str, *, limit_bytes: int) -> FetchReply: ...

    async def download(
        self,
        url: str,
        target: Path,
        *,
        limit_bytes: int,
        timeout_s: float = 3600,
        progress: Progress | None = None,
        resume: bool = True,
    ) -> Path: ...


@attrs.define(eq=False)
class Fetcher:
    """Fetches http, https and file URLs; connections to each host are limited.

    `in_thread(f, *args)` calls blocking functions. `close` it after use.
    """

    _reactor: IClientReactor
    _in_thread: Threads
    limits: FetchLimits = attrs.field(factory=FetchLimits)
    tls_policy: IPolicyForHTTPS | None = None
    _transport: Transport = attrs.field(init=False)
    _unverified: Transport | None = attrs.field(default=None, init=False)

    def __attrs_post_init__(self) -> None:
        self._transport = Transport(self._reactor, self.limits, self.tls_policy)

    def close(self) -> Deferred[None]:
        """Close idle connections; fires when that is done."""
        transports = filter(None, (self._transport, self._unverified))
        closed = gatherResults([transport.close() for transport in transports])
        return closed.addCallback(lambda _: None)

    async def within(self, seconds: float, url: str, work: Coroutine[Any, Any, _T]) -> _T:
        """Return the result of `work`; after `seconds` cancel it and raise `Unreachable`."""
        return await self._transport.within(seconds, url, work)

    async def get(
        self,
        url: str,
        *,
        limit_bytes: int,
        timeout_s: float = 30,
        conditions: Conditions | None = None,
    ) -> FetchReply:
        """Return the response, whatever its status, within `timeout_s` of getting a connection.

        File URLs have status 200, 304 or 404; for a directory its index is read. Raises
        `FetchFailed`, also for more than `limit_bytes`; `Unreachable` for errors that may be
        temporary.
        """
        conditions = conditions or Conditions()
        if _is_file(url):
            return await self._in_thread(_read_file, url, limit_bytes, conditions)
        slots = self._transport.slots(url)
        await slots.acquire()
        try:
            return await self._transport.within(
                timeout_s, url, self._get(url, limit_bytes, conditions)
            )
        finally:
            slots.release()

    async def _get(self, url: str, limit_bytes: int, conditions: Conditions) -> FetchReply:
        headers = {"User-Agent": _AGENT, **conditions.headers()}
        answer = await self._transport.request(url, headers)
        body = await self._transport.read(answer, limit_bytes)
        etag, last_modified = answer.header("etag"), answer.header("last-modified")
        return FetchReply(answer.status, body, etag, last_modified, answer.url)

    async def download(
        self,
        url: str,
        target: Path,
        *,
        limit_bytes: int,
        sha256: str | None = None,
        size: int | None = None,
        timeout_s: float = 3600,
        progress: Progress | None = None,
        resume: bool = True,
        accept_any_certificate: bool = False,
    ) -> Path:
        """Fetch `url` to `target`, which appears complete and verified, or not at all.

        After a broken connection the partial file is kept (a hidden `.part`), and with `resume` the
        next attempt, in this call or a later one, continues it if the server can.
        `progress(received, total)` is called with bytes; total is None if unknown. Raises
        `FetchFailed`, also for a file above `limit_bytes` or of another size or digest than
        expected, and `OSError` for write errors.

        `accept_any_certificate`: the digest is from a trusted source, so an https server may have
        any certificate. It has no effect without a digest.
        """
        transport = (
            self._unverified_transport(url)
            if accept_any_certificate and sha256
            else self._transport
        )
        download = Download(
            transport=transport,
            in_thread=self._in_thread,
            url=url,
            target=target,
            expected=Expected(limit_bytes, size, sha256),
            headers={"User-Agent": _AGENT},
            progress=progress,
        )
        if _is_file(url):
            await self._in_thread(download.copy, file_path(url))
            return target
        slots = self._transport.slots(url)
        await slots.acquire()
        try:
            await transport.within(timeout_s, url, download.run(resume))
        finally:
            slots.release()
        return target

    def _unverified_transport(self, url: str) -> Transport:
        """Return a transport without certificate checks, separate from the other one."""
        if self._unverified is None:
            # here, for it is rarely needed and OpenSSL is large, or not there at all
            try:
                from domogik.packages.http.unverified_tls import AnyCertificate
            except ImportError as error:
                raise FetchFailed(url, NO_TLS) from error

            self._unverified = Transport(self._reactor, self.limits, AnyCertificate())
        return self._unverified


def _is_file(url: str) -> bool:
    return urlsplit(url).scheme == "file"


def _read_file(url: str, limit_bytes: int, conditions: Conditions) -> FetchReply:
    """Return a file as a web server would."""
    path = file_path(url)
    try:
        content = read_bounded(path / _INDEX if path.is_dir() else path, limit_bytes)
    except (FileNotFoundError, NotADirectoryError):
        return FetchReply(_NOT_FOUND, b"", None, None, url)
    except OSError as error:
        raise FetchFailed(url, f"cannot be read: {error.strerror}") from error
    etag = f'"{hashlib.sha256(content).hexdigest()}"'
    if etag == conditions.etag:
        return FetchReply(_NOT_MODIFIED, b"", etag, None, url)
    return FetchReply(_OK, content, etag, None, url)
