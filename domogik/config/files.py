"""Files: reading what others wrote within bounds, writing so that nobody sees half."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import tempfile
from pathlib import Path

import attrs


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


def write_atomically(
    path: Path, content: bytes, ownership: Ownership | None = None, *, durable: bool = True
) -> None:
    """Replace `path` by a new file in one step; whoever reads sees the old or the new one.

    Without `ownership` the new file is private (0600) to who writes it. `durable` waits for the
    disk, so that a power cut leaves the old or the new one too. The name of the temporary file
    begins with a dot. Raises `OSError`, and leaves nothing behind then.
    """
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    temporary = Path(name)
    try:
        with open(descriptor, "wb") as file:
            if ownership is not None:
                _give(descriptor, ownership)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        temporary.replace(path)
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
