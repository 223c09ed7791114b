"""Data of servers for tests are made once a machine and copied, whoever is killed meanwhile."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from domogik.daemons.testing import running

pytestmark = pytest.mark.integration
KINDS = pytest.mark.parametrize("kind", ["postgres", "mysql"])


@pytest.fixture(autouse=True)
def templates(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "cache").mkdir()
    return tmp_path / "cache" / "domogik" / "templates"


def made(templates: Path) -> list[str]:
    return sorted(path.name for path in templates.iterdir())


def marked(daemon: object) -> Path:
    """A file in its data that only a copy of these data has too."""
    return Path(daemon.directory, "data", "marked")  # type: ignore[attr-defined]


@KINDS
def test_the_second_is_a_copy_with_a_password_of_its_own(templates: Path, kind: str) -> None:
    with running(kind) as first:
        (one,) = made(templates)
        data = templates / one / "data"
        (data / "marked").touch()
        with running(kind) as second, running(kind, password="secret") as third:
            assert not marked(first).exists()
            assert marked(second).exists()
            assert marked(third).exists()
            urls = {first.url, second.url, third.url}
            assert len(urls) == 3
            assert ":secret@" in third.url
    assert made(templates) == [one]
    assert stat.S_IMODE(templates.lstat().st_mode) == 0o700


@KINDS
def test_what_keeps_its_data_is_no_copy(templates: Path, kind: str) -> None:
    with running(kind, fsync=True):
        assert not templates.exists()


@KINDS
def test_half_a_template_is_never_used_and_is_cleared_in_time(templates: Path, kind: str) -> None:
    left, new = templates / ".new-left", templates / ".new-going-on"
    for path in (left, new):
        (path / "data").mkdir(parents=True)
    templates.chmod(0o700)
    os.utime(left, (time.time() - 7200,) * 2)
    with running(kind):
        (one,) = set(made(templates)) - {new.name}
        assert one.startswith(kind)
    # and a whole one that lost its data is made anew
    for path in sorted((templates / one / "data").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() and not path.is_symlink() else path.unlink()
    (templates / one / "data").rmdir()
    with running(kind):
        assert any((templates / one / "data").iterdir())


@KINDS
def test_where_others_may_write_there_is_no_template(templates: Path, kind: str) -> None:
    templates.mkdir(parents=True)
    templates.chmod(0o777)
    with running(kind):
        assert made(templates) == []


@KINDS
def test_several_programs_that_make_it_at_once_leave_one(templates: Path, kind: str) -> None:
    program = f"from domogik.daemons.testing import running\nwith running({kind!r}) as one: one.url"
    begun = [
        subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(3)
    ]
    assert [process.communicate()[1] or process.returncode for process in begun] == [0, 0, 0]
    (one,) = made(templates)
    assert one.startswith(kind)
