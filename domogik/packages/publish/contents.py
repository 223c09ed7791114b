"""Descriptor and icon of a package in an archive, read without unpacking it."""

from __future__ import annotations

from pathlib import Path

import attrs

from domogik.packages.archive.tarball import Limits, members
from domogik.packages.archive.unpacking import Unpacked, inspect
from domogik.packages.descriptor.files import MAXIMUM_BYTES
from domogik.packages.descriptor.package import PNG_SIGNATURE
from domogik.packages.publish import scripts

_ICONS = ("icon.png", "src/share/domogik/design/{type}/{id}/icon.png")
_ICON_BYTES = 512 * 1024


@attrs.frozen
class ArchiveContents:
    """The content of an archive; `descriptor` is its text, `icon` a PNG or empty."""

    unpacked: Unpacked
    descriptor: bytes
    icon: bytes


def read_contents(archive: Path, limits: Limits | None = None) -> ArchiveContents:
    """Read an archive, with the checks of an installation.

    Blocks. Raises `BrokenArchive`, and `OSError`.
    """
    limits = limits or Limits()
    unpacked = inspect(archive, limits)
    ref = unpacked.ref
    wanted = {unpacked.descriptor: MAXIMUM_BYTES}
    icons = [name.format(type=ref.type, id=ref.id) for name in _ICONS]
    wanted |= dict.fromkeys(icons, _ICON_BYTES)
    found = _read(archive, limits, wanted)
    pictures = (found.get(name, b"") for name in icons)
    icon = next((picture for picture in pictures if picture.startswith(PNG_SIGNATURE)), b"")
    return ArchiveContents(unpacked, found.get(unpacked.descriptor, b""), icon)


def read_scripts(archive: Path, limits: Limits | None = None) -> dict[str, bytes]:
    """Return the Python files in an archive by name; blocks, raises `BrokenArchive`, `OSError`."""
    names = inspect(archive, limits or Limits()).files
    wanted = {name: scripts.MAXIMUM_BYTES for name in names if name.endswith(scripts.SUFFIX)}
    return _read(archive, limits or Limits(), wanted)


def _read(archive: Path, limits: Limits, wanted: dict[str, int]) -> dict[str, bytes]:
    """Return the content of those files, unless they exceed the size given for them."""
    found = {}
    with archive.open("rb") as file:
        for member in members(file, limits):
            name = member.name.removeprefix("./")
            if name in wanted and not member.is_directory and member.size <= wanted[name]:
                found[name] = b"".join(member.content())
    return found
