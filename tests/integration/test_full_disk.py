"""A disk that is full at any write: what was there stays, what removes works, room is all it needs.

Each change is tried with one page left, two, three, ..., until there is room enough for it, so that
every write of it is the first one that fails. The disks are small file systems in memory.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from namespaces import need_root
from storerooms import Repository, served

pytestmark = pytest.mark.integration
PROGRAM = Path(__file__).with_name("small_disk.py")
NOWHERE = "http://127.0.0.1:1"


def make(directory: Path, change: str, address: str = NOWHERE) -> Path:
    made = directory / "made"
    made.mkdir()
    subprocess.run([sys.executable, PROGRAM, change, "make", address], cwd=made, check=True)
    return made


def on_small_disks(made: Path, change: str, address: str = NOWHERE) -> list[list[str]]:
    """How each of them ended, and what was reached; the last one had room enough."""
    mounted = made.with_name("mounted")
    mounted.mkdir()
    outcomes = []
    for free in range(100):
        shell = (
            f"mount -t tmpfs -o size=2m tmpfs {mounted} && cd {mounted} && cp -a {made}/. . && "
            f"exec {sys.executable} {PROGRAM} {change} {free} {address}"
        )
        command = ["unshare", "--mount", "sh", "-c", shell]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, (free, done.stderr)
        outcomes.append(done.stdout.strip().split(" ", 1))
        if outcomes[-1][0] == "done":
            return outcomes
    pytest.fail("it never came to its end")


@pytest.mark.parametrize(("change", "writes"), [("build", 3), ("upload", 5)])
def test_of_a_repository_what_was_offered_stays_whole(
    tmp_path: Path, change: str, writes: int
) -> None:
    need_root("a small file system of its own")
    outcomes = on_small_disks(make(tmp_path, change), change)
    assert len(outcomes) > writes


def test_of_a_refresh_the_old_offers_stay(tmp_path: Path) -> None:
    need_root("a small file system of its own")
    repository = Repository(tmp_path / "repo")
    repository.publish_example("clock", "1.0")
    with served(repository.path) as url:
        made = make(tmp_path, "refresh", url)
        repository.publish_example("clock", "2.0")
        outcomes = on_small_disks(made, "refresh", url)
    assert len(outcomes) > 3


def test_of_an_installation_the_old_release_stays_at_the_journal_too(tmp_path: Path) -> None:
    need_root("a small file system of its own")
    outcomes = on_small_disks(make(tmp_path, "install"), "install")
    failed = [reached for outcome, reached in outcomes if outcome == "full"]
    # everything was unpacked, and then its journal did not find room
    assert "staged" in failed


@pytest.mark.parametrize("change", ["switch", "note"])
def test_what_cannot_be_written_down_does_not_happen(tmp_path: Path, change: str) -> None:
    need_root("a small file system of its own")
    outcomes = on_small_disks(make(tmp_path, change), change)
    assert len(outcomes) > 1


@pytest.mark.parametrize("change", ["uninstall", "undo"])
def test_what_makes_room_needs_none(tmp_path: Path, change: str) -> None:
    need_root("a small file system of its own")
    assert [outcome for outcome, _ in on_small_disks(make(tmp_path, change), change)] == ["done"]
