"""Files as answers: sent as fast as the client reads, in whole or from where it broke off."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import BinaryIO

import attrs
from twisted.internet.interfaces import IDelayedCall, IPushProducer, IReactorTime
from twisted.logger import Logger
from twisted.web.http import Request
from zope.interface import implementer

from domogik.api.http.exchange import Call, Reply

Headers = tuple[tuple[str, str], ...]

#: bytes that are read at a time: a page cache gives them within some 20 us
PORTION = 64 * 1024
#: seconds a client may read nothing before it is dropped
STALL_TIMEOUT = 60.0

GZIP = "application/gzip"
PNG = "image/png"
_RANGE = re.compile(r"bytes=([0-9]{1,18})?-([0-9]{1,18})?", re.ASCII)
#: what was unpacked or fetched may change at any time; asking again costs one 304
_CACHING = ("Cache-Control", "no-cache")


def not_found() -> Reply:
    """What Domogik says where there is no such file, word for word."""
    return Reply(404, b"404 - Not found", "text/plain", (("Cache-Control", "no-store"),))


def file_answer(call: Call, path: Path, content_type: str, clock: IReactorTime) -> Reply | File:
    """The file, or a part of it (RFC 9110, 14.2), or 304 for who has it; 404 where there is none.

    Opened here, so that what is promised is what is sent even if the file is replaced meanwhile.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError):
        return not_found()
    status = os.fstat(descriptor)
    if not stat.S_ISREG(status.st_mode):
        os.close(descriptor)
        return not_found()
    content = os.fdopen(descriptor, "rb", buffering=0)
    etag = f'"{status.st_mtime_ns:x}-{status.st_size:x}"'
    headers: Headers = (("ETag", etag), ("Accept-Ranges", "bytes"), _CACHING)
    if _has_it(call, etag):
        content.close()
        return Reply(304, b"", content_type, headers)
    part = _range(call, etag, status.st_size)
    if part is None:
        return File(
            content,
            200,
            first=0,
            left=status.st_size,
            content_type=content_type,
            headers=headers,
            clock=clock,
        )
    first, length = part
    if not length:
        content.close()
        headers = (*headers, ("Content-Range", f"bytes */{status.st_size}"))
        return Reply(416, b"", "text/plain", headers)
    where = f"bytes {first}-{first + length - 1}/{status.st_size}"
    headers = (*headers, ("Content-Range", where))
    return File(
        content,
        206,
        first=first,
        left=length,
        content_type=content_type,
        headers=headers,
        clock=clock,
    )


def _has_it(call: Call, etag: str) -> bool:
    given = call.request.getHeader("if-none-match")
    if given is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in given.split(",")]
    return "*" in tags or etag in tags


def _range(call: Call, etag: str, size: int) -> tuple[int, int] | None:
    """First byte and length; a length of 0 for what is not there, None for the whole.

    Several parts at once are answered with the whole, which is allowed.
    """
    given = call.request.getHeader("range")
    match = _RANGE.fullmatch(given.replace(" ", "")) if given is not None else None
    if match is None or call.method not in ("GET", "HEAD"):
        return None
    condition = call.request.getHeader("if-range")
    if condition is not None and condition != etag:
        return None
    first, last = match.groups()
    if first is None:
        if last is None:
            return None
        length = min(int(last), size)
        return size - length, length
    end = size if last is None else min(int(last) + 1, size)
    if last is not None and int(last) < int(first):
        return None
    return int(first), max(0, end - int(first))


@implementer(IPushProducer)
@attrs.define(eq=False)
class File:
    """An open file on its way to one client."""

    _content: BinaryIO
    _status: int
    _first: int
    _left: int
    _content_type: str
    _headers: Headers
    _clock: IReactorTime
    _request: Request | None = None
    _paused: bool = False
    _stalled: IDelayedCall | None = None
    _log: Logger = Logger()

    def start(self, request: Request) -> None:
        request.setResponseCode(self._status)
        for name, value in (*self._headers, ("Content-Type", self._content_type)):
            request.setHeader(name.encode("ascii"), value.encode("ascii"))
        request.setHeader(b"Content-Length", b"%d" % self._left)
        if request.method == b"HEAD":
            self.discard()
            request.finish()
            return
        self._content.seek(self._first)
        self._request = request
        request.registerProducer(self, True)
        self.resumeProducing()

    def discard(self) -> None:
        self._content.close()

    def pauseProducing(self) -> None:
        self._paused = True
        self._stalled = self._clock.callLater(STALL_TIMEOUT, self._drop)

    def resumeProducing(self) -> None:
        self._paused = False
        self._forget_timer()
        while self._request is not None and not self._paused:
            data = self._content.read(min(PORTION, self._left))
            self._left -= len(data)
            if data:
                self._request.write(data)
            if not data or not self._left:
                self._end(whole=not self._left)

    def stopProducing(self) -> None:
        self._request = None
        self._forget_timer()
        self._content.close()

    def _end(self, whole: bool) -> None:
        request, self._request = self._request, None
        self._forget_timer()
        self._content.close()
        if request is None:
            return
        request.unregisterProducer()
        if whole:
            request.finish()
        else:
            # it became shorter while it was sent: the client must not take it for whole
            request.channel.forceAbortClient()

    def _drop(self) -> None:
        request = self._request
        if request is None:
            return
        self._log.info(
            "{peer} does not read the file it asked for: dropped",
            peer=str(request.getClientAddress()),
        )
        self.stopProducing()
        # not loseConnection: that waits until the client has read what it does not read
        request.channel.forceAbortClient()

    def _forget_timer(self) -> None:
        timer, self._stalled = self._stalled, None
        if timer is not None and timer.active():
            timer.cancel()
