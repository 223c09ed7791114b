"""Files: reading what others wrote within bounds, writing so that nobody sees half."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import re
import stat
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

#: in the name of every temporary file of ours, so that we never remove anybody else's
_OURS = ".domogik-tmp-"
_TEMPORARY = re.compile(r".*\.domogik-tmp-[a-z0-9_]{8}", re.DOTALL)


@attrs.frozen
class Ownership:
    """Who may do what with a file: permission bits, user and group."""

    mode: int
    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> Ownership:
        """Those of an existing file; raises `OSError`."""
        status = path.stat()
        return cls(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def read_bounded(path: Path, limit: int) -> bytes:
    """The content of a regular file of at most `limit` bytes.

    Raises `OSError`: also `EFBIG` for a larger file, and `EINVAL` for what is no regular file (a
    pipe would block for ever, a device never end).
    """
    # O_NONBLOCK: opening a pipe that nobody writes to must not wait
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"Larger than {limit} bytes", str(path))
    return content


def unlock(descriptor: int) -> None:
    """Give a lock, flock(2), back and close its file; closing one without a lock is all right.

    Closing alone is not enough: a process that was forked and lives on has the same lock open.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def make_temporary(directory: Path, stem: str) -> tuple[int, Path]:
    """A new private file (0600), open to write, for as long as its descriptor is: `flock`.

    `clear_temporaries` removes it once nobody has it open any more. Raises `OSError`.
    """
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f"{stem}{_OURS}", dir=directory)
        # without locks on this file system nobody can have it removed either
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # it was removed before it was locked


def clear_temporaries(directories: Iterable[Path]) -> list[Path]:
    """Remove what `make_temporary` made there and no process holds; what was removed. Blocks."""
    removed = []
    for directory in dict.fromkeys(directories):
        try:
            names = [name for name in os.listdir(directory) if _TEMPORARY.fullmatch(name)]
        except OSError:
            continue
        removed += [path for name in names if remove_unheld(path := directory / name)]
    return removed


def remove_unheld(path: Path) -> bool:
    """Remove a regular file of this user's that nobody has locked; whether it is gone now."""
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags)
    except OSError:
        return False
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
            return False
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        path.unlink()
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def write_atomically(
    path: Path, content: bytes, ownership: Ownership | None = None, *, durable: bool = True
) -> None:
    """Replace `path` by a new file in one step; whoever reads sees the old or the new one.

    Without `ownership` the new file is private (0600) to who writes it. `durable` waits for the
    disk, so that a power cut leaves the old or the new one too. The name of the temporary file
    begins with a dot. Raises `OSError` that names `path`, and leaves nothing behind then.
    """
    with _naming(path):
        _replace(path, content, ownership, durable=durable)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """People know that file, and not the temporary one."""
    try:
        yield
    except OSError as error:
        if error.errno is None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error


def _replace(path: Path, content: bytes, ownership: Ownership | None, *, durable: bool) -> None:
    descriptor, temporary = make_temporary(path.parent, f".{path.name}")
    try:
        with open(descriptor, "wb") as file:
            if ownership is not None:
                _give(descriptor, ownership)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
            temporary.replace(path)  # before the lock is given back
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        _sync_directory(path.parent)


def create_exclusively(path: Path, content: bytes) -> bool:
    """Write a new private file (0600); False, and nothing done, where there is something already.

    Also a dangling link counts as something. Raises `OSError`, and leaves nothing behind then.
    """
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(path, flags, 0o600)
    except FileExistsError:
        return False
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise
    return True


def _give(descriptor: int, ownership: Ownership) -> None:
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (ownership.uid, ownership.gid):
        # Only root gives files away; whoever may replace the file may also own it afterwards.
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, ownership.uid, ownership.gid)
    os.fchmod(descriptor, ownership.mode)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
