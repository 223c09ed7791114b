"""Bounded reads, atomic writes and locked temporary files."""

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

#: part of the name of every temporary file of Domogik, so that no other file is removed
_OURS = ".domogik-tmp-"
_TEMPORARY = re.compile(r".*\.domogik-tmp-[a-z0-9_]{8}", re.DOTALL)


@attrs.frozen
class Ownership:
    """Permission bits, user and group of a file."""

    mode: int
    uid: int
    gid: int

    @classmethod
    def of(cls, path: Path) -> Ownership:
        """Return those of an existing file; raises `OSError`."""
        status = path.stat()
        return cls(stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid)


def read_bounded(path: Path, limit: int) -> bytes:
    """Return the content of a regular file of at most `limit` bytes.

    Raises `OSError`: `EFBIG` for a larger file, `EINVAL` if it is not a regular file (reading a
    pipe or a device might never end).
    """
    # O_NONBLOCK: opening a pipe without a writer must not wait
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    with open(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, "Not a regular file", str(path))
        content = file.read(limit + 1)
    if len(content) > limit:
        raise OSError(errno.EFBIG, f"Larger than {limit} bytes", str(path))
    return content


def unlock(descriptor: int) -> None:
    """Release a flock(2) lock, if there is one, and close the descriptor.

    Closing is not enough, since a forked process may have the same lock open.
    """
    try:
        fcntl.flock(descriptor, fcntl.LOCK_UN)
    finally:
        os.close(descriptor)


def make_temporary(directory: Path, stem: str) -> tuple[int, Path]:
    """Create a private file (0600), locked with `flock` while its descriptor is open.

    `clear_temporaries` removes it when no process has it open. Raises `OSError`.
    """
    while True:
        descriptor, name = tempfile.mkstemp(prefix=f"{stem}{_OURS}", dir=directory)
        # where the file system has no locks, `clear_temporaries` cannot remove it either
        with contextlib.suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        if os.fstat(descriptor).st_nlink:
            return descriptor, Path(name)
        os.close(descriptor)  # it was removed before it was locked


def clear_temporaries(directories: Iterable[Path]) -> list[Path]:
    """Remove files of `make_temporary` that no process has locked; return their paths. Blocks."""
    removed = []
    for directory in dict.fromkeys(directories):
        try:
            names = [name for name in os.listdir(directory) if _TEMPORARY.fullmatch(name)]
        except OSError:
            continue
        removed += [path for name in names if remove_unheld(path := directory / name)]
    return removed


def remove_unheld(path: Path) -> bool:
    """Remove a regular file of this user that is not locked; return whether it was removed."""
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
    """Replace `path` by a new file in one step; readers see the old or the new content.

    Without `ownership` the new file is private (0600). `durable` waits for the disk, so that this
    also holds after a power cut. The name of the temporary file begins with a dot; it is removed on
    errors. Raises `OSError` that names `path`.
    """
    with _naming_errors(path):
        _replace(path, content, ownership, durable=durable)


@contextlib.contextmanager
def _naming_errors(path: Path) -> Iterator[None]:
    """Let errors name `path` instead of the temporary file."""
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
                _set_ownership(descriptor, ownership)
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
    """Write a new private file (0600); return False if the path exists already.

    A dangling link counts as existing. Raises `OSError`, after removing the file.
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


def _set_ownership(descriptor: int, ownership: Ownership) -> None:
    status = os.fstat(descriptor)
    if (status.st_uid, status.st_gid) != (ownership.uid, ownership.gid):
        # Only root may change the owner; otherwise the process that replaces the file owns it.
        with contextlib.suppress(PermissionError):
            os.fchown(descriptor, ownership.uid, ownership.gid)
    os.fchmod(descriptor, ownership.mode)


def _sync_directory(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
