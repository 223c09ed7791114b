"""Atomic and durable changes of a file system.

All functions wait for the disk, so they block, and raise `OSError`.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
_CANNOT_LINK = (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.ENOTSUP)
#: temporary links begin so, and no descriptor ends as they do
LINK_PREFIX = ".switching-"


def sync_file_system(directory: Path) -> None:
    """Wait until everything written to the file system of `directory` is on the disk.

    It is one wait for any number of files (syncfs(2)), and reports write errors since Linux 5.8.
    """
    with _opened(directory) as descriptor:
        _check(_libc.syncfs(descriptor), directory)


def sync_directory(directory: Path) -> None:
    """Wait until the names in `directory` are on the disk."""
    with _opened(directory) as descriptor:
        os.fsync(descriptor)


def swap(one: Path, other: Path) -> None:
    """Exchange two existing names in one step (renameat2(2)).

    Linux's own file systems support it; NFS and many FUSE ones return `EINVAL`.
    """
    names = os.fsencode(one), os.fsencode(other)
    _check(_libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE), one)


def point(link: Path, target: str, step: Callable[[str], None]) -> None:
    """Make `link` a symbolic link to `target`, replacing it in one step, and sync it.

    `step` is called before and after the rename.
    """
    temporary = link.with_name(f"{LINK_PREFIX}{link.stem}")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(target)
    try:
        step("link made")
        temporary.replace(link)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    step("link switched")
    sync_directory(link.parent)


def link_or_copy(file: Path, name: Path) -> None:
    """Give `file` the further name `name`, or copy it if the file system has no hard links."""
    try:
        os.link(file, name, follow_symlinks=True)
    except OSError as error:
        if error.errno not in _CANNOT_LINK:
            raise
        shutil.copyfile(file, name)
        shutil.copystat(file, name)


def remove_link(link: Path) -> None:
    """Remove one name, if it exists, and sync that."""
    link.unlink(missing_ok=True)
    sync_directory(link.parent)


def remove_tree(path: Path) -> None:
    """Remove a path with all below it, also what is write-protected; a link is not followed.

    A missing path is no error.
    """
    if path.is_symlink():
        path.unlink(missing_ok=True)
    elif path.exists():
        try:
            shutil.rmtree(path)
        except PermissionError:
            _open_up(path)
            shutil.rmtree(path)


def set_aside(path: Path, directory: Path, prefix: str) -> Path:
    """Move `path` to a new name in `directory` of the same file system, in one step.

    It needs no space on a full disk.
    """
    place = directory / f"{prefix}{secrets.token_hex(8)}"
    path.rename(place)
    sync_directory(directory)
    return place


def _open_up(top: Path) -> None:
    top.chmod(stat.S_IRWXU)
    for base, names, _ in os.walk(top):
        for directory in (Path(base, name) for name in names):
            if not directory.is_symlink():
                directory.chmod(stat.S_IRWXU)


@contextlib.contextmanager
def _opened(directory: Path) -> Iterator[int]:
    descriptor = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _check(result: int, path: Path) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), str(path))
