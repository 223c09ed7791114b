"""Changes of a file system that are one step for everybody who looks, and that last.

All of it waits for the disk: call it in a thread. Everything raises `OSError`.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import secrets
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path

_libc = ctypes.CDLL(None, use_errno=True)
_AT_FDCWD = -100
_RENAME_EXCHANGE = 2
#: temporary links begin so, and no descriptor ends as they do
LINK_PREFIX = ".switching-"


def sync_file_system(directory: Path) -> None:
    """Wait until everything written to the file system of `directory` is on the disk.

    One wait for any number of files (syncfs(2)); since Linux 5.8 it also tells what could not be
    written.
    """
    with _opened(directory) as descriptor:
        _check(_libc.syncfs(descriptor), directory)


def sync_directory(directory: Path) -> None:
    """Wait until the names in `directory` are on the disk."""
    with _opened(directory) as descriptor:
        os.fsync(descriptor)


def swap(one: Path, other: Path) -> None:
    """Exchange two names in one step (renameat2(2)); both exist.

    Linux's own file systems can; NFS and many FUSE ones answer `EINVAL`.
    """
    names = os.fsencode(one), os.fsencode(other)
    _check(_libc.renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE), one)


def point(link: Path, target: str, step: Callable[[str], None]) -> None:
    """Make `link` a symbolic link to `target`, in place of what had the name before, and last.

    `step` is told before and after the one rename that counts.
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


def remove_link(link: Path) -> None:
    """Remove one name, if it is there, and make that last."""
    link.unlink(missing_ok=True)
    sync_directory(link.parent)


def remove_tree(path: Path) -> None:
    """Remove a directory and all below it, also what is write-protected; a link goes as a link.

    A path where nothing is is no error.
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
    """Move `path` under a new name in `directory` of the same file system, in one step.

    Needs no room on a full disk.
    """
    place = directory / f"{prefix}{secrets.token_hex(8)}"
    path.rename(place)
    sync_directory(directory)
    return place


def _open_up(top: Path) -> None:
    """Let us list and change every directory below; os.walk descends after it told the names."""
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
