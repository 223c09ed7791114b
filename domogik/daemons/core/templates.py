"""Data that a server has before its first start: made once a machine, and copied from then on.

Only for instances that are configured without `fsync`, which are for tests: the copies share what
a server draws once when its data are made, as PostgreSQL its system identifier.

A template appears under its name by a rename, after its files were written to the disk: there is
never half a one, whoever is killed while it is made and however many make it at once. It is removed
by removing its directory.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from collections.abc import Sequence
from pathlib import Path

import attrs
from twisted.logger import Logger

from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.tools import DaemonTools

_PASSWORD = "password"  # noqa: S105 - the name of a file
_DATA = "data"
_NEW = ".new-"
#: the whole tree, by reference where the file system can
_COPY = ("cp", "-a", "--reflink=auto")
#: seconds after which what was being made was given up
_GIVEN_UP = 3600.0


def default_directory() -> Path:
    """Return `domogik/templates` in the user's cache, or where temporary files are without one."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    cache = Path(given) if given.startswith("/") else Path("~/.cache").expanduser()
    if os.access(cache if cache.is_dir() else cache.parent, os.W_OK):
        return cache / "domogik" / "templates"
    return Path(tempfile.gettempdir()) / f"domogik-templates-{os.geteuid()}"


@attrs.define(eq=False)
class Template:
    """The data of one kind that one program makes with certain arguments; `command` is both."""

    _tools: DaemonTools
    _kind: str
    _command: Sequence[str]
    _directory: Path = attrs.field(factory=default_directory)
    _log: Logger = Logger()

    @property
    def path(self) -> Path:
        """Where it is, if it is there."""
        key = hashlib.sha256("\0".join(self._command).encode("utf-8", "surrogateescape"))
        return self._directory / f"{self._kind}-{key.hexdigest()[:16]}"

    @property
    def password(self) -> str | None:
        """The one that its data know; None where there is no template, or not one of ours."""
        try:
            if self._is_private():
                return (self.path / _PASSWORD).read_text(encoding="ascii")
        except OSError:
            pass
        return None

    def _is_private(self) -> bool:
        found = self._directory.lstat()
        private = not stat.S_IMODE(found.st_mode) & 0o077
        return stat.S_ISDIR(found.st_mode) and private and found.st_uid == os.geteuid()

    async def copy_to(self, target: WorkingDirectory) -> bool:
        """Make `data` of `target` a copy; false where that cannot be.

        Nothing is left then, of the template neither.
        """
        data = target / _DATA
        if await self._run(target, *_COPY, self.path / _DATA, data):
            await self._tools.in_thread(_give, target, data)
            return True
        for damaged in (data, self.path):  # a whole one is made in its place
            await self._tools.in_thread(shutil.rmtree, damaged, True)
        return False

    async def keep(self, source: WorkingDirectory, password: str) -> None:
        """Make `data` of `source` the template; where that cannot be it is made another time."""
        try:
            new = await self._tools.in_thread(self._begin, password)
        except OSError as error:
            self._log.warn("{path} is not made: {error}", path=str(self.path), error=str(error))
            return
        try:
            copied = await self._run(source, *_COPY, source / _DATA, new / _DATA)
            if copied and await self._run(source, "sync", "-f", new):
                with contextlib.suppress(OSError):  # another program was quicker
                    new.rename(self.path)
        finally:
            await self._tools.in_thread(shutil.rmtree, new, True)

    async def _run(self, instance: WorkingDirectory, *argv: str | Path) -> bool:
        """Whether it succeeded; it is ended with the tools of the instance."""
        mark = {"DOMOGIK_RUN_ID": instance.id}
        words = tuple(map(str, argv))
        done = await self._tools.run(words, directory=instance.path, environment=mark)
        return done.succeeded

    def _begin(self, password: str) -> Path:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._is_private():
            raise OSError(f"others may write in {self._directory}")
        new = Path(tempfile.mkdtemp(prefix=_NEW, dir=self._directory))
        for other in self._directory.glob(f"{_NEW}*"):
            with contextlib.suppress(FileNotFoundError):
                if new.lstat().st_mtime - other.lstat().st_mtime > _GIVEN_UP:
                    shutil.rmtree(other, ignore_errors=True)
        (new / _PASSWORD).write_text(password, encoding="ascii")
        return new


def new_password() -> str:
    """Return one for the data of a template."""
    return secrets.token_urlsafe(24)


def _give(target: WorkingDirectory, data: Path) -> None:
    user = target.user
    if user is None:
        return
    for directory, names, files in os.walk(data):
        for name in (".", *names, *files):  # a thousand: texts take a fifth of the time of paths
            os.chown(f"{directory}/{name}", user.uid, user.gid, follow_symlinks=False)
