"""Records of started processes, one file for each wanted component.

A record with the mark of the start (`DOMOGIK_RUN_ID`) is written before the process is started; a
second line is added when its identity is known. So a manager killed at any moment loses no child:
one without an identity is found by the mark in its environment. The file exists as long as the
component is wanted, also during backoff and slow retry. Before a process is told to end, a line is
added that says what is wanted afterwards, so that the next manager completes an interrupted stop.
The file is removed when no process is left and none is wanted.

The last valid line counts. Each line is one write, and the first replaces the old file only when no
process of the component is left. Nothing is flushed to disk: a crash of the manager loses nothing,
a power cut at most the starts of the last seconds.
"""

from __future__ import annotations

import json
import os
import urllib.parse
import uuid
from collections.abc import Iterator
from pathlib import Path

import attrs
from twisted.logger import Logger

from domogik.errors import DomogikError
from domogik.supervisor.processes.identity import InvalidIdentity, ProcessIdentity

_ENDING = ".json"
_LARGEST = 64 * 1024
_MARK = b"DOMOGIK_RUN_ID="


class BrokenRecord(DomogikError):
    """The file does not contain a record; the text says why."""


@attrs.frozen
class ProcessRecord:
    """A start. `started` is Unix time in seconds; `process` is None before it ran.

    `wanted` is false once it is to stay stopped; `ending` is true once its processes are told, or
    about to be told, to end; `restarts` counts automatic ones.
    """

    id: str
    run_id: str
    started: float
    process: ProcessIdentity | None = None
    wanted: bool = True
    restarts: int = 0
    ending: bool = False

    @classmethod
    def new(cls, id: str, started: float, restarts: int) -> ProcessRecord:
        """Return the record of an imminent start, with a new mark."""
        return cls(id, uuid.uuid4().hex, started, restarts=restarts)

    def to_json(self) -> bytes:
        """Return a line of the file."""
        return json.dumps(attrs.asdict(self) | {"started": float(self.started)}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> ProcessRecord:
        """Return the record in a line; raises `BrokenRecord`, and nothing else."""
        try:
            content = json.loads(data)
        except (ValueError, RecursionError) as error:
            raise BrokenRecord(f"not JSON: {error}") from None
        if not isinstance(content, dict):
            raise BrokenRecord("not an object")
        id, run_id, started = (content.get(key) for key in ("id", "run_id", "started"))
        if not (isinstance(id, str) and isinstance(run_id, str) and id and run_id):
            raise BrokenRecord("id or run_id is missing")
        if not isinstance(started, float):
            raise BrokenRecord("started is missing")
        process = content.get("process")
        try:
            identity = None if process is None else ProcessIdentity.from_dict(process)
        except InvalidIdentity as error:
            raise BrokenRecord(str(error)) from None
        restarts = content.get("restarts")
        count = restarts if isinstance(restarts, int) and restarts > 0 else 0
        wanted, ending = content.get("wanted") is not False, content.get("ending") is True
        return cls(id, run_id, started, identity, wanted=wanted, restarts=count, ending=ending)


def file_name(component_id: str) -> str:
    """Return the stem of the component's file; it is unique."""
    kind, _, name = component_id.partition(":")
    return f"{kind}-{urllib.parse.quote(name, safe='')}"


def component_id(file_name: str) -> str:
    """Return the id that `file_name` was called with."""
    kind, _, name = file_name.partition("-")
    return f"{kind}:{urllib.parse.unquote(name)}"


@attrs.define(eq=False)
class Records:
    """The records in one existing directory."""

    _directory: Path
    _log: Logger = Logger()

    def begin(self, record: ProcessRecord) -> None:
        """Replace the component's record.

        A crash leaves the old or the new one. On a full disk the old one is overwritten, and an
        error is logged only: it does not prevent the start.
        """
        path = self._path(record.id)
        try:
            _write(f"{path}.new", record, os.O_CREAT | os.O_TRUNC)
            os.replace(f"{path}.new", path)  # noqa: PTH105 - no objects for each start
        except OSError:
            self._write(record, os.O_CREAT | os.O_TRUNC)

    def add(self, record: ProcessRecord) -> None:
        """Add a line to the record that `begin` created."""
        self._write(record, os.O_CREAT | os.O_APPEND)

    def _write(self, record: ProcessRecord, how: int) -> None:
        try:
            _write(self._path(record.id), record, how)
        except OSError as error:
            self._log.error(
                "{component} would be lost with the manager: {error}",
                component=record.id,
                error=error,
            )

    def remove(self, component_id: str) -> None:
        """Remove the record of a component, if there is one."""
        try:
            Path(self._path(component_id)).unlink()
        except FileNotFoundError:
            pass
        except OSError as error:
            self._log.error(
                "{component} will be started again after a crash of the manager: {error}",
                component=component_id,
                error=error,
            )

    def load(self) -> Iterator[tuple[str, ProcessRecord | None]]:
        """Yield every component that was wanted, with its record.

        An invalid file is renamed to `.broken`; the component in its name is yielded with None.
        """
        for path in sorted(self._directory.glob(f"*{_ENDING}")):
            wanted = component_id(path.name.removesuffix(_ENDING))
            try:
                yield wanted, _read(path, wanted)
            except (OSError, BrokenRecord) as error:
                self._log.warn("{path} is put aside: {error}", path=str(path), error=error)
                self._mark_broken(path)
                yield wanted, None

    def _mark_broken(self, path: Path) -> None:
        try:
            path.rename(path.with_suffix(".broken"))
        except OSError as error:
            self._log.error("{path} stays: {error}", path=str(path), error=error)

    def _path(self, component_id: str) -> str:
        return f"{self._directory}/{file_name(component_id)}{_ENDING}"


def _write(path: str, record: ProcessRecord, how: int) -> None:
    line = record.to_json() + b"\n"
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC | how, 0o600)
    try:
        written = os.write(descriptor, line)
    finally:
        os.close(descriptor)
    if written != len(line):
        raise OSError(f"only {written} bytes fitted")


def _read(path: Path, wanted: str) -> ProcessRecord:
    with path.open("rb") as file:
        lines = file.read(_LARGEST).splitlines()
    problem = BrokenRecord("it is empty")
    for line in reversed(lines):
        try:
            record = ProcessRecord.from_json(line)
        except BrokenRecord as error:
            problem = error
            continue
        if record.id != wanted:
            raise BrokenRecord(f"it speaks of {record.id!r}")
        return record
    raise problem


def mark_of_writer(fifo: Path, proc: str = "/proc") -> str | None:
    """Return the `DOMOGIK_RUN_ID` of a process whose standard output is `fifo`, or None.

    It examines every process of this machine, for the rare case that a record cannot be read.
    """
    try:
        wanted = fifo.stat()
    except OSError:
        return None
    for name in os.listdir(proc):
        try:
            its = Path(f"{proc}/{name}/fd/1").stat() if name.isdigit() else None
            if its is None or (its.st_dev, its.st_ino) != (wanted.st_dev, wanted.st_ino):
                continue
            with open(f"{proc}/{name}/environ", "rb", buffering=0) as file:
                environment = file.read().split(b"\0")
        except OSError:  # it has ended, or may not be read
            continue
        for entry in environment:
            if entry.startswith(_MARK) and entry != _MARK:
                return os.fsdecode(entry.removeprefix(_MARK))
    return None
