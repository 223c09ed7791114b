"""Reads the members of a gzipped tar, within limits.

`tarfile` trusts headers: an extended header may claim a gigabyte of memory or (before Python
3.11.10) cause hours of backtracking, and a damaged header silently ends the list. Packages need
POSIX.1-1988 (ustar), and the long names of GNU and POSIX.1-2001 (pax),
https://pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from typing import BinaryIO

import attrs

from domogik.errors import DomogikError

_BLOCK = 512
_CHUNK = 256 * 1024
#: of one extended header; a path has 4096 bytes at most
_EXTENDED_BYTES = 64 * 1024
#: wbits of zlib: a gzip header is expected, the checksum at the end is verified
_GZIP = 31
_GZIP_MAGIC = b"\x1f\x8b"
_FILES = frozenset({b"0", b"\0"})
_DIRECTORY, _LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL = b"5", b"L", b"K", b"x", b"g"
#: of a number in an extended header; more is larger than anything allowed
_PAX_DIGITS = 12
_OCTAL = re.compile(rb"[ \0]*([0-7]*)[ \0]*")


class BrokenArchive(DomogikError):
    """An archive is refused; `str()` says why."""


@attrs.frozen
class Limits:
    """Limits of an archive; sizes are in bytes, unpacked.

    Typical packages have some ten files of some ten kilobytes; wheels are larger. `ratio` is
    unpacked to packed size, and applies from `ratio_from` bytes on. `streams` limits gzip streams:
    some programs write one for each 64 KiB.
    """

    members: int = 10_000
    member_bytes: int = 64 * 1024 * 1024
    total_bytes: int = 256 * 1024 * 1024
    ratio: int = 200
    ratio_from: int = 8 * 1024 * 1024
    streams: int = 5_000


@attrs.frozen
class TarMember:
    """A regular file or directory in an archive; its name is not validated."""

    name: str
    is_directory: bool
    is_executable: bool
    size: int
    _stream: _Unpacking

    def content(self) -> Iterator[bytes]:
        """Yield the content; it has to be read before the next member is requested."""
        left = self.size
        while left:
            chunk = self._stream.read_some(left)
            if not chunk:
                raise BrokenArchive("the archive ends in the middle of a file")
            left -= len(chunk)
            yield chunk


def members(file: BinaryIO, limits: Limits) -> Iterator[TarMember]:
    """Yield the members of the archive in `file`; unread content is skipped.

    It ends only if the archive is complete as gzip and tar. Raises `BrokenArchive`, and `OSError`
    if the file cannot be read.
    """
    stream = _Unpacking(file, limits)
    declared = 0
    for number, member in enumerate(_headers(stream), 1):
        declared += member.size
        if number > limits.members:
            raise BrokenArchive(f"the archive holds more than {limits.members} files")
        if member.size > limits.member_bytes or declared > limits.total_bytes:
            raise BrokenArchive(f"the archive's member {quoted(member.name)} is too large")
        end = stream.position + member.size
        yield member
        stream.skip_to(end)
        stream.skip_padding(member.size)
    stream.skip_to_end()


def quoted(name: str) -> str:
    """Return a name from an archive for a sentence."""
    return ascii(name if len(name) <= 80 else f"{name[:80]}...")


def _headers(stream: _Unpacking) -> Iterator[TarMember]:
    """Yield the members, with extended headers applied."""
    name, size = None, None
    while (block := stream.read_block()).strip(b"\0"):
        kind, length = _checked(block)
        if kind in (_LONG_NAME, _LONG_LINK, _PAX, _PAX_GLOBAL):
            content = stream.read_extended(length)
            if kind == _LONG_NAME:
                name = _text(content.rstrip(b"\0"))
            elif kind == _PAX:
                name, size = _pax(content, name, size)
            continue
        yield _member(block, kind, name, length if size is None else size, stream)
        name, size = None, None


def _checked(block: bytes) -> tuple[bytes, int]:
    """Return kind and length in a header, whose checksum is verified."""
    if sum(block) - sum(block[148:156]) + 8 * ord(" ") != _number(block[148:156]):
        raise BrokenArchive("the archive is damaged: a header has a wrong checksum")
    return block[156:157], _number(block[124:136])


def _member(
    block: bytes, kind: bytes, extended: str | None, size: int, stream: _Unpacking
) -> TarMember:
    name = extended if extended is not None else _ustar_name(block)
    is_file = kind in _FILES and not name.endswith("/")
    if not is_file and kind != _DIRECTORY and kind not in _FILES:
        raise BrokenArchive(
            f"the archive's member {quoted(name)} is neither a file nor a directory"
        )
    is_executable = bool(_number(block[100:108]) & 0o100)
    return TarMember(name, not is_file, is_executable, size if is_file else 0, stream)


def _ustar_name(block: bytes) -> str:
    name = block[:100].partition(b"\0")[0]
    # GNU writes "ustar  " and has other things where POSIX has the prefix
    prefix = block[345:500].partition(b"\0")[0] if block[257:263] == b"ustar\0" else b""
    return _text(prefix + b"/" + name if prefix else name)


def _pax(content: bytes, name: str | None, size: int | None) -> tuple[str | None, int | None]:
    r"""Return name and size from records `<length> <key>=<value>\\n`."""
    start = 0
    while start < len(content):
        digits = content[start : start + _PAX_DIGITS].partition(b" ")[0]
        end = start + int(digits) if digits.isdigit() else 0
        key, equals, value = content[start + len(digits) + 1 : end].partition(b"=")
        if not equals or not value.endswith(b"\n") or end > len(content):
            raise BrokenArchive("the archive is damaged: an extended header cannot be read")
        start, value = end, value[:-1]
        if key == b"path":
            name = _text(value)
        elif key == b"size":
            if not value.isdigit() or len(value) > _PAX_DIGITS:
                raise BrokenArchive("the archive is damaged: an extended header has no size")
            size = int(value)
        elif key.startswith(b"GNU.sparse."):
            raise BrokenArchive("the archive holds a file with holes, which packages may not")
    return name, size


def _number(field: bytes) -> int:
    """Return an octal number, or GNU's binary form of large ones."""
    if field[0] == 0x80:
        return int.from_bytes(field[1:], "big")
    match = _OCTAL.fullmatch(field)
    if match is None:
        raise BrokenArchive("the archive is damaged: a header has no number where one belongs")
    return int(match[1] or b"0", 8)


def _text(name: bytes) -> str:
    try:
        return name.decode()
    except UnicodeDecodeError:
        raise BrokenArchive(f"the archive's member {name[:80]!a} is not UTF-8") from None


class _Unpacking:
    """The unpacked bytes, counted and read forward only."""

    def __init__(self, file: BinaryIO, limits: Limits) -> None:
        self.position = 0
        self._file = file
        self._limits = limits
        self._inflate = zlib.decompressobj(_GZIP)
        self._streams = 1
        self._packed = b""
        self._packed_bytes = 0
        self._unpacked_bytes = 0
        self._buffer = b""
        self._used = 0
        self._ended = False

    def read_some(self, limit: int) -> bytes:
        """Return between 1 and `limit` bytes; none at the end."""
        if self._used == len(self._buffer):
            self._fill()
        part = self._buffer[self._used : self._used + limit]
        self._used += len(part)
        self.position += len(part)
        return part

    def read_block(self) -> bytes:
        """Return a header; none at the end, which needs no zeros if gzip is complete."""
        part = self.read_some(_BLOCK)
        return part + self._exactly(_BLOCK - len(part)) if part else b""

    def read_extended(self, length: int) -> bytes:
        """Return the content of an extended header, and skip its padding."""
        if length > _EXTENDED_BYTES:
            raise BrokenArchive("the archive is damaged: an extended header is too large")
        content = self._exactly(length)
        self.skip_padding(length)
        return content

    def skip_padding(self, length: int) -> None:
        """Skip the padding after content of that length."""
        self._exactly(-length % _BLOCK)

    def skip_to(self, position: int) -> None:
        """Skip unread content."""
        while self.position < position:
            if not self.read_some(position - self.position):
                raise BrokenArchive("the archive ends in the middle of a file")

    def skip_to_end(self) -> None:
        """Read to the end, so that the checksum is verified."""
        while self.read_some(_CHUNK):
            pass

    def _exactly(self, length: int) -> bytes:
        parts = []
        while length:
            part = self.read_some(length)
            if not part:
                raise BrokenArchive("the archive ends too early")
            parts.append(part)
            length -= len(part)
        return b"".join(parts)

    def _fill(self) -> None:
        self._buffer, self._used = b"", 0
        while not self._buffer and not self._ended:
            if not self._packed:
                self._packed = self._file.read(_CHUNK)
                self._packed_bytes += len(self._packed)
                if not self._packed:
                    raise BrokenArchive("the archive ends too early")
            self._unpack()
        self._unpacked_bytes += len(self._buffer)
        limits = self._limits
        if self._unpacked_bytes > limits.total_bytes:
            raise BrokenArchive(f"the archive holds more than {limits.total_bytes} bytes")
        if self._unpacked_bytes > max(limits.ratio_from, limits.ratio * self._packed_bytes):
            raise BrokenArchive(f"the archive grows to more than {limits.ratio} times its size")

    def _unpack(self) -> None:
        try:
            self._buffer = self._inflate.decompress(self._packed, _CHUNK)
        except zlib.error as error:
            raise BrokenArchive(f"the archive is not gzip, or damaged: {error}") from error
        self._packed = self._inflate.unconsumed_tail
        if self._inflate.eof:
            self._next_stream(self._inflate.unused_data)

    def _next_stream(self, rest: bytes) -> None:
        """Start the next gzip stream, if there is one; other bytes are padding."""
        rest = rest or self._file.read(_CHUNK)
        self._ended = not rest.startswith(_GZIP_MAGIC)
        if not self._ended:
            self._streams += 1
            if self._streams > self._limits.streams:
                raise BrokenArchive(f"the archive is more than {self._limits.streams} gzip streams")
            self._packed = rest
            self._inflate = zlib.decompressobj(_GZIP)
