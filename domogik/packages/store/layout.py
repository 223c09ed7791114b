"""The stored releases, and which of them the links lead to; read-only.

packages/plugins/<id>.xml      -> ../store/plugin-<id>/<release>/...   (or .json)
packages/externals/<id>.xml    -> ../store/external-<id>/<release>/...
packages/rinor/<type>-<id>     -> ../store/<type>-<id>/<release>
packages/store/<type>-<id>/<release>/     the content of the archive
packages/store/<type>-<id>/.history.json  `history.py`
packages/store/.<anything>                temporary
"""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import attrs

from domogik.config.home import Home
from domogik.packages.archive.unpacking import descriptor_among
from domogik.packages.descriptor.draft import BrokenDescriptor
from domogik.packages.descriptor.files import read
from domogik.packages.descriptor.reference import (
    InvalidReference,
    PackageRef,
    fullname,
    parse_fullname,
)
from domogik.packages.store.history import History, read_history

#: the first existing one counts
SUFFIXES = (".xml", ".json")
#: what is remembered of a package, beside its releases
HISTORY = ".history.json"


@attrs.define(eq=False)
class Layout:
    """The packages of one home.

    All methods block. They raise `InvalidReference` for invalid types and ids.
    """

    home: Home

    def installed(self) -> dict[str, PackageRef]:
        """Return the release of all installed packages by full name.

        Broken descriptors and dangling links are ignored.
        """
        found: dict[str, PackageRef] = {}
        for type in ("plugin", "external"):
            directory = self.descriptors(type)
            for suffix in SUFFIXES:
                for path in sorted(directory.glob(f"*{suffix}")):
                    ref = self._described(type, path)
                    if ref is not None:
                        found.setdefault(ref.fullname, ref)
        return found

    def present(self, type: str, id: str) -> PackageRef | None:
        """Return the release that is installed from the store."""
        found = self.descriptor_link(type, id)
        return self._release(found, type, id) if found is not None else None

    def served(self, type: str, id: str) -> PackageRef | None:
        """Return the release whose files the main host serves."""
        return self._release(self.rinor_link(type, id), type, id)

    def manual_descriptor(self, type: str, id: str) -> Path | None:
        """Return a descriptor of that name that does not link into the store."""
        for suffix in SUFFIXES:
            path = self.descriptors(type) / f"{id}{suffix}"
            if os.path.lexists(path) and self._release(path, type, id) is None:
                return path
        return None

    def releases(self, type: str, id: str) -> tuple[PackageRef, ...]:
        """Return the stored releases of a package, lowest version first."""
        refs = []
        for path in sorted(self.package(type, id).glob("[!.]*/")):
            with contextlib.suppress(InvalidReference):
                refs.append(PackageRef(type, id, path.name))
        return tuple(sorted(refs, key=lambda ref: ref.version))

    def previous(self, type: str, id: str) -> PackageRef | None:
        """Return the release that a rollback leads to."""
        present = self.present(type, id)
        if present is None:
            return None
        stored = {ref.release for ref in self.releases(type, id)}
        release = self.history(type, id).previous(present.release, stored)
        return PackageRef(type, id, release) if release is not None else None

    def held(self, type: str, id: str) -> bool:
        """Return whether updates are held."""
        return self.history(type, id).held

    def given_up(self, type: str, id: str) -> tuple[str, ...]:
        """Return the releases that failed as updates."""
        return self.history(type, id).given_up

    def history(self, type: str, id: str) -> History:
        """Return the history of a package."""
        return read_history(self.history_file(type, id))

    def history_file(self, type: str, id: str) -> Path:
        """Return the path of the history."""
        return self.package(type, id) / HISTORY

    def descriptor(self, ref: PackageRef) -> Path:
        """Return the descriptor of a stored release; raises `BrokenArchive` if there is none."""
        directory = self.directory(ref)
        own = f"src/share/domogik/{ref.type}s/{ref.id}"
        names = ("info.xml", "info.json", f"{own}.xml", f"{own}.json")
        return directory / descriptor_among([n for n in names if (directory / n).is_file()])

    def directory(self, ref: PackageRef) -> Path:
        """Return the directory of a release, stored or not."""
        return self.package(ref.type, ref.id) / ref.release

    def package(self, type: str, id: str) -> Path:
        """Return the directory of a package's releases."""
        return self.home.store / fullname(type, id)

    def descriptors(self, type: str) -> Path:
        """Return the directory of descriptors of a type."""
        return self.home.plugins if type == "plugin" else self.home.externals

    def descriptor_link(self, type: str, id: str) -> Path | None:
        """Return the descriptor that counts, a link or a file."""
        fullname(type, id)
        paths = (self.descriptors(type) / f"{id}{suffix}" for suffix in SUFFIXES)
        return next((path for path in paths if os.path.lexists(path)), None)

    def rinor_link(self, type: str, id: str) -> Path:
        """Return the link to the served release, which may not exist."""
        return self.home.rinor / fullname(type, id)

    def is_linked(self, ref: PackageRef) -> bool:
        """Return whether a link leads to this release."""
        return ref in (self.present(ref.type, ref.id), self.served(ref.type, ref.id))

    def _release(self, link: Path, type: str, id: str) -> PackageRef | None:
        """Return the release that a link leads to, None if it is not in the store."""
        try:
            target = os.path.normpath(link.parent / os.readlink(link))  # noqa: PTH115
            parts = Path(target).relative_to(os.path.normpath(self.home.store)).parts
            if len(parts) > 1 and parts[0] == fullname(type, id):
                return PackageRef(type, id, parts[1])
        except (OSError, ValueError, InvalidReference):
            pass
        return None

    def _described(self, type: str, path: Path) -> PackageRef | None:
        try:
            parse_fullname(f"{type}-{path.stem}")
            ref = self._release(path, type, path.stem)
            if ref is None:
                ref = PackageRef.of(read(path))
        except (InvalidReference, BrokenDescriptor):
            return None
        return ref if path.is_file() and (ref.type, ref.id) == (type, path.stem) else None
