"""A mark that every process of a start inherits and an emptied environment does not take away.

It is the soft limit RLIMIT_RTTIME, made from the run id: it survives fork, setsid and exec, anybody
may read it, and it limits nothing, being 150,000 years of real-time scheduling without a rest
(getrlimit(2)). docs/adr/0009-escaped-processes.md says what else was tried.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import resource
from collections.abc import Iterator

_OURS = 0x44 << 56  # microseconds: no limit that anybody else would ask for
_LINE = b"Max realtime timeout"


def label_of(run_id: str) -> str:
    """As `read_label` gives it for a process of that start."""
    return str(_limit(run_id))


def _limit(run_id: str) -> int:
    return _OURS | int.from_bytes(hashlib.blake2b(run_id.encode(), digest_size=7).digest(), "big")


def can_mark() -> bool:
    """Whether this process may give such a limit to its children."""
    with passed_on("a try") as is_marked:
        return is_marked


@contextlib.contextmanager
def passed_on(run_id: str) -> Iterator[bool]:
    """A child that is forked meanwhile carries the mark from its first moment on.

    An empty run id marks nobody; the answer is whether the mark could be set. The whole process has
    the limit meanwhile, so whatever another thread forks carries the mark, too.
    """
    before = resource.getrlimit(resource.RLIMIT_RTTIME)
    try:
        if run_id:
            resource.setrlimit(resource.RLIMIT_RTTIME, (_limit(run_id), before[1]))
    except (OSError, ValueError):  # a smaller hard limit was imposed on us
        yield False
        return
    try:
        yield bool(run_id)
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, before)


def mark(pid: int, run_id: str) -> None:
    """Our child `pid` carries the mark from now on, and so does whom it forks; if it may be set."""
    with contextlib.suppress(OSError, ValueError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_RTTIME)
        resource.prlimit(pid, resource.RLIMIT_RTTIME, (_limit(run_id), hard))


def read_label(pid: int, proc: str = "/proc") -> str:
    """The mark of a process, a zombie too; empty for one that carries none."""
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
