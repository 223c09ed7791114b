"""Backups: one file with all data of an instance, and the way back that loses nothing.

A backup is a line that says what follows, a line of JSON (`Manifest`), and what the server's own
tool wrote, the payload. What is damaged or of another kind is refused before any data are touched.

A kind that has data overrides, in its `Server`,

- `dump(payload)`: it serves; have its own tool write everything into the new file `payload`, and
  say what is in there (`BackupContents`);
- `load(payload)`: it does not run, and `data_names` are gone; make data of the payload, or make new
  ones (`initialise`) where the server itself has to take the payload in;
- `load_served(payload)`: it serves; what is left of taking the payload in;
- `compare(contents)`: it serves; raises the kind's error unless what is there is what went in.

All that stands around it is `back_up` and `restore` here: the data of before stay until `compare`
has passed, and are put back otherwise, also when this program is killed meanwhile (`put_back`, at
the next start).
"""

from __future__ import annotations

import contextlib
import datetime
import hashlib
import json
import os
import shutil
from collections.abc import AsyncIterator, Iterable, Mapping
from pathlib import Path
from typing import IO, ClassVar, Protocol

import attrs

from domogik.config.files import create_exclusively, make_temporary
from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import BrokenBackup
from domogik.daemons.core.tools import DaemonTools

_MAGIC = b"Domogik backup 1\n"
_LONGEST_MANIFEST = 64 * 1024
_CHUNK = 2**20
_PAYLOAD = ".payload"
#: of the data that are put back when the new ones turn out to be none
BEFORE = ".before"
_DISCARDED = ".discarded"


@attrs.frozen
class BackupContents:
    """What a payload holds: the server's release, and facts that `compare` looks at."""

    version: str
    facts: Mapping[str, str | int] = attrs.field(factory=dict)


@attrs.frozen
class Manifest:
    """Of one backup; `made` is ISO 8601 in UTC, `size` and `sha256` those of the payload."""

    kind: str
    made: str
    size: int
    sha256: str
    contents: BackupContents

    def to_json(self) -> bytes:
        """As the second line of the file."""
        return json.dumps(attrs.asdict(self), sort_keys=True).encode() + b"\n"

    @classmethod
    def read(cls, file: IO[bytes]) -> Manifest:
        """From the beginning of a file to its payload; raises `BrokenBackup`."""
        if file.read(len(_MAGIC)) != _MAGIC:
            raise BrokenBackup("it is not a backup")
        line = file.readline(_LONGEST_MANIFEST)
        try:
            content = json.loads(line)
            inside = content.pop("contents")
            manifest = cls(contents=BackupContents(**inside), **content)
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise BrokenBackup("it is damaged: its second line cannot be read") from None
        texts = (manifest.kind, manifest.made, manifest.sha256, manifest.contents.version)
        if not (
            all(isinstance(text, str) for text in texts)
            and type(manifest.size) is int
            and isinstance(manifest.contents.facts, dict)
        ):
            raise BrokenBackup("it is damaged: its second line says something else")
        return manifest


def write(target: Path, payload: Path, kind: str, made: str, contents: BackupContents) -> Manifest:
    """Make the backup `target`, private (0600), whole or not at all, where there is no file yet.

    Blocks as long as two passes over `payload` take. Raises `BrokenBackup`, `OSError`.
    """
    with payload.open("rb") as source:
        digest = hashlib.file_digest(source, "sha256")
        size = source.seek(0, os.SEEK_END)
        manifest = Manifest(kind, made, size, digest.hexdigest(), contents)
        source.seek(0)
        descriptor, temporary = make_temporary(target.parent, f".{target.name}")
        try:
            with open(descriptor, "wb") as file:
                file.write(_MAGIC + manifest.to_json())
                shutil.copyfileobj(source, file, _CHUNK)
                file.flush()
                os.fsync(descriptor)
                _refuse_existing(target)
                os.link(temporary, target)  # unlike a rename it replaces nothing
        finally:
            temporary.unlink()
    return manifest


def _refuse_existing(target: Path) -> None:
    if os.path.lexists(target):
        raise BrokenBackup(f"{target} is there already")


def extract(source: Path, payload: Path, kind: str) -> Manifest:
    """Write the payload of `source`, if it is whole and of this `kind`, to the new file `payload`.

    Blocks. Raises `BrokenBackup`, which names it, and `OSError`; there is no `payload` then.
    """
    try:
        with source.open("rb") as file:
            manifest = Manifest.read(file)
            if manifest.kind != kind:
                raise BrokenBackup(f"it is one of {manifest.kind}, not of {kind}")
            _extract(file, payload, manifest)
    except BrokenBackup as error:
        payload.unlink(missing_ok=True)
        raise BrokenBackup(f"{source} cannot be restored: {error}") from None
    except OSError:
        payload.unlink(missing_ok=True)
        raise
    return manifest


def _extract(file: IO[bytes], payload: Path, manifest: Manifest) -> None:
    digest, size = hashlib.sha256(), 0
    create_exclusively(payload, b"")
    with payload.open("wb") as taken:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
            size += len(chunk)
            taken.write(chunk)
    if size != manifest.size:
        raise BrokenBackup(f"it is damaged: it holds {size} of {manifest.size} bytes")
    if digest.hexdigest() != manifest.sha256:
        raise BrokenBackup("it is damaged: its checksum is another one")


# The data of before


def set_aside(directory: WorkingDirectory, names: Iterable[str]) -> None:
    """Keep the data until `discard` or `put_back`; blocks, raises `OSError`."""
    for name in names:
        with contextlib.suppress(FileNotFoundError):
            (directory / name).rename(directory / f"{name}{BEFORE}")


def put_back(directory: WorkingDirectory, names: Iterable[str]) -> None:
    """What was set aside and not discarded takes the place of what is there; raises `OSError`.

    Does nothing where nothing was set aside.
    """
    for name in names:
        _remove(directory / f"{name}{_DISCARDED}")
        before = directory / f"{name}{BEFORE}"
        if before.exists():
            _remove(directory / name)
            before.rename(directory / name)


def discard(directory: WorkingDirectory, names: Iterable[str]) -> None:
    """What is there now counts; raises `OSError`."""
    found = [name for name in names if (directory / f"{name}{BEFORE}").exists()]
    for name in found:
        _remove(directory / f"{name}{_DISCARDED}")
        (directory / f"{name}{BEFORE}").rename(directory / f"{name}{_DISCARDED}")
    for name in found:
        _remove(directory / f"{name}{_DISCARDED}")


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path)


# With a daemon


class BackedUpDaemon(Protocol):
    """What a daemon has to be able to do for all this; see the beginning of this module."""

    kind: ClassVar[str]
    tools: DaemonTools

    @property
    def directory(self) -> WorkingDirectory: ...

    @property
    def data_names(self) -> tuple[str, ...]: ...

    def is_running(self) -> bool: ...

    async def start_serving(self) -> None:
        """As `start`, by who holds the lock of its directory."""
        ...

    async def end_serving(self, *, gently: bool) -> None:
        """As `stop`, or without ceremony, by who holds the lock of its directory."""
        ...

    async def dump(self, payload: Path) -> BackupContents: ...

    async def load(self, payload: Path) -> None: ...

    async def load_served(self, payload: Path) -> None: ...

    async def compare(self, contents: BackupContents) -> None: ...


@contextlib.asynccontextmanager
async def _payload(daemon: BackedUpDaemon) -> AsyncIterator[Path]:
    """Where it may be; nothing is there before, nor afterwards."""
    path = daemon.directory / _PAYLOAD
    path.unlink(missing_ok=True)
    try:
        yield path
    finally:
        path.unlink(missing_ok=True)


async def back_up(daemon: BackedUpDaemon, target: Path) -> Manifest:
    """It is started for it if it does not run, and stopped again.

    Raises `BrokenBackup` where `target` is there already, `OSError`, and what the daemon raises.
    """
    _refuse_existing(target)
    async with _payload(daemon) as payload:
        was_running = daemon.is_running()
        if not was_running:
            await daemon.start_serving()
        try:
            contents = await daemon.dump(payload)
        finally:
            if not was_running:
                await daemon.end_serving(gently=True)
        made = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        return await daemon.tools.in_thread(
            write, target, payload, daemon.kind, made=made, contents=contents
        )


async def restore(daemon: BackedUpDaemon, source: Path) -> Manifest:
    """It runs afterwards if it ran before.

    Raises `BrokenBackup`, `OSError`, and what the daemon raises; nothing has changed then.
    """
    async with _payload(daemon) as payload:
        in_thread, directory, names = daemon.tools.in_thread, daemon.directory, daemon.data_names
        manifest = await in_thread(extract, source, payload, daemon.kind)
        directory.give(payload)
        was_running = daemon.is_running()
        await daemon.end_serving(gently=True)
        await in_thread(put_back, directory, names)
        await in_thread(set_aside, directory, names)
        try:
            await daemon.load(payload)
            await daemon.start_serving()
            await daemon.load_served(payload)
            await daemon.compare(manifest.contents)
        except BaseException:
            await daemon.end_serving(gently=False)
            await in_thread(put_back, directory, names)
            if was_running:
                await daemon.start_serving()
            raise
        await in_thread(discard, directory, names)
        if not was_running:
            await daemon.end_serving(gently=True)
        return manifest
