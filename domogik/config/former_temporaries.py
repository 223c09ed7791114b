"""Temporary files of the version before this one, which took no lock on them."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil

from domogik.config.files import remove_unheld

#: seconds; whoever writes one for longer than that has it open
_AGE_S = 24 * 3600.0
#: beside the configuration none that people write: the last part is no word with a number behind it
_NAMES = re.compile(
    r"\.domogik\.cfg\.(?![a-z_]*[0-9]*$)[a-z0-9_]{8}"
    r"|\.(?:plugin|external)-[^/\n]+\.tgz\.[a-z0-9_]{8}"
    r"|domogik-upload-[a-z0-9_]{8}\.tgz",
)


def clear_former_temporaries(directories: Iterable[Path], now: float) -> list[Path]:
    """Remove those that are older than a day and that no process has open; what was removed.

    `now` is Unix time. Blocks.
    """
    found = [path for directory in dict.fromkeys(directories) for path in _old(directory, now)]
    if not found:
        return []
    in_use = _open_files()
    return [path for path in found if os.path.realpath(path) not in in_use and remove_unheld(path)]


def _old(directory: Path, now: float) -> Iterator[Path]:
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if (
                _NAMES.fullmatch(entry.name)
                and now - entry.stat(follow_symlinks=False).st_mtime > _AGE_S
            ):
                yield directory / entry.name


def _open_files() -> set[str]:
    """The files that processes have open, as far as this user may see that."""
    paths = set()
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error, OSError):
            paths |= {file.path for file in process.open_files()}
    return paths
