"""What the version before this one left of files that it wrote goes, and nothing else."""

import os
from pathlib import Path

import pytest

from domogik.config.former_temporaries import clear_former_temporaries

NOW = 1_800_000_000.0
DAY = 24 * 3600


def left(directory: Path, name: str, age: float = DAY + 1) -> Path:
    path = directory / name
    path.write_text("half")
    os.utime(path, (NOW - age, NOW - age))
    return path


@pytest.mark.parametrize(
    "name",
    [
        ".domogik.cfg.a1b2c3_d",
        ".plugin-lamp-1.0.tgz.abcdefgh",
        ".external-relay-2.0.1.tgz.12345678",
        "domogik-upload-k3_x9abc.tgz",
    ],
)
def test_what_is_older_than_a_day_goes(tmp_path: Path, name: str) -> None:
    path = left(tmp_path, name)
    assert clear_former_temporaries([tmp_path, tmp_path, tmp_path / "nosuch"], NOW) == [path]
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "name",
    [
        ".domogik.cfg",
        ".domogik.cfg.swp",
        ".domogik.cfg.original",
        ".domogik.cfg.old_copy",
        ".domogik.cfg.20260101",
        ".domogik.cfg.backup01",
        ".domogik.cfg.A1b2c3d4",
        "domogik.cfg.a1b2c3d4",
        ".other.cfg.a1b2c3d4",
        "plugin-lamp-1.0.tgz",
        ".plugin-lamp-1.0.tgz.a1b2",
        ".plugin-lamp-1.0.zip.a1b2c3d4",
        "domogik-upload-a1b2c3d4",
    ],
)
def test_what_has_another_name_stays(tmp_path: Path, name: str) -> None:
    left(tmp_path, name)
    assert clear_former_temporaries([tmp_path], NOW) == []
    assert os.listdir(tmp_path) == [name]


@pytest.mark.parametrize("age", [DAY, 0, -DAY])
def test_what_an_editor_may_be_writing_stays(tmp_path: Path, age: float) -> None:
    path = left(tmp_path, ".domogik.cfg.a1b2c3d4", age)
    assert clear_former_temporaries([tmp_path], NOW) == []
    assert path.exists()


def test_what_a_process_has_open_stays_until_it_lets_go(tmp_path: Path) -> None:
    path = left(tmp_path, ".domogik.cfg.a1b2c3d4")
    (tmp_path / "way").symlink_to(tmp_path)
    with path.open():
        assert clear_former_temporaries([tmp_path / "way"], NOW) == []
    assert clear_former_temporaries([tmp_path], NOW) == [path]


def test_what_is_no_regular_file_stays(tmp_path: Path) -> None:
    other = left(tmp_path, "somebodys")
    (tmp_path / ".domogik.cfg.a1b2c3d4").symlink_to(other)
    (tmp_path / ".domogik.cfg.a1b2c3d5").mkdir()
    os.mkfifo(tmp_path / ".domogik.cfg.a1b2c3d6")
    assert clear_former_temporaries([tmp_path], NOW + 2 * 10**9) == []
