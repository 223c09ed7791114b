"""Grants a daemon that runs as another user access to its directory and to nothing else."""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from twisted.logger import Logger

_log = Logger()


def grant_access(home: Path, daemons: Path) -> None:
    """Let other users pass through `home` and `daemons`, where only root may give that.

    What lies in the home was out of their sight because nobody could enter it: so whatever else
    they could read there is closed first. Blocks; raises `OSError`.
    """
    if os.geteuid() != 0:
        return
    for directory in (home, daemons):
        if not _mode(directory) & stat.S_IXOTH:
            _close_all_in(directory, but=daemons)
            _log.info("{directory} may be passed through now", directory=str(directory))
            directory.chmod(_mode(directory) | stat.S_IXOTH)


def _close_all_in(directory: Path, but: Path) -> None:
    for entry in directory.iterdir():
        with contextlib.suppress(FileNotFoundError):
            if entry != but and not entry.is_symlink() and _mode(entry) & stat.S_IRWXO:
                _log.info("{entry} was open to other users", entry=str(entry))
                entry.chmod(_mode(entry) & ~stat.S_IRWXO)


def _mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)
