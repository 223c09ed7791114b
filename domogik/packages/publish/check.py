"""Checks a descriptor, an archive or a package directory."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

import attrs

from domogik.config.files import read_bounded
from domogik.packages.archive.unpacking import BrokenArchive
from domogik.packages.descriptor.draft import BrokenDescriptor, DescriptorProblem, Draft
from domogik.packages.descriptor.files import content_of, draft
from domogik.packages.descriptor.package import missing_script
from domogik.packages.descriptor.reference import InvalidReference, PackageRef, refusal
from domogik.packages.descriptor.validation import validate
from domogik.packages.publish.build import CannotBuild, find_descriptor
from domogik.packages.publish.contents import ArchiveContents, read_contents, read_scripts
from domogik.packages.publish.scripts import not_compiled, sources

_GZIP = b"\x1f\x8b"
_ICON_BYTES = 512 * 1024
#: as clients lay out their pages
_ICON_SIZE = (96, 96)
#: <package>/src/share/domogik/plugins/<id>.xml
_DEPTH = 5
_PLACES = ("src/share/domogik/plugins", "src/share/domogik/externals")


@attrs.frozen
class Checked:
    """The result for one file or directory.

    With `errors` it is refused, and `ref` is None; `warnings` do not prevent its use. Both name
    file, line and element, if known.
    """

    path: Path
    ref: PackageRef | None
    errors: tuple[DescriptorProblem, ...]
    warnings: tuple[DescriptorProblem, ...]


def check(path: Path) -> Checked:
    """Check a `.xml` or `.json` descriptor, an archive, or a package directory.

    Blocks. Raises nothing: what cannot be read is an error in the result.
    """
    try:
        if path.is_dir():
            return attrs.evolve(_check_descriptor(find_descriptor(path), path), path=path)
        if path.exists() and not path.is_file():
            return _refused(path, DescriptorProblem(path, "is neither a file nor a directory"))
        if _is_archive(path):
            return _check_archive(path)
        return _check_descriptor(path, _package_directory(path))
    except BrokenDescriptor as error:
        return _refused(path, error.problem)
    except BrokenArchive as error:
        return _refused(path, _in_archive(path, error))
    except (CannotBuild, InvalidReference) as error:
        return _refused(path, DescriptorProblem(path, str(error)))
    except OSError as error:
        gone = isinstance(error, FileNotFoundError)
        why = "there is no such file" if gone else f"cannot be read: {error.strerror or error}"
        return _refused(path, DescriptorProblem(path, why))


def _refused(path: Path, problem: DescriptorProblem) -> Checked:
    return Checked(path, None, (problem,), ())


def _in_archive(path: Path, error: BrokenArchive) -> DescriptorProblem:
    """Return the position in the descriptor in the archive, if that is the cause."""
    cause = error.__cause__
    if not isinstance(cause, BrokenDescriptor):
        return DescriptorProblem(path, str(error))
    return attrs.evolve(cause.problem, path=path / cause.path.name)


def _is_archive(path: Path) -> bool:
    if path.suffix in (".xml", ".json"):
        return False
    if path.suffix in (".tgz", ".gz"):
        return True
    with path.open("rb") as file:
        return file.read(2) == _GZIP


def _package_directory(descriptor: Path) -> Path | None:
    parents = descriptor.absolute().parents
    if len(parents) < _DEPTH:
        return None
    place = parents[0].relative_to(parents[_DEPTH - 1]).as_posix()
    return parents[_DEPTH - 1] if place in _PLACES else None


def _check_descriptor(path: Path, directory: Path | None) -> Checked:
    parsed = draft(path, content_of(path))
    ref = PackageRef.of(validate(parsed))
    if refusal(ref.id):
        raise parsed.broken(refusal(ref.id), parsed.texts["id"])
    if path.stem not in (ref.id, "info"):
        parsed.warn(f"describes '{ref.id}' and should be called {ref.id}{path.suffix}")
    if directory is not None:
        root = directory
        icon = root / f"src/share/domogik/design/{ref.type}/{ref.id}/icon.png"
        _check_files(parsed, lambda name: (root / name).exists())
        _check_icon(parsed, read_bounded(icon, _ICON_BYTES) if icon.is_file() else b"")
        broken = (*_no_script(root, parsed, ref), *not_compiled(_own_sources(root, parsed)))
        if broken:
            return Checked(path, None, broken, tuple(parsed.warnings))
    return Checked(path, ref, (), tuple(parsed.warnings))


def _no_script(root: Path, parsed: Draft, ref: PackageRef) -> Iterator[DescriptorProblem]:
    """Yield an error for a plugin without its script, or with one that would not be archived."""
    listed = {PurePosixPath(found.text) for found in parsed.files if found.text}
    files = (*parsed.files, *parsed.external_files)

    def comes_along(name: str) -> bool:
        path = PurePosixPath(name)
        return not files or not listed.isdisjoint((path, *path.parents))

    def is_there(name: str) -> bool:
        return (root / name).is_file()

    if script := missing_script(ref.type, ref.id, is_there):
        yield DescriptorProblem(
            parsed.path, f"the script {script} is missing: there is nothing to run"
        )
    elif script := missing_script(ref.type, ref.id, lambda n: is_there(n) and comes_along(n)):
        yield DescriptorProblem(parsed.path, f"does not list its script {script} among its files")


def _own_sources(root: Path, parsed: Draft) -> Iterator[tuple[Path, bytes]]:
    """Yield the Python files that the descriptor lists, or all if it lists none."""
    listed = {root / found.text for found in parsed.files if found.text}
    for path, source in sources(root):
        if not listed or not listed.isdisjoint((path, *path.parents)):
            yield path, source


def _check_archive(path: Path) -> Checked:
    contents = read_contents(path)
    ref = contents.unpacked.ref
    # read once more, since what it warns of has a place there
    parsed = draft(path / contents.unpacked.descriptor, contents.descriptor)
    validate(parsed)
    names = _all_names(contents)
    _check_files(parsed, lambda name: name.rstrip("/") in names)
    _check_icon(parsed, contents.icon)
    own = [DescriptorProblem(path, sentence) for sentence in contents.unpacked.warnings]
    if path.name != f"{ref.file_stem}.tgz":
        own.append(DescriptorProblem(path, f"should be called {ref.file_stem}.tgz"))
    files = read_scripts(path)
    broken = tuple(not_compiled((path / name, files[name]) for name in sorted(files)))
    try:
        contents.unpacked.check_script()
    except BrokenArchive as error:
        broken = (DescriptorProblem(path, str(error)), *broken)
    return Checked(path, None if broken else ref, broken, (*own, *parsed.warnings))


def _all_names(contents: ArchiveContents) -> set[str]:
    """Return files and their directories, since descriptors may list either."""
    return {name for file in contents.unpacked.files for name in _with_parents(file)}


def _with_parents(name: str) -> Iterator[str]:
    while name:
        yield name
        name = name.rpartition("/")[0]


def _check_files(parsed: Draft, is_there: Callable[[str], bool]) -> None:
    for found in (*parsed.files, *parsed.external_files):
        inside = found.text and not found.text.startswith("/") and ".." not in found.text.split("/")
        if inside and not is_there(found.text):
            parsed.warn(f"{found.text} is not there", found)


def _check_icon(parsed: Draft, icon: bytes) -> None:
    if len(icon) < 24 or icon[12:16] != b"IHDR":
        parsed.warn("there is no icon.png in PNG form")
        return
    size = struct.unpack("!II", icon[16:24])
    if size != _ICON_SIZE:
        parsed.warn(f"the icon is {size[0]} by {size[1]} pixels, not 96 by 96")
