"""Builds archives of packages from the author's directory.

The same files give the same bytes: members are sorted by name and carry no times, users or umask of
this machine. docs/reference/packages-format.md describes the content.
"""

from __future__ import annotations

import gzip
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import attrs
from packaging.version import InvalidVersion, Version

from domogik.config.files import make_temporary, read_bounded
from domogik.errors import DomogikError
from domogik.packages.archive.unpacking import BrokenArchive, inspect
from domogik.packages.descriptor.files import MAXIMUM_BYTES, read
from domogik.packages.descriptor.package import WHEELS, Package, missing_script
from domogik.packages.descriptor.reference import TYPES, InvalidReference, PackageRef, refusal
from domogik.packages.descriptor.writing import CannotWrite, write

#: the descriptor and the icon once more, where a repository finds them without looking
INFO, ICON = "info", "icon.png"
#: what goes in although no descriptor lists it: documentation, and wheels of what it depends on
_DOCUMENTATION = "src/domogik_packages/docs/{type}/{id}"
_ICON = "src/share/domogik/design/{type}/{id}/icon.png"
_DESCRIPTORS = "src/share/domogik/{type}s"
_LEFT_OUT = frozenset({"__pycache__"})
_LEFT_OUT_SUFFIXES = frozenset({".pyc", ".pyo", ".orig", ".swp"})
#: 1980-01-01, the first day that every archiver knows
_TIME = 315532800


class CannotBuild(DomogikError):
    """The directory does not contain a package that can be archived."""


@attrs.frozen
class FileToPack:
    """A file and its name in the archive."""

    name: str
    path: Path


def create(directory: Path, output: Path, *, id: str = "", generated: str = "") -> Path:
    """Build `<type>-<id>-<release>.tgz` in `output` from a package directory; return its path.

    `id` selects one of several packages in the directory. `generated` is the date in the archive's
    descriptor; without it the descriptor is unchanged. An existing archive is replaced in one step.
    Blocks. Raises `CannotBuild`, `BrokenDescriptor` and `OSError`, and leaves nothing behind.
    """
    path = find_descriptor(directory, id)
    package = read(path)
    reference = _reference(package)
    info = _info(package, generated)
    members = members_of(directory, package)
    _check_script(directory, package, members)
    target = output / f"{reference.file_stem}.tgz"
    output.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = make_temporary(output, f".{target.name}")
    try:
        with open(descriptor, "wb") as file:
            _write(file, members, info, f"{INFO}{path.suffix}")
            file.flush()
            os.fchmod(descriptor, 0o644)
            os.fsync(descriptor)
            # an archive that could not be installed is refused here
            inspect(temporary)
            temporary.replace(target)
    except BrokenArchive as error:
        temporary.unlink(missing_ok=True)
        raise CannotBuild(f"{directory}: {error}") from error
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return target


def find_descriptor(directory: Path, id: str = "") -> Path:
    """Return the only descriptor of a package directory, or that of package `id`.

    Domogik after 0.3 has it in the root, as `info.json`. Raises `CannotBuild`.
    """
    found = _descriptors(directory)
    if id:
        if not any(path.stem == id for path in found):
            names = ", ".join(sorted(path.stem for path in found)) or "no descriptor"
            raise CannotBuild(f"{directory} has no descriptor of '{id}'; it has {names}")
        found = [path for path in found if path.stem == id]
    later = directory / f"{INFO}.json"
    if not found and later.is_file():
        return later
    if not found:
        places = " or ".join(_DESCRIPTORS.format(type=type) for type in TYPES)
        raise CannotBuild(f"{directory} has no descriptor in {places}")
    if len(found) > 1:
        names = ", ".join(path.relative_to(directory).as_posix() for path in found)
        raise CannotBuild(
            f"{directory} has several descriptors: {names}. Name the package "
            f"(dmg_pkgmgr create {directory} {found[0].stem}) or the file "
            f"(dmg_pkgmgr check {found[0]})"
        )
    return found[0]


def _descriptors(directory: Path) -> list[Path]:
    return [
        path
        for type in TYPES
        for path in sorted((directory / _DESCRIPTORS.format(type=type)).glob("*"))
        if path.suffix in (".xml", ".json") and not path.name.startswith(".")
    ]


def members_of(directory: Path, package: Package) -> tuple[FileToPack, ...]:
    """Return the files of the package's archive, by name; raises `CannotBuild`.

    They are those that the descriptor lists, which must exist, itself, documentation, wheels and
    icon; if it lists none, all of `src`.
    """
    words = {"type": package.type, "id": package.id}
    found: dict[str, Path] = {}
    for name in (*package.files, *package.external_files) or _everything(directory, package):
        for member in _listed(directory, name, package.path):
            found[member.name] = member.path
    for name in (_DOCUMENTATION.format(**words), WHEELS, _ICON.format(**words)):
        if (directory / name).exists():
            for member in _files_below(directory, PurePosixPath(name)):
                found[member.name] = member.path
    found[package.path.relative_to(directory).as_posix()] = package.path
    icon = found.get(_ICON.format(**words))
    if icon is not None:
        found[ICON] = icon
    return tuple(FileToPack(name, found[name]) for name in sorted(found))


def _everything(directory: Path, package: Package) -> tuple[str, ...]:
    """Return the content of a package whose descriptor lists no files."""
    if len(_descriptors(directory)) > 1:
        raise CannotBuild(
            f"{package.path} lists no files, and {directory} holds several packages: say with"
            " <files> which files belong to this one"
        )
    return ("src",) if (directory / "src").is_dir() else ()


def _check_script(directory: Path, package: Package, members: tuple[FileToPack, ...]) -> None:
    names = {member.name for member in members}
    if not (script := missing_script(package.type, package.id, names.__contains__)):
        return
    there = not missing_script(package.type, package.id, lambda name: (directory / name).is_file())
    cause = "add it to <files>" if there else "there is no such file"
    raise CannotBuild(f"{package.path}: plugin {package.id} needs its script {script}: {cause}")


def _reference(package: Package) -> PackageRef:
    """Return its reference; unlike reading, building requires a version by PEP 440."""
    if package.path.stem == INFO:
        raise CannotBuild(
            f"{package.path} is of Domogik 0.4 or later, whose plugins have to be ported: "
            "docs/guide/old-plugins.md"
        )
    if package.path.stem != package.id:
        raise CannotBuild(f"{package.path} describes '{package.id}': call it as that")
    try:
        reference = PackageRef.of(package)
        if refusal(reference.id):
            raise InvalidReference(refusal(reference.id))
    except InvalidReference as error:
        raise CannotBuild(f"{package.path}: {error}") from error
    try:
        Version(package.release)
    except InvalidVersion as error:
        raise CannotBuild(
            f"{package.path}: '{package.release}' is no version by PEP 440"
        ) from error
    return reference


def _info(package: Package, generated: str) -> bytes:
    if not generated:
        return read_bounded(package.path, MAXIMUM_BYTES)
    try:
        return write(attrs.evolve(package, generated=generated), package.path)
    except CannotWrite as error:
        raise CannotBuild(f"{package.path}: {error}") from error


def _listed(directory: Path, name: str, descriptor: Path) -> Iterator[FileToPack]:
    path = PurePosixPath(name)
    if not name or path.is_absolute() or ".." in path.parts:
        raise CannotBuild(f"{descriptor}: '{name}' is not a path inside the package")
    if not (directory / path).exists():
        raise CannotBuild(f"{descriptor} lists {name}, which is not there")
    return _files_below(directory, path)


def _files_below(directory: Path, name: PurePosixPath) -> Iterator[FileToPack]:
    """Yield the file, or all files of the directory; raises `CannotBuild` for other kinds."""
    path = directory / name
    if not path.resolve().is_relative_to(directory.resolve()):
        raise CannotBuild(f"{path} is a link that leaves the package")
    kind = path.lstat().st_mode
    if stat.S_ISREG(kind):
        yield FileToPack(name.as_posix(), path)
        return
    if not stat.S_ISDIR(kind):
        raise CannotBuild(f"{path} is neither a file nor a directory, and archives hold only those")
    for entry in sorted(path.iterdir()):
        if entry.name.startswith(".") or entry.name in _LEFT_OUT:
            continue
        if entry.suffix not in _LEFT_OUT_SUFFIXES:
            yield from _files_below(directory, name / entry.name)


def _write(
    file: io.BufferedWriter, members: tuple[FileToPack, ...], info: bytes, name: str
) -> None:
    # no name and no time in the header of gzip
    with (
        gzip.GzipFile(filename="", mode="wb", fileobj=file, mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w", format=tarfile.PAX_FORMAT) as archive,
    ):
        archive.addfile(_header(name, len(info), executable=False), io.BytesIO(info))
        for member in members:
            with member.path.open("rb") as content:
                status = os.fstat(content.fileno())
                executable = bool(status.st_mode & stat.S_IXUSR)
                archive.addfile(_header(member.name, status.st_size, executable), content)


def _header(name: str, size: int, executable: bool) -> tarfile.TarInfo:
    header = tarfile.TarInfo(name)
    header.size = size
    header.mtime = _TIME
    header.mode = 0o755 if executable else 0o644
    return header
