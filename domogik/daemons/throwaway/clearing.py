"""What a killed program left of a throw-away server is ended at once: standard library only.

The imports of all that could end it in the usual way would take longer than its end.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
from collections.abc import Collection, Iterator
from pathlib import Path

from domogik.supervisor.processes.mark import label_of, read_label

_PATIENCE = 5.0  # seconds for a server that hears another signal than KILL
_ROUND = 0.5
_ROUNDS = 20
#: of /proc/PID/stat after the name, see proc(5)
_STATE, _PARENT, _SESSION, _THREADS, _START = 0, 1, 3, 17, 19


def clear(directory: Path, end_signal: str) -> None:
    """End all processes of the instance in `directory`, then remove it.

    Its first process gets `end_signal`, the others KILL. Returns when no process is left. Raises
    `OSError`, and `TimeoutError` for processes that cannot be ended.
    """
    marks, leader = _known(directory)
    if leader is not None and end_signal != "KILL":
        _end([leader], signal.Signals[f"SIG{end_signal}"], _PATIENCE)
    for _ in range(_ROUNDS):
        found = list(_members(marks, leader))
        if not found:
            shutil.rmtree(directory)
            return
        _end(found, signal.SIGKILL, _ROUND)
    raise TimeoutError(f"somebody in {directory} cannot be killed")


def _known(directory: Path) -> tuple[frozenset[str], tuple[int, int] | None]:
    """The marks of its processes, and the number and start of the first of them."""
    marks, leader = set(), None
    for path in (directory / ".managed", *(directory / "run").glob("daemon-*.json")):
        with contextlib.suppress(OSError):
            for line in path.read_bytes().splitlines():
                with contextlib.suppress(ValueError, KeyError, TypeError):  # cut off
                    content = json.loads(line)
                    marks.add(content["run_id" if "run_id" in content else "id"])
                    leader = content["process"]["pid"], content["process"]["start_ticks"]
    return frozenset(marks), leader


def _stat(pid: int) -> list[bytes] | None:
    try:
        data = Path(f"/proc/{pid}/stat").read_bytes()
    except OSError:
        return None
    return data[data.rindex(b")") + 2 :].split()


def _lives(stat: list[bytes]) -> bool:
    """A zombie with living threads has only lost its first thread."""
    return stat[_STATE] not in (b"Z", b"X", b"x") or int(stat[_THREADS]) > 1


def _members(marks: Collection[str], leader: tuple[int, int] | None) -> Iterator[tuple[int, int]]:
    """Those that carry one of the marks, the session of the first, and their descendants."""
    stats = {int(name): _stat(int(name)) for name in os.listdir("/proc") if name.isdigit()}
    living = {pid: stat for pid, stat in stats.items() if stat is not None and _lives(stat)}
    session = 0
    if leader is not None and (leader[0] not in living or leader in map(_identity, living.items())):
        session = leader[0]
    labels = {label_of(mark) for mark in marks}
    found = {
        pid
        for pid, stat in living.items()
        if int(stat[_SESSION]) == session != 0 or _carries(pid, marks, labels)
    }
    size = 0
    while size < len(found):
        size = len(found)
        found |= {pid for pid, stat in living.items() if int(stat[_PARENT]) in found}
    return map(_identity, ((pid, living[pid]) for pid in found - {1, os.getpid()}))


def _identity(entry: tuple[int, list[bytes]]) -> tuple[int, int]:
    pid, stat = entry
    return pid, int(stat[_START])


def _carries(pid: int, marks: Collection[str], labels: Collection[str]) -> bool:
    if read_label(pid) in labels:
        return True
    with contextlib.suppress(OSError):
        variables = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
        return any(f"DOMOGIK_RUN_ID={mark}".encode() in variables for mark in marks)
    return False


def _end(processes: Collection[tuple[int, int]], number: int, patience: float) -> None:
    """Send that signal to all of them, then wait until each has ended, but not for longer."""
    with contextlib.ExitStack() as stack:
        handles = []
        for pid, start in processes:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                handle = os.pidfd_open(pid)
                stack.callback(os.close, handle)
                stat = _stat(pid)
                if stat is not None and int(stat[_START]) == start:
                    signal.pidfd_send_signal(handle, number)
                    handles.append(handle)
        for handle in handles:
            if not select.select([handle], [], [], patience)[0]:
                return
