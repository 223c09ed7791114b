"""The journal of the store: changes that an interrupted process has to complete.

An intent is synced before the first step of its change and removed after the last one. Whether an
interrupted change is completed or undone depends on the link alone: if it leads to the new release,
the rest is done; otherwise it is undone.
"""

from __future__ import annotations

import json
from pathlib import Path

import attrs

from domogik.config.files import read_bounded, write_atomically
from domogik.packages.archive import durable
from domogik.packages.descriptor.reference import (
    InvalidReference,
    PackageRef,
    fullname,
    parse_fullname,
)

_PREFIX, _SUFFIX = ".journal-", ".json"
_LIMIT = 64 * 1024


@attrs.frozen
class Intent:
    """A change: part `xpl` or `rinor` of a package to release `after`, or None for its removal.

    `doubtful` is a release that is kept only if a link leads to it. `whole`: the rest of the
    package is removed too, and `with_data` the plugin's data.
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
        """The name `<type>-<id>`."""
        return f"{self.type}-{self.id}"


@attrs.define(eq=False)
class Journal:
    """The intents of one store, a file for each package in `directory`. All methods block."""

    _directory: Path

    #: the prefix of temporary files, which may remain after a kill
    temporary = f".{_PREFIX}"

    def begin(self, intent: Intent) -> None:
        """Write the intent durably. Raises `OSError`."""
        write_atomically(self._path(intent.fullname), json.dumps(attrs.asdict(intent)).encode())

    def end(self, intent: Intent) -> None:
        """Remove the intent durably: after a power cut it must not be carried out again."""
        self._path(intent.fullname).unlink(missing_ok=True)
        durable.sync_directory(self._directory)

    def pending(self) -> tuple[list[Intent], list[str]]:
        """Return the pending intents, and a sentence for each invalid file.

        An invalid file is removed: its change had not begun.
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
