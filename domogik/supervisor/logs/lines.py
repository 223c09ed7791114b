"""Lines of a log: the last ones of its files, and new ones."""

from __future__ import annotations

import contextlib
import gzip
import os
import zlib
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import attrs

from domogik.supervisor.logs.rotation import LINE_LIMIT, older_pieces

_TAIL_LIMIT = 8 * 2**20  # bytes that one look back may hold
_BLOCK = 65536


def _text(line: bytes) -> str:
    return line[:LINE_LIMIT].decode("utf-8", "replace").rstrip("\r")


@attrs.define(eq=False)
class LineSplitter:
    """Splits bytes into complete lines; those longer than 64 KiB are cut."""

    _skipping: bool = attrs.field(alias="skip_first", default=False)
    _rest: bytes = attrs.field(init=False, default=b"")

    def feed(self, data: bytes) -> list[str]:
        """Return the lines that are complete now."""
        if self._skipping:
            _, end, data = data.partition(b"\n")
            if not end:
                return []
            self._skipping = False
        *complete, self._rest = (self._rest + data).split(b"\n")
        lines = [_text(part) for line in complete for part in _cut(line)]
        while len(self._rest) >= LINE_LIMIT:
            lines.append(_text(self._rest))
            self._rest = self._rest[LINE_LIMIT:]
        return lines

    def flush(self) -> list[str]:
        """Return the incomplete last line."""
        rest, self._rest = self._rest, b""
        return [_text(rest)] if rest else []


def _cut(line: bytes) -> list[bytes]:
    if len(line) <= LINE_LIMIT:
        return [line]
    return [line[begin : begin + LINE_LIMIT] for begin in range(0, len(line), LINE_LIMIT)]


def open_pieces(path: Path, files: int) -> list[BinaryIO]:
    """Return the log and its older pieces, opened, newest first."""
    opened: list[BinaryIO] = []
    for piece in (path, *older_pieces(path, files)):
        try:
            file = piece.open("rb")
        except OSError:
            continue
        opened.append(file)
    return opened


def last_lines(pieces: list[BinaryIO], count: int) -> list[str]:
    """Return the last `count` lines of files given newest first; closes them. Blocks."""
    found: deque[bytes] = deque()
    limit = _TAIL_LIMIT
    try:
        for file in pieces:
            for line in _backwards(file, count - len(found), limit):
                found.appendleft(line)
                limit -= len(line) + 1
            if len(found) >= count or limit <= 0:
                break
    finally:
        for file in pieces:
            file.close()
    return [_text(line) for line in found]


def _backwards(file: BinaryIO, count: int, limit: int) -> list[bytes]:
    """Return the last `count` lines within the last `limit` bytes, newest first."""
    compressed = str(file.name).endswith(".gz")
    tail = _end_unpacked(file, limit) if compressed else _end(file, count, limit)
    lines = tail.removesuffix(b"\n").split(b"\n") if tail else []
    return lines[::-1][: max(count, 0)]


def _end(file: BinaryIO, count: int, limit: int) -> bytes:
    """Return the end of a file, from the start of a line, with `count` lines if there are."""
    size = position = os.fstat(file.fileno()).st_size
    blocks: list[bytes] = []
    ends = 0
    while position > 0 and ends <= count and size - position < limit:
        begin = max(0, position - _BLOCK)
        block = os.pread(file.fileno(), position - begin, begin)
        blocks.append(block)
        ends += block.count(b"\n")
        position = begin
    return _whole_lines(b"".join(reversed(blocks)), position == 0)


def _end_unpacked(file: BinaryIO, limit: int) -> bytes:
    kept: deque[bytes] = deque()
    size = 0
    dropped = False
    # A damaged piece gives what can be read of it.
    with contextlib.suppress(OSError, EOFError, zlib.error), gzip.GzipFile(fileobj=file) as plain:
        for block in _blocks(plain):
            kept.append(block)
            size += len(block)
            while size - len(kept[0]) > limit:
                size -= len(kept.popleft())
                dropped = True
    return _whole_lines(b"".join(kept), not dropped)


def _blocks(plain: gzip.GzipFile) -> Iterator[bytes]:
    while block := plain.read(_BLOCK):
        yield block


def _whole_lines(tail: bytes, from_the_beginning: bool) -> bytes:
    """Return the text without its incomplete first line, unless there is nothing else."""
    if from_the_beginning or b"\n" not in tail[:-1]:
        return tail
    return tail.partition(b"\n")[2]
