"""A mark that every process of a start inherits and that survives an emptied environment.

It is the soft limit RLIMIT_RTTIME, derived from the run id: it survives fork, setsid and exec, can
be read by all, and limits nothing, being 150,000 years of real-time scheduling (getrlimit(2)).
docs/adr/0009-escaped-processes.md lists the alternatives.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
from collections.abc import Iterator

_OURS = 0x44 << 56  # microseconds: no limit that another program would set
_LINE = b"Max realtime timeout"


def label_of(run_id: str) -> str:
    """Return the label that `read_label` returns for a process of that start."""
    return str(_limit(run_id))


def _limit(run_id: str) -> int:
    return _OURS | int.from_bytes(hashlib.blake2b(run_id.encode(), digest_size=7).digest(), "big")


def can_mark() -> bool:
    """Return whether this process may set such a limit for its children."""
    with inherited_mark("a try") as is_marked:
        return is_marked


@contextlib.contextmanager
def inherited_mark(run_id: str) -> Iterator[bool]:
    """Mark children that are forked in the context; yield whether the mark could be set.

    An empty run id marks none. The whole process has the limit meanwhile, so children forked by
    other threads are marked, too.
    """
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    try:
        if run_id:
            resource.setrlimit(resource.RLIMIT_RTTIME, (_limit(run_id), before[1]))
    except (OSError, ValueError):  # this process has a smaller hard limit
        yield False
        return
    try:
        yield bool(run_id)
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, before)


def mark(pid: int, run_id: str) -> None:
    """Mark our child `pid` and the processes that it forks from now on, if possible."""
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_RTTIME)
        resource.prlimit(pid, resource.RLIMIT_RTTIME, (_limit(run_id), hard))


def read_label(pid: int, proc: str = "/proc") -> str:
    """Return the mark of a process, also of a zombie; empty if it has none."""
    try:
        descriptor = os.open(f"{proc}/{pid}/limits", os.O_RDONLY | os.O_CLOEXEC)
        try:
            text = os.read(descriptor, 4096)
        finally:
            os.close(descriptor)
    except OSError:
        return ""
    _, found, rest = text.partition(_LINE)
    soft = rest.split(None, 1)[0] if found and rest.strip() else b""
    return soft.decode() if soft.isdigit() and int(soft) >> 56 == _OURS >> 56 else ""
