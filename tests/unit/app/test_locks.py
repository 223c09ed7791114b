"""Who lets a lock go has let it go, though a process it forked still has the file open."""

import contextlib
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from domogik.config import edit
from domogik.config.home import Home
from domogik.daemons.core.directory import WorkingDirectory
from domogik.packages.publish import repository


@contextlib.contextmanager
def _home(path: Path) -> Iterator[None]:
    lock = Home(path).lock()
    try:
        yield
    finally:
        lock.release()


def _shared_with_a_child(path: Path) -> int:
    """What fork(2) gives a child of the file that is open: the same lock."""
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            if Path("/proc/self/fd", name).readlink().is_relative_to(path):
                return os.dup(int(name))
    raise AssertionError(f"nothing of {path} is open")


@pytest.mark.parametrize(
    "locked",
    [
        _home,
        lambda path: edit._locked(path / "domogik.cfg"),
        repository._locked,
        lambda path: WorkingDirectory(path, "redis").lock(),
    ],
    ids=["home", "configuration", "repository", "daemon"],
)
def test_a_lock_that_was_given_back_is_free_though_a_child_has_it_open(
    tmp_path: Path, locked: Callable[[Path], AbstractContextManager[None]], monkeypatch
) -> None:
    monkeypatch.setattr(edit, "_ATTEMPTS", 1)
    with locked(tmp_path):
        shared = _shared_with_a_child(tmp_path)
    try:
        with locked(tmp_path):
            pass
    finally:
        os.close(shared)
