"""Second names of signed files, on file systems of all kinds."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from domogik.packages.publish.linking import add_hashed_names, remove_old_names
from domogik.packages.signing.targets import Target


def sign(target: Path, content: bytes) -> Path:
    """The second name of `data`, which holds `content` from now on."""
    new = target / "new"
    new.write_bytes(content)
    new.replace(target / "data")
    files = {"data": Target.of(content)}
    add_hashed_names(target, files, ".building-")
    remove_old_names(target, files)
    return target / f"{files['data'].sha256}.data"


def test_a_file_system_without_hard_links_gets_copies(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def link(*arguments: object, **options: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)
    hashed = sign(tmp_path, b"first")
    assert hashed.read_bytes() == b"first"
    assert not hashed.samefile(tmp_path / "data")
    assert sign(tmp_path, b"second").read_bytes() == b"second"
    assert hashed.exists()


def test_a_full_disk_is_no_reason_to_copy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(*arguments: object, **options: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="No space left"):
        sign(tmp_path, b"first")


def test_files_of_a_person_are_left_alone(tmp_path: Path) -> None:
    own = tmp_path / "notes.data"
    own.write_text("mine")
    names = [sign(tmp_path, content) for content in (b"1", b"2", b"3")]
    assert own.exists()
    assert names[2].exists()
    assert sum(name.exists() for name in names) == 2
