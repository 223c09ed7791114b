"""The repositories of `sources.list`, and the local one."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from urllib.parse import unquote, urlsplit

import attrs

from domogik.config.files import read_bounded
from domogik.errors import DomogikError

_MAXIMUM_BYTES = 1024 * 1024
_PRIORITY = re.compile(r"-?[0-9]{1,9}", re.ASCII)
#: what can be part of an address: no blanks, no controls, nothing that is not ASCII
_ADDRESS = re.compile(r"[!-~]{1,2000}")
#: the root file of a signed repository
_SIGNED = "signed"
#: that its owner takes what it offers without signatures
_UNSIGNED, _ACCEPTED = "unsigned", "accepted"
_OPTIONS = frozenset({_SIGNED, _UNSIGNED})
_ROOT_BYTES = 512_000
_UPLOADS_PRIORITY = 0
#: the option that marks the repository of uploads
_LOCAL = "local"
_NONE: Mapping[str, str] = MappingProxyType({})


def _frozen(options: Mapping[str, str]) -> Mapping[str, str]:
    return MappingProxyType(dict(options))


@attrs.frozen
class Source:
    """A repository; the higher `priority` wins. `url` has no slash at its end.

    It is http, https or file (a local directory). `place` is its position, `file:line`, or empty.
    """

    priority: int
    url: str
    options: Mapping[str, str] = attrs.field(default=_NONE, converter=_frozen, hash=False)
    place: str = attrs.field(default="", eq=False)

    @property
    def root_file(self) -> Path | None:
        """The root file of its signatures, if its line names one."""
        name = self.options.get(_SIGNED)
        return None if name is None else Path(name)

    @property
    def is_accepted(self) -> bool:
        """Whether its line allows it to be unsigned."""
        return _UNSIGNED in self.options

    @property
    def is_uploads(self) -> bool:
        """Whether it is the local repository of uploads."""
        return _LOCAL in self.options


class NoRootFile(DomogikError):
    """The root file of a repository cannot be read; `str()` names the line with it."""


def read_root_file(source: Source) -> bytes:
    """Return the content of the `signed=` file; blocks, raises `NoRootFile`."""
    path = source.root_file
    assert path is not None
    try:
        return read_bounded(path, _ROOT_BYTES)
    except OSError as error:
        where = f"{source.place}: " if source.place else ""
        raise NoRootFile(
            f"{where}signed={path} cannot be read: {error.strerror}; nothing is taken from"
            f" {source.url} without it"
        ) from error


@attrs.frozen
class Sources:
    """The repositories, highest priority first, equal ones as written.

    `problems` are sentences with file and line.
    """

    entries: tuple[Source, ...]
    problems: tuple[str, ...] = ()


def uploads_source(directory: Path) -> Source:
    """Return the local repository."""
    return Source(_UPLOADS_PRIORITY, directory.as_uri().rstrip("/"), {_LOCAL: "yes"})


def read_sources(path: Path, uploads: Path) -> Sources:
    """Return the repositories in a file, or in the `*.list` files of a directory, and `uploads`.

    Invalid lines are skipped and noted. It blocks.
    """
    problems: list[str] = []
    entries: dict[str, Source] = {}
    for file in _files(path, problems):
        for number, line in _lines(file, problems):
            try:
                source, notes = _parse(line, file, number)
            except ValueError as error:
                problems.append(f"{file}:{number}: {error}; left out")
                continue
            problems += [f"{file}:{number}: {note}" for note in notes]
            if source.url in entries:
                problems.append(f"{file}:{number}: {source.url} is there already; left out")
                continue
            entries[source.url] = source
            problems += _missing_root(source)
    own = uploads_source(uploads)
    entries[own.url] = own
    # sorted() keeps the order of equal ones
    ordered = sorted(entries.values(), key=lambda source: -source.priority)
    return Sources(tuple(ordered), tuple(problems))


def _files(path: Path, problems: list[str]) -> list[Path]:
    try:
        if not path.is_dir():
            return [path] if path.exists() else []
        files = sorted(file for file in path.iterdir() if not file.name.startswith("."))
        problems += [
            f"{file}: is not read: a list of repositories has a name that ends in .list"
            for file in files
            if file.suffix != ".list"
        ]
        return [file for file in files if file.suffix == ".list"]
    except OSError as error:
        problems.append(f"{path}: cannot be read: {error.strerror}")
        return []


def _lines(file: Path, problems: list[str]) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not empty or comments, numbered from 1."""
    try:
        content = read_bounded(file, _MAXIMUM_BYTES).decode("utf-8-sig")
    except OSError as error:
        problems.append(f"{file}: cannot be read: {error.strerror}")
        return
    except UnicodeDecodeError:
        problems.append(f"{file}: is not UTF-8")
        return
    for number, line in enumerate(content.split("\n"), 1):
        text = line.strip()
        if text and not text.startswith("#"):
            yield number, text


def _missing_root(source: Source) -> Iterator[str]:
    if source.root_file is not None:
        try:
            read_root_file(source)
        except NoRootFile as error:
            yield str(error)


def _parse(line: str, file: Path, number: int) -> tuple[Source, list[str]]:
    """Return the source of a line, and notes about it; raises `ValueError`."""
    priority, *rest = line.split()
    if not _PRIORITY.fullmatch(priority):
        raise ValueError(f"'{priority[:40]}' is no priority: a line is <priority> <url>")
    if not rest:
        raise ValueError("the address is missing: a line is <priority> <url>")
    address, *words = rest
    options: dict[str, str] = {}
    notes: list[str] = []
    for word in words:
        key, equals, value = word.partition("=")
        if key == _UNSIGNED and value != _ACCEPTED:
            notes.append(f"'{word[:80]}' is not understood: unsigned=accepted is; ignored")
        elif equals and value and key in _OPTIONS:
            options[key] = value
        elif key == _SIGNED:
            # ignored, it would be a repository whose signatures are not checked
            raise ValueError("signed= names no root file")
        else:
            notes.append(f"'{word[:80]}' is not understood; ignored")
    if _SIGNED in options:
        options[_SIGNED] = str(file.absolute().parent / options[_SIGNED])
    return Source(int(priority), normalised_url(address), options, f"{file}:{number}"), notes


def normalised_url(address: str) -> str:
    """Return a repository's URL without slashes at its end, a directory as a file URL.

    Raises `ValueError` with a sentence if it is not valid.
    """
    if not _ADDRESS.fullmatch(address):
        raise ValueError("the address holds characters that no address has")
    if address.startswith("/"):
        return Path(address).as_uri().rstrip("/")
    parts = urlsplit(address)
    if parts.scheme == "file" and parts.netloc in ("", "localhost") and parts.path.startswith("/"):
        return file_path(address).as_uri().rstrip("/")
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError(f"'{address[:200]}' is neither http://, https:// nor a directory")
    if "@" in parts.netloc:
        raise ValueError("an address with a name or a password in it is not supported")
    if parts.query or parts.fragment:
        raise ValueError("an address with '?' or '#' in it cannot be a repository's")
    if parts.port == 0:
        raise ValueError("port 0 is no port")
    netloc = parts.netloc.lower()
    return f"{parts.scheme}://{netloc}{parts.path}".rstrip("/")


def file_path(url: str) -> Path:
    """Return the path in a file URL; raises `ValueError` if it is not valid."""
    name = unquote(urlsplit(url).path, errors="strict")
    if not name.isprintable():
        raise ValueError("the path holds characters that cannot be printed")
    return Path(name)
