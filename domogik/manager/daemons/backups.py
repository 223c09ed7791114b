"""Backups of managed daemons: files in one directory of the home, written and read as jobs."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from pathlib import Path

import attrs

from domogik.components.model import Backup
from domogik.errors import InvalidFileName, NotPossible, OperationFailed
from domogik.manager.daemons.daemons import Daemons
from domogik.manager.jobs import Jobs, Progress
from domogik.threads import Threads

#: what a backup can be called
FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")


@attrs.define(eq=False)
class Backups:
    """`now` is Unix time in seconds; `in_thread(f, *args)` calls what blocks."""

    _daemons: Daemons
    _directory: Path
    _jobs: Jobs
    _in_thread: Threads
    _now: Callable[[], float]

    async def all(self) -> tuple[Backup, ...]:
        """Return all backup files, the newest first."""
        return await self._in_thread(self._look)

    async def backup(self, name: str, file: str | None) -> Backup:
        """Write all data of that daemon into a new file, by default one of its name and the time.

        Raises `InvalidFileName`, `OperationFailed`, `NotPossible`.
        """
        moment = time.strftime("%Y%m%d-%H%M%S", time.gmtime(self._now()))
        path = self._path(file or f"{name}-{moment}.backup")

        async def work(progress: Progress) -> Backup:
            progress.stage(f"writing {path.name}")
            await self._in_thread(self._make_room, path)
            await self._daemons.backup(name, path)
            return await self._in_thread(_seen, path)

        written: Backup = await self._jobs.run("backup", f"daemon:{name}", work, file)
        return written

    async def restore(self, name: str, file: str) -> None:
        """Replace that daemon's data by the file; components that need it are stopped meanwhile.

        Raises `InvalidFileName`, `OperationFailed`, `NotPossible`.
        """
        path = self._path(file)

        async def work(progress: Progress) -> None:
            progress.stage(f"reading {path.name}")
            if not await self._in_thread(path.is_file):
                raise NotPossible(f"there is no backup {path.name}")
            await self._daemons.restore(name, path)

        await self._jobs.run("restore", f"daemon:{name}", work, file)

    def _path(self, file: str) -> Path:
        if not FILE_NAME.fullmatch(file):
            raise InvalidFileName(
                "a backup is named by at most 100 letters, digits, ., _ and -, a letter or digit "
                "first"
            )
        return self._directory / file

    def _make_room(self, path: Path) -> None:
        try:
            self._directory.mkdir(mode=0o700, exist_ok=True)
        except OSError as error:
            raise OperationFailed(f"{self._directory}: {error.strerror}") from error
        if path.exists():
            raise OperationFailed(f"there is a backup {path.name} already")

    def _look(self) -> tuple[Backup, ...]:
        if not self._directory.is_dir():
            return ()
        files = [path for path in self._directory.iterdir() if FILE_NAME.fullmatch(path.name)]
        found = [_seen(path) for path in files if path.is_file()]
        return tuple(sorted(found, key=lambda one: (-one.written, one.file)))


def _seen(path: Path) -> Backup:
    status = path.stat()
    return Backup(path.name, status.st_size, status.st_mtime)
