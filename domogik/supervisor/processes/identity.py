"""Which process is it? A number alone does not say: numbers are used again.

A process is its number, the kernel's start time (field 22 of /proc/PID/stat, see proc(5)) and the
boot it happened in. Never a name, never a piece of a command line.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import attrs

from domogik.errors import DomogikError


class NoSuchProcess(DomogikError):
    """It has ended, or its number belongs to another process by now."""


class InvalidIdentity(DomogikError):
    """What was read back is not what `ProcessIdentity.to_dict` gives."""


class Stat(NamedTuple):
    """What the kernel says of one process, as far as we ask (proc(5), /proc/PID/stat)."""

    pid: int
    state: str
    parent: int
    group: int
    session: int
    is_kernel_thread: bool
    threads: int
    start_ticks: int

    @property
    def is_gone(self) -> bool:
        """Ended, though perhaps not yet collected by its parent.

        A zombie with living threads has only lost its first thread, and still works.
        """
        return self.state in "ZXx" and self.threads <= 1


_KERNEL_THREAD = 0x00200000  # PF_KTHREAD


def read_stat(pid: int, proc: str = "/proc") -> Stat:
    """The kernel's word on `pid` now; raises `NoSuchProcess`, and `OSError` if it cannot be asked.

    (Out of descriptors is not the same as gone: who confuses the two starts a program twice.)
    """
    try:
        descriptor = os.open(f"{proc}/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
        try:
            data = os.read(descriptor, 1024)
        finally:
            os.close(descriptor)
    except (FileNotFoundError, ProcessLookupError) as error:
        raise NoSuchProcess(f"there is no process {pid}") from error
    return parse_stat(data)


def parse_stat(data: bytes) -> Stat:
    """Take a line of /proc/PID/stat apart; the name in it may hold spaces and parentheses."""
    number, _, rest = data.partition(b" ")
    fields = rest[rest.rindex(b")") + 2 :].split(b" ", 20)
    return Stat(
        pid=int(number),
        state=fields[0].decode("ascii"),
        parent=int(fields[1]),
        group=int(fields[2]),
        session=int(fields[3]),
        is_kernel_thread=bool(int(fields[6]) & _KERNEL_THREAD),
        threads=int(fields[17]),
        start_ticks=int(fields[19]),
    )


@functools.cache
def current_boot() -> str:
    """The id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@attrs.frozen
class ProcessIdentity:
    """One process, for ever: no other will compare equal. `start_ticks` counts since the boot."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """The process that has this number now, a zombie too; raises `NoSuchProcess`."""
        return cls.from_stat(read_stat(pid))

    @classmethod
    def from_stat(cls, stat: Stat) -> ProcessIdentity:
        """The process that `stat` was read from, just now."""
        return cls(stat.pid, stat.start_ticks, current_boot())

    def is_running(self) -> bool:
        """Whether it is still there; a zombie counts as gone."""
        try:
            stat = read_stat(self.pid)
        except NoSuchProcess:
            return False
        return not stat.is_gone and ProcessIdentity.from_stat(stat) == self

    def command_line(self) -> str:
        """Return its arguments with blanks between them, as it has written them over; may be empty.

        Raises `OSError` where it has ended.
        """
        content = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        return content.replace(b"\0", b" ").decode(errors="replace").strip()

    def to_dict(self) -> dict[str, int | str]:
        """As JSON can carry it."""
        return attrs.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> ProcessIdentity:
        """What `to_dict` gave; raises `InvalidIdentity` for anything else."""
        if not isinstance(data, Mapping):
            raise InvalidIdentity("a process is described by an object")
        pid, ticks, boot = data.get("pid"), data.get("start_ticks"), data.get("boot_id")
        if type(pid) is not int or type(ticks) is not int or type(boot) is not str or pid < 1:
            raise InvalidIdentity("a process needs pid, start_ticks and boot_id")
        return cls(pid, ticks, boot)
