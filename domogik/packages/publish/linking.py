"""Hard links in a repository: archives, and the second name `<sha256>.<name>` of a signed file.

Clients of TUF request targets by that second name, because of `consistent_snapshot`.
"""

from __future__ import annotations

import re
import tempfile
from collections.abc import Mapping
from pathlib import Path

from domogik.packages.archive.durable import link_or_copy
from domogik.packages.signing.targets import Target

_HASHED = re.compile(r"[0-9a-f]{64}\.(.+)")


def add_hashed_names(target: Path, files: Mapping[str, Target], building: str) -> None:
    """Give every signed file below `target` its second name, in one step each.

    `building` is the prefix of a temporary directory in `target`.
    """
    with tempfile.TemporaryDirectory(prefix=building, dir=target) as directory:
        for path, signed in files.items():
            plain = target / path
            hashed = plain.with_name(f"{signed.sha256}.{plain.name}")
            if not (hashed.exists() and hashed.samefile(plain)):
                made = Path(directory) / "file"
                link_or_copy(plain, made)
                made.replace(hashed)


def remove_old_names(target: Path, files: Mapping[str, Target]) -> None:
    """Keep the current second name of each file, and the newest before it.

    A client that is reading the previous state still finds it.
    """
    found: dict[Path, list[Path]] = {}
    for directory in {(target / path).parent for path in files}:
        for hashed in directory.iterdir():
            if match := _HASHED.fullmatch(hashed.name):
                found.setdefault(directory / match[1], []).append(hashed)
    for path, signed in files.items():
        current = f"{signed.sha256}.{Path(path).name}"
        others = [one for one in found.get(target / path, ()) if one.name != current]
        others.sort(key=lambda one: one.stat().st_mtime, reverse=True)
        for old in others[1:]:
            old.unlink()


def remove_with_hashed_names(path: Path) -> None:
    """Remove a file with all its names."""
    for one in path.parent.iterdir():
        match = _HASHED.fullmatch(one.name)
        if match and match[1] == path.name:
            one.unlink()
    path.unlink(missing_ok=True)
