"""Builds a repository of plain files from archives, for old and new clients.

Any web server or file system can serve it. Every file is replaced in one step, and in an order in
which nothing is offered before it exists; unchanged files are not touched, so that they keep their
`Last-Modified`. docs/reference/packages-format.md describes the layout.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import attrs

from domogik.config.files import Ownership, read_bounded, unlock, write_atomically
from domogik.errors import DomogikError
from domogik.packages.archive import durable
from domogik.packages.archive.unpacking import BrokenArchive
from domogik.packages.descriptor.reference import InvalidReference, PackageRef
from domogik.packages.descriptor.writing import CannotWrite, to_json, to_xml
from domogik.packages.publish.contents import ArchiveContents, read_contents
from domogik.packages.publish.linking import (
    add_hashed_names,
    remove_old_names,
    remove_with_hashed_names,
)
from domogik.packages.repositories import catalogue
from domogik.packages.repositories.catalogue import Item, place
from domogik.packages.signing.targets import METADATA, Target

#: the parts of the tree that hold one file a release
DOWNLOAD, XML, JSON_INFO, ICON = "download", "xml", "info", "icon"
#: the list for old clients, the status and the archive for newer ones
LIST, STATUS, DATA = "index.html", "repository.json", "data"
#: the address for clients of the JSON era: `<url>/json`
JSON_ERA = "json"
_LINKS = {LIST: STATUS, DATA: DATA, DOWNLOAD: DOWNLOAD, JSON_INFO: JSON_INFO, ICON: ICON}
#: the state of the last build, for this module only
_MEMORY = ".repository-memory"
_LOCK = ".repository-lock"
#: where an archive is on its way; what is called so was left by a builder that was killed
_BUILDING = ".building-"
_MEMORY_VERSION = 1
_MEMORY_BYTES = 256 * 1024 * 1024
_STATUS_BYTES = 65536
#: a repository is there to be read by others
_PUBLIC = 0o644


class RepositoryBusy(DomogikError):
    """Another process is building the same repository."""


class CannotSign(DomogikError):
    """A repository cannot be signed, or not be left unsigned; says what to do."""


@attrs.frozen
class Signature:
    """The result of signing with `keys`, which are new if `made`.

    `root` is the file that clients need; `expires` is when it has to be signed again (Unix time).
    """

    keys: Path
    made: bool
    root: Path
    expires: float


class Signs(Protocol):
    """The interface of `signing.Signer`."""

    def check(self, target: Path) -> None: ...

    def sign(self, target: Path, files: Mapping[str, Target]) -> Callable[[], Signature]: ...


@attrs.frozen
class Built:
    """What a repository offers now, in order of type, id and release.

    `problems` are sentences about archives that were left out; `changed` says whether anything is
    different from before, `count` is the number of the last change. `signature` is None for an
    unsigned repository.
    """

    packages: tuple[PackageRef, ...]
    problems: tuple[str, ...]
    changed: bool
    count: int
    signature: Signature | None = None


def build_repository(
    archives: Path,
    target: Path,
    *,
    generated: str,
    url: str = "",
    name: str = "",
    signer: Signs | None = None,
) -> Built:
    """Build a repository in `target` of the `*.tgz` in `archives`, which may be the same directory.

    `generated` is the date of a changed repository. `url` is where it will be served: old JSON
    clients need absolute URLs for downloads. Archives are linked if possible, so replace them
    instead of writing into them. Blocks. Raises `RepositoryBusy`, `OSError` and `CannotSign`, also
    for a signed repository without a `signer`, since its clients would reject it; the former state
    is then intact.
    """
    target.mkdir(parents=True, exist_ok=True)
    with _locked(target):
        if signer is not None:
            signer.check(target)
        elif (target / METADATA / "timestamp.json").exists():
            raise CannotSign(f"{target} is signed, and has to stay so: add --sign")
        for rest in target.glob(f"{_BUILDING}*"):
            shutil.rmtree(rest)
        base = f"{url.rstrip('/')}/" if url else ""
        builder = _Builder(
            target, base, name or target.resolve().name, _read_last_build(target), signer
        )
        # not glob(), which finds nothing in a directory that cannot be read
        for archive in sorted(archives.iterdir()):
            if archive.suffix == ".tgz" and not archive.name.startswith("."):
                builder.add(archive)
        return builder.publish(generated)


@attrs.frozen
class _ReadArchive:
    """An archive as it was read; `icon` is the digest of its icon, or empty."""

    size: int
    mtime_ns: int
    icon: str
    item: Item

    @property
    def ref(self) -> PackageRef:
        """The release in the archive."""
        return PackageRef(self.item["type"], self.item["id"], self.item["version"])


@attrs.frozen
class _LastBuild:
    """What was published last: archives by name, their digest and count."""

    archives: Mapping[str, _ReadArchive] = attrs.field(factory=dict)
    digest: str = ""
    count: int = 0


@attrs.define(eq=False)
class _Builder:
    _target: Path
    _url: str
    _name: str
    _before: _LastBuild
    _signer: Signs | None
    _known: dict[str, _ReadArchive] = attrs.field(factory=dict)
    _names: dict[PackageRef, str] = attrs.field(factory=dict)
    _problems: list[str] = attrs.field(factory=list)
    #: the published files that newer clients read
    _files: dict[str, Target] = attrs.field(factory=dict)

    def add(self, archive: Path) -> None:
        """Publish the files of one archive, unless they are published already."""
        try:
            if not archive.is_file():
                raise BrokenArchive("is not a file")
            known = self._unchanged(archive) or self._publish_archive(archive)
        except (BrokenArchive, CannotWrite) as error:
            self._problems.append(f"{archive.name}: {error}")
            return
        except PermissionError as error:
            self._problems.append(f"{archive.name}: cannot be read: {error.strerror}")
            return
        first = self._names.setdefault(known.ref, archive.name)
        if first != archive.name:
            self._problems.append(f"{archive.name}: {known.ref} is in {first} already")
            return
        self._known[archive.name] = known

    def publish(self, generated: str) -> Built:
        """Publish the lists, then remove what is not offered any more."""
        ordered = sorted(self._known.values(), key=_order)
        refs = tuple(known.ref for known in ordered)
        items = [known.item for known in ordered]
        icons = [one.icon for one in ordered]
        digest = _digest(json.dumps([self._name, items, icons, bool(self._signer)]).encode())
        changed = digest != self._before.digest or not self._is_complete()
        count = self._before.count + changed
        lists: dict[str, bytes] = {}
        if changed or self._signer is not None:
            status = catalogue.status(
                self._name,
                self._url,
                generated if changed else self._generated(generated),
                count,
                signed=self._signer is not None,
            )
            lists = {
                DATA: catalogue.data_archive(status, items, self._icons(ordered)),
                STATUS: catalogue.as_text(status),
                LIST: catalogue.package_list(refs),
            }
        if changed:
            # if this build is interrupted, the next one writes the lists again
            self._write_last_build("", count, {**self._before.archives, **self._known})
        # all but the last file before what it is about, so that only a moment is between the two
        publish = self._signed(lists)
        for name, content in lists.items():
            self._write(name, content)
        if changed:
            self._link_json_era()
        if self._signer is not None:
            add_hashed_names(self._target, self._files, _BUILDING)
        signature = publish()
        if self._signer is not None:
            remove_old_names(self._target, self._files)
        if changed or self._known != self._before.archives:
            # what the memory calls published has to be there after a power cut as well
            durable.sync_file_system(self._target)
            self._write_last_build(digest, count, self._known)
            self._remove_others()
        return Built(refs, tuple(self._problems), changed, count, signature)

    def _generated(self, now: str) -> str:
        try:
            return str(json.loads(read_bounded(self._target / STATUS, _STATUS_BYTES))["generated"])
        except (OSError, ValueError, TypeError, LookupError):
            return now

    def _signed(self, lists: Mapping[str, bytes]) -> Callable[[], Signature | None]:
        """Sign all that clients read; the returned function publishes the signature."""
        if self._signer is None:
            return lambda: None
        self._files.update((name, Target.of(content)) for name, content in lists.items())
        return self._signer.sign(self._target, self._files)

    def _unchanged(self, archive: Path) -> _ReadArchive | None:
        if self._signer is not None:
            # sign only what is read from an archive now, since the rest may have been manipulated
            return None
        known = self._before.archives.get(archive.name)
        if known is None or known.item["source"] != self._url.rstrip("/"):
            return None
        status = archive.stat()
        if (known.size, known.mtime_ns) != (status.st_size, status.st_mtime_ns):
            return None
        parts = (DOWNLOAD, XML, JSON_INFO, *([ICON] if known.icon else []))
        there = all((self._target / part / place(known.ref)).is_file() for part in parts)
        return known if there else None

    def _publish_archive(self, archive: Path) -> _ReadArchive:
        """Publish an archive after its other files."""
        with _linked(archive, self._target) as linked:
            status = linked.stat()
            contents = read_contents(linked)
            package, ref = contents.unpacked.package, contents.unpacked.ref
            known = self._as_known(contents, linked, status)
            if ref in self._names:
                return known
            where = place(ref)
            parts = {XML: to_xml(package), JSON_INFO: to_json(package)}
            if contents.icon:
                parts[ICON] = contents.icon
            for part, content in parts.items():
                self._write(f"{part}/{where}", content)
                if part != JSON_INFO:
                    self._files[f"{part}/{where}"] = Target.of(content)
            self._files[f"{DOWNLOAD}/{where}"] = Target(known.item["sha256"], known.item["size"])
            if not contents.icon:
                (self._target / ICON / where).unlink(missing_ok=True)
            download = self._target / DOWNLOAD / where
            download.parent.mkdir(parents=True, exist_ok=True)
            linked.replace(download)
            return known

    def _as_known(
        self, contents: ArchiveContents, archive: Path, status: os.stat_result
    ) -> _ReadArchive:
        with archive.open("rb") as file:
            sha256 = hashlib.file_digest(file, "sha256").hexdigest()
        entry = catalogue.item(contents.unpacked.package, self._url, sha256, status.st_size)
        icon = _digest(contents.icon) if contents.icon else ""
        return _ReadArchive(status.st_size, status.st_mtime_ns, icon, entry)

    def _icons(self, ordered: list[_ReadArchive]) -> dict[str, bytes]:
        return {
            catalogue.image(known.ref): (self._target / ICON / place(known.ref)).read_bytes()
            for known in ordered
            if known.icon
        }

    def _is_complete(self) -> bool:
        return all((self._target / name).is_file() for name in (LIST, STATUS, DATA))

    def _write(self, name: str, content: bytes) -> None:
        path = self._target / name
        path.parent.mkdir(parents=True, exist_ok=True)
        before = _changed(path)
        if before and path.stat().st_size == len(content) and path.read_bytes() == content:
            return
        public = Ownership(_PUBLIC, os.geteuid(), os.getegid())
        write_atomically(path, content, public, durable=False)
        if before and path.stat().st_mtime < before + 1:
            # `Last-Modified` counts seconds: a client that asked in this one would never know
            os.utime(path, times=(math.ceil(before) + 1,) * 2)

    def _link_json_era(self) -> None:
        directory = self._target / JSON_ERA
        directory.mkdir(exist_ok=True)
        for name, target in _LINKS.items():
            if not (directory / name).is_symlink():
                (directory / name).symlink_to(Path("..", target))

    def _write_last_build(
        self, digest: str, count: int, archives: Mapping[str, _ReadArchive]
    ) -> None:
        document = {
            "version": _MEMORY_VERSION,
            "digest": digest,
            "count": count,
            "archives": {name: attrs.asdict(known) for name, known in archives.items()},
        }
        content = json.dumps(document).encode()
        write_atomically(self._target / _MEMORY, content, durable=False)

    def _remove_others(self) -> None:
        """Remove only what this module published, since other files may be in the directory."""
        offered = {known.ref for known in self._known.values()}
        for known in self._before.archives.values():
            if known.ref in offered:
                continue
            for part in (DOWNLOAD, XML, JSON_INFO, ICON):
                _remove(self._target / part, self._target / part / place(known.ref))


def _order(known: _ReadArchive) -> tuple[object, ...]:
    ref = known.ref
    return ref.type, ref.id, ref.version, ref.release


def _changed(path: Path) -> float:
    """Return the Unix time of the last change of the file, 0 if there is none."""
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return 0.0


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _remove(part: Path, path: Path) -> None:
    if path.parent.is_dir():
        remove_with_hashed_names(path)
    for parent in path.parents:
        if parent == part:
            return
        try:
            parent.rmdir()
        except OSError:
            return


def _read_last_build(target: Path) -> _LastBuild:
    """Return what was published last; if unknown, everything counts as new."""
    count = _last_count(target)
    try:
        document: dict[str, Any] = json.loads(read_bounded(target / _MEMORY, _MEMORY_BYTES))
        if document["version"] != _MEMORY_VERSION:
            return _LastBuild(count=count)
        archives = {name: _ReadArchive(**known) for name, known in document["archives"].items()}
        if not all(place(known.ref) for known in archives.values()):
            return _LastBuild(count=count)
        return _LastBuild(archives, str(document["digest"]), max(int(document["count"]), count))
    except (OSError, ValueError, TypeError, LookupError, AttributeError, InvalidReference):
        return _LastBuild(count=count)


def _last_count(target: Path) -> int:
    """Return the count that clients have seen, which must not decrease."""
    try:
        return int(json.loads(read_bounded(target / STATUS, _STATUS_BYTES))["count"])
    except (OSError, ValueError, TypeError, LookupError):
        return 0


@contextlib.contextmanager
def _linked(archive: Path, target: Path) -> Iterator[Path]:
    """Yield another name for the archive in `target`, or a copy; it is removed unless moved
    away."""
    with tempfile.TemporaryDirectory(prefix=_BUILDING, dir=target) as directory:
        path = Path(directory) / "archive"
        durable.link_or_copy(archive, path)
        yield path


@contextlib.contextmanager
def _locked(target: Path) -> Iterator[None]:
    descriptor = os.open(target / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise RepositoryBusy(f"{target} is being built by another program") from error
    finally:
        unlock(descriptor)
