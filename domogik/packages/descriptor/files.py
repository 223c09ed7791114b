"""Reads descriptors of packages from files."""

from __future__ import annotations

from pathlib import Path

from domogik.config.files import read_bounded
from domogik.packages.descriptor.draft import BrokenDescriptor, Draft
from domogik.packages.descriptor.json_form import parse_json
from domogik.packages.descriptor.package import (
    Package,
)
from domogik.packages.descriptor.validation import validate
from domogik.packages.descriptor.xml_form import parse_xml

#: a larger descriptor is a mistake, or meant to hurt
MAXIMUM_BYTES = 1024 * 1024

_FORMS = {".xml": parse_xml, ".json": parse_json}


def read(path: Path) -> Package:
    """Return the package that a `.xml` or `.json` file describes.

    What has one sensible meaning is accepted, and noted in `Package.warnings`. It reads up to 1
    MiB, so it may block. Raises `BrokenDescriptor`, with file, line and element, for what cannot be
    read or understood.
    """
    return validate(draft(path, content_of(path)))


def content_of(path: Path) -> bytes:
    """Return the content of the file; raises `BrokenDescriptor` if it is unreadable or too
    large."""
    if path.suffix not in _FORMS:
        raise BrokenDescriptor(path, "descriptors are called *.xml or *.json")
    try:
        return read_bounded(path, MAXIMUM_BYTES)
    except OSError as error:
        raise BrokenDescriptor(path, f"cannot be read: {error.strerror}") from error


def draft(path: Path, content: bytes) -> Draft:
    """Parse the content of a file without validation; raises `BrokenDescriptor`."""
    parse = _FORMS.get(path.suffix)
    if parse is None:
        raise BrokenDescriptor(path, "descriptors are called *.xml or *.json")
    return parse(path, content)


def read_directory(
    directory: Path, type: str
) -> tuple[tuple[Package, ...], tuple[BrokenDescriptor, ...]]:
    """Return the packages of one type described in a directory, and the errors of the others.

    A missing directory has none. A descriptor must have the name of its package; of two forms for
    one package the XML counts. It blocks.
    """
    packages: dict[str, Package] = {}
    problems: list[BrokenDescriptor] = []
    for path in _descriptors(directory):
        try:
            package = read(path)
            if package.type != type:
                raise BrokenDescriptor(path, f"a package of type {package.type}, not {type}")
            if package.id != path.stem:
                raise BrokenDescriptor(path, f"describes '{package.id}', not '{path.stem}'")
            if package.id in packages:
                raise BrokenDescriptor(path, f"{packages[package.id].path.name} counts instead")
        except BrokenDescriptor as error:
            problems.append(error)
        else:
            packages[package.id] = package
    return tuple(packages.values()), tuple(problems)


def _descriptors(directory: Path) -> list[Path]:
    """Return those in XML before those in JSON, each by name."""
    try:
        entries = sorted(directory.iterdir())
    except OSError:
        return []
    return [
        path
        for suffix in _FORMS
        for path in entries
        if path.suffix == suffix and not path.name.startswith(".")
    ]
