"""The local repository takes in what can be offered, and keeps nothing else."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import tarfile
from pathlib import Path

import pytest

from domogik.errors import OperationFailed
from domogik.packages.archive.tarball import BrokenArchive
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.publish import repository
from domogik.packages.publish.build import create
from domogik.packages.publish.repository import Built, RepositoryBusy, build_repository
from domogik.packages.publish.uploads import OtherPackage, accept_upload

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
    ref = accept_upload(archive, uploads, "2026-01-01")
    assert f"{ref.file_stem}.tgz" in archives(uploads)
    assert (uploads / f"{ref.file_stem}.tgz").read_bytes() == archive.read_bytes()
    assert not list(uploads.glob(".upload-*"))


def test_what_is_no_package_is_not_kept(tmp_path: Path, uploads: Path) -> None:
    junk = tmp_path / "plugin-junk-1.0.tgz"
    junk.write_bytes(b"junk")
    with pytest.raises(BrokenArchive):
        accept_upload(junk, uploads, "2026-01-01")
    assert list(uploads.iterdir()) == []


def test_another_package_than_it_is_called_is_not_kept(archive: Path, uploads: Path) -> None:
    with pytest.raises(OtherPackage, match="The package in it is plugin-diskfree"):
        accept_upload(archive, uploads, "2026-01-01", PackageRef("plugin", "lamp", "1.0"))
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
        monkeypatch.setattr("domogik.packages.publish.uploads.build_repository", build)
        with pytest.raises(error):
            accept_upload(archive, uploads, "2026-01-01")
        assert archives(uploads) == ([archive.name] if was_there else [])
        if was_there:
            assert kept.read_bytes() == b"the one before"


def offered(uploads: Path) -> list[bytes]:
    """The archives that are offered, each with the digest that is told of it."""
    with tarfile.open(uploads / "data") as data:
        items = json.load(data.extractfile("repo.info"))["packages"]
    found = []
    for item in items:
        archive = uploads / "download" / item["type"] / item["id"] / item["version"]
        found.append(archive.read_bytes())
        assert hashlib.sha256(found[-1]).hexdigest() == item["sha256"]
    return found


@pytest.mark.parametrize("name", ["data", "repository.json"])
def test_where_a_list_cannot_be_written_the_archive_before_is_offered_as_before(
    archive: Path, uploads: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    accept_upload(archive, uploads, "2026-01-01")
    before = offered(uploads)
    (tmp_path / "other").mkdir()
    other = create(DISKFREE, tmp_path / "other", generated="2026-01-02")
    write = repository.write_atomically
    failed = []

    def full(path: Path, *arguments: object, **options: object) -> None:
        if path.name == name and not failed:
            failed.append(path)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
        write(path, *arguments, **options)

    monkeypatch.setattr(repository, "write_atomically", full)
    with pytest.raises(OSError, match="No space left"):
        accept_upload(other, uploads, "2026-01-02")
    assert failed
    assert offered(uploads) == before
    build_repository(uploads, uploads, generated="2026-01-03")
    assert offered(uploads) == before
    accept_upload(other, uploads, "2026-01-04")
    assert offered(uploads) == [other.read_bytes()]
