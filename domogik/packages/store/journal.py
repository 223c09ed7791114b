"""What is being changed in the store, so that a start after any end knows what to finish.

An intent is on the disk before the first step of its change and goes after the last one. Which
way an interrupted change goes is not read from here but from the one link that counts: if it
points to where the change leads, the rest is done; else it never happened.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from domogik.config.files import read_bounded, write_atomically
from domogik.packages.descriptor.reference import (
    InvalidReference,
    PackageRef,
    fullname,
    parse_fullname,
)
from domogik.packages.store import durable

_PREFIX, _SUFFIX = ".journal-", ".json"
_LIMIT = 64 * 1024


@attrs.frozen
class Intent:
    """A change: the part `xpl` or `rinor` of a package shall be at release `after`, None: away.

    `doubtful` is a release that stays only if a link leads to it in the end. `whole`: when the
    part is away, all else of the package goes too, and `with_data` what the plugin keeps.
    """

    type: str
    id: str
    part: str
    after: str | None
    doubtful: str | None = None
    whole: bool = False
    with_data: bool = False

    @property
    def fullname(self) -> str:
        """`<type>-<id>`"""
        return f"{self.type}-{self.id}"


@attrs.define(eq=False)
class Journal:
    """The intents of one store, a file for each package in `directory`. All of it blocks."""

    _directory: Path

    #: how a file begins that is not yet one of ours, and never will be after a kill
    temporary = f".{_PREFIX}"

    def begin(self, intent: Intent) -> None:
        """Write it down, durably. Raises `OSError`."""
        write_atomically(self._path(intent.fullname), json.dumps(attrs.asdict(intent)).encode())

    def end(self, intent: Intent) -> None:
        """Forget it, durably: a removal that comes back after a power cut would remove again."""
        self._path(intent.fullname).unlink(missing_ok=True)
        durable.sync_directory(self._directory)

    def pending(self) -> tuple[list[Intent], list[str]]:
        """What was begun and not ended, and a sentence for each file that says nothing.

        Such a file (a disk that lost it) is removed: what it spoke of had not begun.
        """
        intents, sentences = [], []
        for path in sorted(self._directory.glob(f"{_PREFIX}*{_SUFFIX}")):
            name = path.name.removeprefix(_PREFIX).removesuffix(_SUFFIX)
            try:
                intents.append(_read(path, name))
            except OSError as error:
                sentences.append(f"{path}: cannot be read: {error.strerror}")
            except (ValueError, LookupError, TypeError, RecursionError, InvalidReference) as error:
                path.unlink(missing_ok=True)
                sentences.append(f"{path}: removed, it says nothing about a change: {error}")
        return intents, sentences

    def _path(self, name: str) -> Path:
        return self._directory / f"{_PREFIX}{name}{_SUFFIX}"


def _read(path: Path, name: str) -> Intent:
    found = json.loads(read_bounded(path, _LIMIT))
    intent = Intent(**found)
    if parse_fullname(name) != (intent.type, intent.id) or intent.part not in ("xpl", "rinor"):
        raise InvalidReference(f"describes {fullname(intent.type, intent.id)}")
    for release in (intent.after, intent.doubtful):
        if release is not None:
            PackageRef(intent.type, intent.id, release)
    return intent
