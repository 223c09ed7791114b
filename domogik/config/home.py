"""The paths of a home: one private directory for each manager."""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Mapping
from importlib import resources
from pathlib import Path

import attrs

from domogik.config.files import create_exclusively, read_bounded, unlock
from domogik.errors import DomogikError

#: read before the configuration file of a home
SYSTEM_FILE = Path("/etc/domogik/domogik.cfg")
_NOT_IN_A_HOST = re.compile(r"[^a-z0-9]")
_HOST_LENGTH = 16
_PLUGIN = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_MANAGER = re.compile(rb"(?:dmg_|domogik-|domogik\.app\0)(?:manager|pkgmgr)\0")
_TOKEN_LIMIT = 4096
_WRITABLE_BY_OTHERS = stat.S_IWGRP | stat.S_IWOTH
_OPEN_TO_OTHERS = stat.S_IRWXG | stat.S_IRWXO


class HomeInUse(DomogikError):
    """Another manager uses this home; `pid` is its process, None if unknown."""

    def __init__(self, path: Path, pid: int | None) -> None:
        user = f"the manager with pid {pid}" if pid is not None else "another manager"
        super().__init__(f"{path} is in use by {user}: stop it, or choose another --home")
        self.pid = pid


class NoToken(DomogikError):
    """The administrator's token cannot be read from its file."""


@attrs.frozen
class ExposedPath:
    """A file or directory that other users may read or change, with a sentence for the user."""

    path: Path
    _bits: int
    sentence: str

    def close(self) -> None:
        """Remove these rights of other users; raises `OSError`."""
        self.path.chmod(stat.S_IMODE(self.path.stat().st_mode) & ~self._bits)


@attrs.define(eq=False)
class HomeLock:
    """The lock of a home, held until `release` or the end of this process.

    Children do not inherit it, and a program that this process executes (an upgrade) locks again.
    """

    _descriptor: int | None

    def release(self) -> None:
        """Release the lock; may be called twice. The file stays."""
        if self._descriptor is not None:
            unlock(self._descriptor)
            self._descriptor = None


@attrs.frozen
class Home:
    """The paths of a home; `path` is absolute."""

    path: Path

    @classmethod
    def from_options(cls, home: str | None, environ: Mapping[str, str]) -> Home:
        """Return the home in `--home`, else `$DOMOGIK_HOME`, else `~/.domogik`."""
        name = home or environ.get("DOMOGIK_HOME") or "~/.domogik"
        return cls(Path.cwd() / Path(name).expanduser())

    @property
    def configuration(self) -> Path:
        """The configuration file, which overrides `/etc/domogik/domogik.cfg`."""
        return self.path / "domogik.cfg"

    @property
    def sources(self) -> Path:
        """The list of repositories: a file, or a directory of `*.list` files."""
        return self.path / "sources.list"

    @property
    def token(self) -> Path:
        """The file with the administrator's token."""
        return self.path / "admin.token"

    @property
    def plugins(self) -> Path:
        """The directory of descriptors of installed plugins."""
        return self.path / "packages" / "plugins"

    @property
    def externals(self) -> Path:
        """The directory of descriptors of installed external models."""
        return self.path / "packages" / "externals"

    @property
    def store(self) -> Path:
        """The directory with the content of installed packages, in `<type>-<id>/<release>/`."""
        return self.path / "packages" / "store"

    @property
    def rinor(self) -> Path:
        """The directory of links to the releases whose icons and other files REST serves."""
        return self.path / "packages" / "rinor"

    @property
    def uploads(self) -> Path:
        """The directory of the local repository."""
        return self.path / "uploads"

    @property
    def cache(self) -> Path:
        """The directory of cached content of repositories."""
        return self.path / "cache"

    @property
    def log(self) -> Path:
        """The directory of logs."""
        return self.path / "log"

    @property
    def run(self) -> Path:
        """The directory of PID, port and state files."""
        return self.path / "run"

    @property
    def socket(self) -> Path:
        """The socket on which the manager answers the local tools."""
        return self.run / "manager.sock"

    @property
    def rest_port(self) -> Path:
        """The file with the port of REST."""
        return self.run / "rest.port"

    @property
    def data(self) -> Path:
        """The directory of databases and plugin data."""
        return self.path / "data"

    @property
    def trust(self) -> Path:
        """The directory of trusted keys of signed repositories, which cannot be fetched again."""
        return self.data / "trust"

    @property
    def keys(self) -> Path:
        """The directory of the keys with which the user signs repositories."""
        return self.data / "keys"

    @property
    def daemons(self) -> Path:
        """The directory of working directories of managed daemons."""
        return self.path / "daemons"

    @property
    def backups(self) -> Path:
        """The directory of backups of managed daemons."""
        return self.path / "backups"

    def plugin_data(self, plugin: str) -> Path:
        """Return the data directory of a plugin, which may not exist yet.

        Raises `ValueError` if `plugin` is not a plugin's id.
        """
        if not _PLUGIN.fullmatch(plugin):
            raise ValueError(f"'{plugin}' is not the id of a plugin")
        return self.data / "plugins" / plugin

    def create(self) -> tuple[str, ...]:
        """Create missing directories and files, all private, and leave existing ones unchanged.

        Returns a sentence for each existing path that is open to other users. Raises `OSError`.
        """
        for directory in (
            *reversed(self.path.parents),
            self.path,
            self.plugins.parent,
            self.plugins,
            self.externals,
            self.store,
            self.rinor,
            self.uploads,
            self.cache,
            self.log,
            self.run,
            self.data,
            self.daemons,
        ):
            # is_dir first: an existing parent may be unreadable
            if not directory.is_dir():
                directory.mkdir(mode=0o700, exist_ok=True)
        create_exclusively(self.configuration, _template("domogik.cfg"))
        create_exclusively(self.sources, _template("sources.list"))
        create_exclusively(self.token, f"{secrets.token_urlsafe(32)}\n".encode())
        return tuple(exposed.sentence for exposed in self.exposed_paths())

    def exposed_paths(self) -> tuple[ExposedPath, ...]:
        """Return the paths whose modes let other users in; raises `OSError`."""
        found = []
        if self.token.exists() and self.token.stat().st_mode & _OPEN_TO_OTHERS:
            found.append(
                ExposedPath(
                    self.token,
                    _OPEN_TO_OTHERS,
                    f"{self.token} can be read by other users: chmod 600 it, or remove it to get "
                    "a new one at the next start",
                )
            )
        found += [
            ExposedPath(
                path,
                _WRITABLE_BY_OTHERS,
                f"{path} can be changed by other users, who can thus run programs as this one: "
                f"chmod go-w {path}",
            )
            for path in (self.path, self.configuration, self.plugins, self.store)
            if path.exists() and path.stat().st_mode & _WRITABLE_BY_OTHERS
        ]
        return tuple(found)

    def read_token(self) -> str:
        """Return the administrator's token; raises `NoToken`."""
        try:
            token = read_bounded(self.token, _TOKEN_LIMIT).decode("ascii").strip()
        except OSError as error:
            raise NoToken(f"{self.token} cannot be read: {error.strerror}") from error
        except UnicodeDecodeError as error:
            raise NoToken(f"{self.token} contains no token: remove it and start again") from error
        if not token:
            raise NoToken(f"{self.token} is empty: remove it and start again")
        return token

    def lock(self) -> HomeLock:
        """Lock the home for this process and write its pid to `run/manager.lock`.

        Raises `HomeInUse` if another process has locked it, and `OSError`. Does not wait.
        """
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
        descriptor = os.open(self.run / "manager.lock", flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
        except BlockingIOError:
            text = os.pread(descriptor, 32, 0).strip()
            os.close(descriptor)
            raise HomeInUse(self.path, int(text) if text.isdigit() else None) from None
        except BaseException:
            os.close(descriptor)
            raise
        return HomeLock(descriptor)

    @classmethod
    def of_managers(cls) -> list[Home]:
        """Return the homes of the managers in this network namespace that this user may inspect.

        A manager is recognised by its open lock file. Blocks.
        """
        own = Path("/proc", str(os.getpid()))
        network = (own / "ns/net").stat().st_ino
        found = set()
        for process in {*Path("/proc").glob("[0-9]*")} - {own}:
            try:
                if (process / "ns/net").stat().st_ino != network:
                    continue
                for descriptor in (process / "fd").iterdir():
                    with contextlib.suppress(FileNotFoundError):
                        link = descriptor.readlink()
                        if link.parts[-2:] == ("run", "manager.lock"):
                            found.add(link.parents[1])
            except OSError:
                continue  # it has ended, or is another user's
        return [cls(path) for path in sorted(found)]

    def manager(self) -> int | None:
        """Return the pid of the manager that uses this home, or None.

        A manager that executes itself anew, or ends, counts although it has released the lock.
        """
        flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW
        try:
            descriptor = os.open(self.run / "manager.lock", flags)
        except OSError:
            return None
        try:
            text = os.pread(descriptor, 32, 0).strip()
            # an ended process holds no lock; trying it could take it from one that starts now
            if not text.isdigit():
                return None
            command = Path("/proc", text.decode(), "cmdline").read_bytes()
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            if _MANAGER.search(command):
                return int(text)
        except BlockingIOError:
            return int(text)
        except OSError:
            return None
        finally:
            unlock(descriptor)
        return None


def sanitised_host(name: str) -> str:
    """Return a machine's name as an xPL instance: up to the first dot, `a-z` and `0-9`, at most 16.

    If nothing is left, it is `default`, as in other xPL programs.
    """
    return _NOT_IN_A_HOST.sub("", name.split(".")[0].lower())[:_HOST_LENGTH] or "default"


def _template(name: str) -> bytes:
    return (resources.files("domogik.config") / "templates" / name).read_bytes()
