"""Adds uploaded archives to the local repository."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from domogik.errors import DomogikError, OperationFailed
from domogik.packages.archive.durable import link_or_copy
from domogik.packages.archive.unpacking import inspect
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.publish.repository import build_repository


class OtherPackage(OperationFailed):
    """An archive contains another package than its name says."""

    def __init__(self, found: PackageRef) -> None:
        super().__init__(f"The package in it is {found}")


def accept_upload(
    path: Path, uploads: Path, generated: str, named: PackageRef | None = None
) -> PackageRef:
    """Add a copy of the archive to the repository `uploads`; blocks.

    `generated` is the date of the repository, `named` the package that it has to be. If it cannot
    be offered, it is removed, and a former archive of its name is restored. Raises `BrokenArchive`,
    `RepositoryBusy`, `OperationFailed` and `OSError`.
    """
    found = inspect(path)
    found.check_script()
    ref = found.ref
    if named is not None and ref != named:
        raise OtherPackage(ref)
    try:
        with _copied(path, uploads / f"{ref.file_stem}.tgz"):
            built = build_repository(uploads, uploads, generated=generated)
            if ref not in built.packages:
                raise OperationFailed(f"{ref} cannot be offered: {'; '.join(built.problems)}")
    except (OSError, DomogikError):
        # some of its files may be published already; what cannot be undone now is by the next one
        with suppress(OSError, DomogikError):
            build_repository(uploads, uploads, generated=generated)
        raise
    return ref


@contextmanager
def _copied(source: Path, target: Path) -> Iterator[None]:
    """Copy `source` to `target`; restore the former file if the block fails."""
    with tempfile.TemporaryDirectory(prefix=".upload-", dir=target.parent) as directory:
        new, old = Path(directory) / "new", Path(directory) / "old"
        new.touch(mode=0o600)
        with new.open("wb") as copy, source.open("rb") as content:
            shutil.copyfileobj(content, copy)
            copy.flush()
            os.fsync(copy.fileno())
        with suppress(FileNotFoundError):
            link_or_copy(target, old)
        new.replace(target)
        try:
            yield
        except BaseException:
            if old.exists():
                old.replace(target)
                # to the repository it is a new one: what it published may be of the other
                os.utime(target)
            else:
                target.unlink(missing_ok=True)
            raise
