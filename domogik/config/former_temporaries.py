"""Removal of temporary files of earlier versions, which did not lock them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from domogik.config.files import remove_unheld

#: seconds; a file that is still written after that is open
_AGE_S = 24 * 3600.0
#: no name that a user would choose: the last part is not a word with a number, such as old1
_NAMES = re.compile(
    r"\.domogik\.cfg\.(?![a-z_]*[0-9]*$)[a-z0-9_]{8}"
    r"|\.(?:plugin|external)-[^/\n]+\.tgz\.[a-z0-9_]{8}"
    r"|domogik-upload-[a-z0-9_]{8}\.tgz",
)


def clear_former_temporaries(directories: Iterable[Path], now: float) -> list[Path]:
    """Remove those older than a day that no process has open; return the removed paths.

    `now` is Unix time in seconds. Blocks.
    """
    found = [
        path
        for directory in dict.fromkeys(directories)
        for path in _old_temporaries(directory, now)
    ]
    if not found:
        return []
    in_use = _open_files()
    return [path for path in found if os.path.realpath(path) not in in_use and remove_unheld(path)]


def _old_temporaries(directory: Path, now: float) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if (
                _NAMES.fullmatch(entry.name)
                and now - entry.stat(follow_symlinks=False).st_mtime > _AGE_S
            ):
                yield directory / entry.name


def _open_files() -> set[str]:
    """Return the paths of open files of all processes, as far as this user may see them."""
    paths = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            paths |= {file.path for file in process.open_files()}
    return paths
