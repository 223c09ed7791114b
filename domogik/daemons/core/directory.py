"""The working directory of one instance: what this program made, and nothing else, is its own.

All functions block for as long as the disk does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import shutil
import stat
import uuid
from collections.abc import Collection, Iterator
from pathlib import Path

import attrs

from domogik.config.files import Ownership, read_bounded, unlock, write_atomically
from domogik.daemons.core.errors import NotOurs
from domogik.supervisor.interfaces import User
from domogik.supervisor.processes.adoption import ProcessRecord, Records

CONFIGURATION = "service.conf"
PARAMETERS = "service.json"
PASSWORD = "password"  # noqa: S105 - the name of a file
_MARKER = ".managed"
_LOCK = ".lock"
#: what is in every one of these directories
_OWN = (CONFIGURATION, PARAMETERS, PASSWORD, _MARKER, _LOCK, "run", "log")
_FORMAT = 1
_LARGEST_MARKER = 4096


@attrs.frozen
class WorkingDirectory:
    """A private directory (0700) that holds one instance of `kind`.

    `user` is whom its files belong to, None for this program's own user.
    """

    path: Path
    kind: str
    user: User | None = None

    # What it is

    def claim(self, *, beside: Collection[str] | None = None) -> None:
        """Make it, or take it as it is if it is ours or empty; raises `NotOurs`, `OSError`.

        Where `beside` is given it may hold files of other programs, which stay untouched, also by
        `remove`; but none of these names, which are needed here.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
        self._refuse_what_is_no_directory()
        if self._marker is None:
            found = sorted(path.name for path in self.path.iterdir())
            if found and beside is None:
                raise NotOurs(f"{self.path} is not empty, and not made by this program")
            if taken := [name for name in found if name in {*(beside or ()), *_OWN}]:
                raise NotOurs(f"{self.path} holds {taken[0]}, which is needed here: move it away")
            content = {
                "format": _FORMAT,
                "kind": self.kind,
                "id": uuid.uuid4().hex,
                "beside": found,
            }
            write_atomically(self.path / _MARKER, json.dumps(content).encode(), durable=False)
        self.check()
        self.path.chmod(0o700)
        self.give(self.path)

    def check(self) -> None:
        """Whether this program made it for this kind; raises `NotOurs`, `OSError`."""
        self._refuse_what_is_no_directory()
        marker = self._marker
        if marker is None:
            raise NotOurs(f"{self.path} was not made by this program: it has no {_MARKER} file")
        kind = marker["kind"]
        if kind != self.kind:
            raise NotOurs(f"{self.path} belongs to a {kind}, not to a {self.kind}")

    def _refuse_what_is_no_directory(self) -> None:
        try:
            mode = self.path.lstat().st_mode
        except FileNotFoundError:
            raise NotOurs(f"{self.path} is missing") from None
        if not stat.S_ISDIR(mode):
            raise NotOurs(f"{self.path} is not a directory")

    @property
    def id(self) -> str:
        """Of this directory alone, from its first `claim` on; raises `NotOurs`, `OSError`."""
        self.check()
        marker = self._marker
        assert marker is not None
        return marker["id"]

    @property
    def _beside(self) -> frozenset[str]:
        """The names that were there before; they are not ours."""
        marker = self._marker
        return frozenset(marker["beside"].split("/") if marker and marker["beside"] else ())

    @property
    def _marker(self) -> dict[str, str] | None:
        """Its kind, its id, and what was there before; None without a marker that can be read."""
        try:
            content = json.loads(read_bounded(self.path / _MARKER, _LARGEST_MARKER))
        except (FileNotFoundError, ValueError, RecursionError):
            return None
        found = content if isinstance(content, dict) else {}
        kind, id = found.get("kind"), found.get("id")
        if not (isinstance(kind, str) and isinstance(id, str) and id):
            return None
        beside = found.get("beside", [])
        if not (isinstance(beside, list) and all(isinstance(name, str) for name in beside)):
            return None
        return {"kind": kind, "id": id, "beside": "/".join(beside)}

    # What is in it

    def __truediv__(self, name: str) -> Path:
        return self.path / name

    def subdirectory(self, name: str) -> Path:
        """`name` within it, private, made if it is missing; raises `NotOurs`, `OSError`."""
        path = self.path / name
        with contextlib.suppress(FileExistsError):
            path.mkdir(mode=0o700)
        if not stat.S_ISDIR(path.lstat().st_mode):
            raise NotOurs(f"{path} is not a directory")
        self.give(path)
        return path

    def write(self, name: str, content: str) -> Path:
        """A private file (0600) of the instance's user, in one step; raises `OSError`."""
        path = self.path / name
        uid, gid = (self.user.uid, self.user.gid) if self.user else (os.geteuid(), os.getegid())
        write_atomically(path, content.encode(), Ownership(0o600, uid, gid), durable=False)
        return path

    def give(self, path: Path) -> None:
        """It belongs to the user of the instance; raises `OSError`."""
        if self.user is not None:
            os.chown(path, self.user.uid, self.user.gid, follow_symlinks=False)

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Keep other programs away from the instance; raises `NotOurs`, `OSError`."""
        descriptor = os.open(
            self.path / _LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
        )
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise NotOurs(f"another program is working on {self.path}") from None
            yield
        finally:
            unlock(descriptor)

    # Who runs in it

    @property
    def records(self) -> Records:
        """The record of its running process."""
        return Records(self.subdirectory("run"))

    @property
    def record(self) -> ProcessRecord | None:
        """What the last start left on record; None without one that can be read.

        Where its user is another than ours he can write there: a record of anybody else's process
        is not believed, for whoever is on record is sent signals.
        """
        directory = self.path / "run"
        if not directory.is_dir():
            return None
        record = next((record for _, record in Records(directory).load() if record), None)
        if record is None or record.process is None or self.user is None:
            return record
        return record if _uid_of(record.process.pid) in (None, self.user.uid) else None

    # Its end

    def remove(self) -> None:
        """All of it, the marker last: what was interrupted can be asked for again.

        Raises `NotOurs`, `OSError`.
        """
        self.check()
        beside = self._beside
        for entry in os.scandir(self.path):
            if entry.name == _MARKER or entry.name in beside:
                continue
            if entry.is_dir(follow_symlinks=False):
                shutil.rmtree(entry.path)
            else:
                Path(entry.path).unlink()
        (self.path / _MARKER).unlink()
        if beside:
            return
        try:
            self.path.rmdir()
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                raise
            raise NotOurs(f"{self.path} was written to while it was removed") from error


def _uid_of(pid: int) -> int | None:
    """The real user of a process; None where there is no such process."""
    try:
        lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii", errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return None
    words = next(line for line in lines.splitlines() if line.startswith("Uid:")).split()
    return int(words[1])
