"""Archives of packages: their content, and how it is unpacked safely.

An archive is a gzipped tar from any source. Every member is checked before it is written: names
stay inside, only regular files and directories, bounded in number and size. Only name, content and
the owner's execute bit are used, so no owner, set-user-id bit or link comes out of an archive.
"""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import attrs

from domogik.packages.archive import durable
from domogik.packages.archive.tarball import BrokenArchive, Limits, TarMember, members, quoted
from domogik.packages.descriptor.draft import BrokenDescriptor
from domogik.packages.descriptor.files import MAXIMUM_BYTES, read
from domogik.packages.descriptor.package import Package, missing_script
from domogik.packages.descriptor.reference import InvalidReference, PackageRef, refusal

__all__ = ["BrokenArchive", "Limits", "Unpacked", "descriptor_among", "inspect", "unpack"]

_NAME_BYTES = 255
_PATH_BYTES = 512
_DEPTH = 32
_NOT_IN_A_NAME = re.compile(r"[\x00-\x1f\x7f-\x9f\\\ud800-\udfff\u2028\u2029]")
_DRIVE = re.compile(r"[A-Za-z]:")
#: it would hide our own `domogik` from the plugin, whose `src` comes first on PYTHONPATH
_SHADOWS_DOMOGIK = re.compile(r"src/domogik/__init__\.[^/]*")
_ROOT_DESCRIPTORS = ("info.xml", "info.json")
_OWN_DESCRIPTOR = re.compile(r"src/share/domogik/(plugin|external)s/([^/]+)\.(?:xml|json)")


@attrs.frozen
class Unpacked:
    """The content of an archive.

    `descriptor` is the name of the descriptor's file, `files` are all names in the order of the
    archive. `warnings` are sentences about defects that were accepted.
    """

    ref: PackageRef
    package: Package
    descriptor: str
    files: tuple[str, ...]
    warnings: tuple[str, ...]

    def check_script(self) -> None:
        """Raise `BrokenArchive` for a plugin without its script."""
        if script := missing_script(self.ref.type, self.ref.id, self.files.__contains__):
            raise BrokenArchive(f"{self.ref} has no script {script}, so there is nothing to run")


def unpack(
    archive: Path,
    directory: Path,
    limits: Limits | None = None,
    on_file: Callable[[str], None] = lambda name: None,
) -> Unpacked:
    """Unpack an archive to an existing, empty directory, and sync it to disk.

    Modes become 0755 or 0644 under the umask, times are now. Blocks. `on_file` is called with each
    name before its file is created. Raises `BrokenArchive` if it is refused and `OSError` for
    errors of this host; the caller then removes what was written.
    """
    manifest = _Manifest(limits or Limits())
    for member, name, new_directories in _accepted(archive, manifest):
        for new in new_directories:
            (directory / new).mkdir(mode=0o755)
        if not member.is_directory:
            on_file(name)
            _write(directory / name, member)
    unpacked = _read_descriptor(directory, manifest)
    durable.sync_file_system(directory)
    return unpacked


def inspect(archive: Path, limits: Limits | None = None) -> Unpacked:
    """Check an archive as `unpack` does, without leaving anything on disk.

    Blocks. Raises `BrokenArchive`, and `OSError`. The package's `path` is the name in the archive.
    """
    manifest = _Manifest(limits or Limits())
    descriptors: dict[str, bytes] = {}
    for member, name, _ in _accepted(archive, manifest):
        # one that is larger is refused without being read
        if (name in _ROOT_DESCRIPTORS or _OWN_DESCRIPTOR.fullmatch(name)) and len(descriptors) < 16:
            small = member.size <= MAXIMUM_BYTES
            descriptors[name] = b"".join(member.content()) if small else b" " * (MAXIMUM_BYTES + 1)
    with tempfile.TemporaryDirectory(prefix="domogik-") as directory:
        for name, content in descriptors.items():
            path = Path(directory, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        understood = _read_descriptor(Path(directory), manifest)
    package = attrs.evolve(understood.package, path=Path(understood.descriptor))
    return attrs.evolve(understood, package=package)


def descriptor_among(files: Collection[str]) -> str:
    """Return the descriptor among a package's files; raises `BrokenArchive`.

    The one in the root, made for the archive, counts first; archives packed by hand may have only
    the other.
    """
    for name in _ROOT_DESCRIPTORS:
        if name in files:
            return name
    found = sorted((name for name in files if _OWN_DESCRIPTOR.fullmatch(name)), reverse=True)
    if not found:
        raise BrokenArchive("the archive holds no info.xml or info.json: it is no package")
    if len({name.rpartition(".")[0] for name in found}) > 1:
        raise BrokenArchive(f"the archive describes several packages: {', '.join(found[:3])}")
    return found[0]


@attrs.define
class _Manifest:
    """The accepted members."""

    limits: Limits
    files: dict[str, None] = attrs.field(factory=dict)
    directories: set[str] = attrs.field(factory=set)
    warnings: list[str] = attrs.field(factory=list)

    def admit_file(self, name: str) -> list[str]:
        """Add a file; return the directories it needs, outermost first."""
        if name in self.files or name in self.directories:
            raise BrokenArchive(f"the archive holds {quoted(name)} twice")
        new = self.admit_directory(name.rpartition("/")[0])
        self.files[name] = None
        self._count()
        return new

    def admit_directory(self, name: str) -> list[str]:
        """Add a directory; return the directories to create, outermost first."""
        if not name or name in self.directories:
            return []
        if name in self.files:
            raise BrokenArchive(f"the archive holds {quoted(name)} as a file and as a directory")
        new = self.admit_directory(name.rpartition("/")[0])
        self.directories.add(name)
        self._count()
        return [*new, name]

    def _count(self) -> None:
        if len(self.files) + len(self.directories) > self.limits.members:
            raise BrokenArchive(f"the archive holds more than {self.limits.members} files")


def _accepted(archive: Path, manifest: _Manifest) -> Iterator[tuple[TarMember, str, list[str]]]:
    """Yield each accepted member, its path, and the directories to create before."""
    with archive.open("rb") as file:
        for member in members(file, manifest.limits):
            name = _safe_name(member.name)
            if member.is_directory:
                yield member, name, manifest.admit_directory(name)
            elif not name:
                raise BrokenArchive("the archive holds a file without a name")
            elif _SHADOWS_DOMOGIK.fullmatch(name):
                manifest.warnings.append(f"{name} is left out: it would hide Domogik's own modules")
            else:
                yield member, name, manifest.admit_file(name)


def _safe_name(name: str) -> str:
    """Return the member's path below the directory, empty for the directory itself."""
    if name.startswith("/") or _DRIVE.match(name):
        raise BrokenArchive(f"the archive's member {quoted(name)} is no path inside the package")
    if _NOT_IN_A_NAME.search(name):
        raise BrokenArchive(f"the archive's member {quoted(name)} has a forbidden character")
    parts = [part for part in name.split("/") if part not in ("", ".")]
    if ".." in parts:
        raise BrokenArchive(f"the archive's member {quoted(name)} leaves the package")
    path = "/".join(parts)
    too_long = len(os.fsencode(path)) > _PATH_BYTES or len(parts) > _DEPTH
    if too_long or any(len(os.fsencode(part)) > _NAME_BYTES for part in parts):
        raise BrokenArchive(f"the archive's member {quoted(name)} has too long a name")
    return path


def _write(path: Path, member: TarMember) -> None:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o755 if member.is_executable else 0o644)
    try:
        for chunk in member.content():
            written = os.write(descriptor, chunk)
            while written < len(chunk):
                written += os.write(descriptor, chunk[written:])
    finally:
        os.close(descriptor)


def _read_descriptor(directory: Path, manifest: _Manifest) -> Unpacked:
    name = descriptor_among(manifest.files)
    try:
        package = read(directory / name)
        ref = PackageRef.of(package)
    except BrokenDescriptor as error:
        raise BrokenArchive(str(attrs.evolve(error.problem, path=Path(name)))) from error
    except InvalidReference as error:
        raise BrokenArchive(f"{name}: {error}") from error
    if refusal(ref.id):
        raise BrokenArchive(f"{name}: {refusal(ref.id)}")
    own = _OWN_DESCRIPTOR.fullmatch(name)
    if own is not None and own.groups() != (ref.type, ref.id):
        raise BrokenArchive(f"{name} describes {ref.fullname}")
    return Unpacked(ref, package, name, tuple(manifest.files), tuple(manifest.warnings))
