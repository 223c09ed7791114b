"""What /proc and the kernel clocks say about processes; no third-party code.

Everything a measure decides by is read here, never asked of the manager
that is measured.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import time

#: how long a fresh pid is looked at again, in case it has yet to exec
PENDING_SECONDS = 8.0

_counter = itertools.count(1)


def fresh_marker() -> str:
    """A number no other command line on this machine holds.

    It is a legal last argument of sleep(1), which adds its arguments up.
    """
    return f"0.00{os.getpid():07d}{next(_counter):05d}"


def sleeper(marker: str) -> list[str]:
    """The cheapest child: one exec, no interpreter."""
    return [which("sleep"), "1000", marker]


def python_sleeper(python: str, marker: str) -> list[str]:
    """A child that pays for an interpreter."""
    return [python, "-c", "import time; time.sleep(1000)", marker]


def which(name: str) -> str:
    """The full path of a system tool, so that no peer needs a PATH."""
    path = shutil.which(name)
    if path is None:
        raise FileNotFoundError(name)
    return path


def pids() -> set[int]:
    """Every process id there is now."""
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def _read(pid: int, name: str) -> bytes:
    try:
        with open(f"/proc/{pid}/{name}", "rb") as stream:
            return stream.read()
    except OSError:
        return b""


def arguments(pid: int) -> list[bytes]:
    """The command line of a process, empty once it is gone or a zombie."""
    return _read(pid, "cmdline").split(b"\0")[:-1]


def asleep(pid: int) -> bool:
    """Whether the child got as far as its sleep() call."""
    return _read(pid, "wchan").startswith((b"hrtimer_nanosleep", b"do_nanosleep"))


def parent(pid: int) -> int:
    """The parent's pid; 0 once the process is gone."""
    fields = _read(pid, "stat").rpartition(b")")[2].split()
    return int(fields[1]) if len(fields) > 1 else 0


def descendants(root: int) -> set[int]:
    """Every process below root."""
    children: dict[int, list[int]] = {}
    for pid in pids():
        children.setdefault(parent(pid), []).append(pid)
    found: set[int] = set()
    todo = [root]
    while todo:
        for pid in children.get(todo.pop(), ()):
            if pid not in found:
                found.add(pid)
                todo.append(pid)
    return found


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, to the nanosecond, ended threads included."""
    try:
        return time.clock_gettime((~pid << 3) | 2)
    except OSError:
        return 0.0


def rss_kb(pid: int) -> int:
    """Resident memory."""
    return _field(pid, "status", b"VmRSS:")


def pss_kb(pid: int) -> int:
    """Resident memory, shared pages split among those that share them."""
    return _field(pid, "smaps_rollup", b"Pss:")


def switches(pid: int) -> int:
    """How often the process gave up the processor of its own accord."""
    return _field(pid, "status", b"voluntary_ctxt_switches:")


def written(pid: int) -> int:
    """Bytes the process handed to write(2) and its kin."""
    return _field(pid, "io", b"wchar:")


def _field(pid: int, name: str, key: bytes) -> int:
    for line in _read(pid, name).splitlines():
        if line.startswith(key):
            return int(line.split()[1])
    return 0


def kill(pid: int, signum: int = signal.SIGKILL) -> None:
    """Signal one process; it may be gone already."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signum)


class Finder:
    """Finds the processes that have a marker among their arguments.

    Only pids that appeared after the Finder was made are read, and each only
    until it is known, so one look costs well under a millisecond.
    """

    def __init__(self, marker: str) -> None:
        self._marker = marker.encode()
        self._ignored = pids()
        self._pending: dict[int, float] = {}
        self._found: set[int] = set()
        self.first_at = 0.0

    def look(self) -> set[int]:
        """The pids in /proc now that had the marker when they were read."""
        now = time.monotonic()
        present = pids()
        for pid in present - self._ignored - self._found - self._pending.keys():
            self._pending[pid] = now
        self._ignored &= present
        for pid, since in list(self._pending.items()):
            if pid not in present:
                del self._pending[pid]
            elif self._marker in arguments(pid):
                del self._pending[pid]
                self._found.add(pid)
                self.first_at = self.first_at or now
            elif now - since > PENDING_SECONDS:
                del self._pending[pid]
                self._ignored.add(pid)
        self._found &= present
        return set(self._found)

    def running(self) -> set[int]:
        """As look(), but each is read again: one that has since run something
        else, or is a zombie, is left out."""
        return {pid for pid in self.look() if self._marker in arguments(pid)}

    def wait_for(self, count: int, timeout: float, interval: float = 0.002) -> float:
        """Wait until count processes have the marker; the moment they had."""
        end = time.monotonic() + timeout
        while True:
            found = self.look()
            now = time.monotonic()
            if len(found) >= count:
                return now
            if now > end:
                raise TimeoutError(f"{len(found)} of {count} children after {timeout} s")
            time.sleep(interval)

    def wait_asleep(self, count: int, timeout: float, interval: float = 0.004) -> float:
        """Wait until count marked processes have reached their sleep."""
        end = time.monotonic() + timeout
        settled: set[int] = set()
        while True:
            settled |= {pid for pid in self.look() - settled if asleep(pid)}
            now = time.monotonic()
            if len(settled) >= count:
                return now
            if now > end:
                raise TimeoutError(f"{len(settled)} of {count} asleep after {timeout} s")
            time.sleep(interval)

    def wait_gone(self, timeout: float, interval: float = 0.001) -> float | None:
        """Wait until no marked process runs; None if some still do."""
        end = time.monotonic() + timeout
        while True:
            left = self.running()
            now = time.monotonic()
            if not left:
                return now
            if now > end:
                return None
            time.sleep(interval)
