"""The reaper's process: it waits for the end of a program and destroys what that left behind."""

from __future__ import annotations

import contextlib
import json
import os
import select
import sys
from pathlib import Path

from domogik.daemons.throwaway.clearing import clear

_PATIENCE = 60.0  # seconds for the end of one server


def left_over(content: bytes) -> dict[Path, tuple[str, str]]:
    """What a list says is there still: directory -> kind and signal, without lines cut off."""
    found: dict[Path, tuple[str, str]] = {}
    for line in content.splitlines():
        with contextlib.suppress(ValueError):
            entry = json.loads(line)
            directory = Path(entry["directory"])
            if "kind" in entry:
                found[directory] = entry["kind"], entry["signal"]
            else:
                found.pop(directory, None)
    return found


def main() -> None:
    """`<list> <pid> <start ticks>`: wait for that process, then tidy up after it."""
    path, pid, ticks = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    _wait_for_end(pid, ticks)
    for directory, (kind, end_signal) in left_over(path.read_bytes()).items():
        if not directory.exists():  # the last of several that used it destroyed it
            continue
        with contextlib.suppress(Exception):
            clear(directory, end_signal)
            continue
        with contextlib.suppress(Exception):  # the others have to go, too
            _destroy(kind, directory)
    path.unlink()


def _wait_for_end(pid: int, ticks: int) -> None:
    try:
        descriptor = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    try:
        if _start_ticks(pid) == ticks:
            select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def _start_ticks(pid: int) -> int:
    try:
        data = Path(f"/proc/{pid}/stat").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return -1
    return int(data[data.rindex(b")") + 2 :].split()[19])


def _destroy(kind: str, directory: Path) -> None:
    from domogik.daemons.throwaway.blocking import Turns
    from domogik.daemons.throwaway.servers import end

    turns = Turns()
    turns.wait(end(turns.daemon(kind), directory), _PATIENCE)
