"""The local repository takes in what can be offered, and keeps nothing else."""

from __future__ import annotations

from pathlib import Path

import pytest

from domogik.errors import OperationFailed
from domogik.packages.build import create
from domogik.packages.reference import PackageRef
from domogik.packages.repository import Built, RepositoryBusy
from domogik.packages.tarball import BrokenArchive
from domogik.packages.uploads import OtherPackage, take_in

DISKFREE = Path(__file__).parents[3] / "examples" / "diskfree"


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    (tmp_path / "made").mkdir()
    return create(DISKFREE, tmp_path / "made")


@pytest.fixture
def uploads(tmp_path: Path) -> Path:
    (tmp_path / "uploads").mkdir(mode=0o700)
    return tmp_path / "uploads"


def archives(uploads: Path) -> list[str]:
    return sorted(path.name for path in uploads.rglob("*.tgz"))


def test_an_archive_is_offered_under_its_own_name(archive: Path, uploads: Path) -> None:
    ref = take_in(archive, uploads, "2026-01-01")
    assert f"{ref.file_stem}.tgz" in archives(uploads)
    assert (uploads / f"{ref.file_stem}.tgz").read_bytes() == archive.read_bytes()
    assert not list(uploads.glob(".upload-*"))


def test_what_is_no_package_is_not_kept(tmp_path: Path, uploads: Path) -> None:
    junk = tmp_path / "plugin-junk-1.0.tgz"
    junk.write_bytes(b"junk")
    with pytest.raises(BrokenArchive):
        take_in(junk, uploads, "2026-01-01")
    assert list(uploads.iterdir()) == []


def test_another_package_than_it_is_called_is_not_kept(archive: Path, uploads: Path) -> None:
    with pytest.raises(OtherPackage, match="The package in it is plugin-diskfree"):
        take_in(archive, uploads, "2026-01-01", PackageRef("plugin", "lamp", "1.0"))
    assert list(uploads.iterdir()) == []


@pytest.mark.parametrize("was_there", [False, True])
def test_what_the_repository_does_not_take_is_as_before(
    archive: Path, uploads: Path, monkeypatch: pytest.MonkeyPatch, was_there: bool
) -> None:
    kept = uploads / archive.name
    if was_there:
        kept.write_bytes(b"the one before")

    def busy(*args: object, **options: object) -> Built:
        raise RepositoryBusy("somebody else builds it")

    def refuses(*args: object, **options: object) -> Built:
        return Built((), ("it is not for us",), False, 1)

    for build, error in ((busy, RepositoryBusy), (refuses, OperationFailed)):
        monkeypatch.setattr("domogik.packages.uploads.build_repository", build)
        with pytest.raises(error):
            take_in(archive, uploads, "2026-01-01")
        assert archives(uploads) == ([archive.name] if was_there else [])
        if was_there:
            assert kept.read_bytes() == b"the one before"
