"""The identity of a process: its pid, start time and boot id, since pids are reused.

The start time is field 22 of /proc/PID/stat, see proc(5).
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
    """The process has ended, or its pid belongs to another one."""


class InvalidIdentity(DomogikError):
    """The value is not what `ProcessIdentity.to_dict` returns."""


class Stat(NamedTuple):
    """The fields of /proc/PID/stat that are used (proc(5))."""

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
        """Whether it has ended, collected or not.

        A zombie with other threads has only lost its first thread, and still works.
        """
        return self.state in "ZXx" and self.threads <= 1


_KERNEL_THREAD = 0x00200000  # PF_KTHREAD


def read_stat(pid: int, proc: str = "/proc") -> Stat:
    """Return the current stat of `pid`; raises `NoSuchProcess`, and `OSError` if it cannot be read.

    The two are distinct, since a lack of descriptors must not lead to a second start.
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
    """Parse a line of /proc/PID/stat, whose name may contain spaces and parentheses."""
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
    """Return the id of this boot of the machine."""
    return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()


@attrs.frozen
class ProcessIdentity:
    """The unique identity of a process. `start_ticks` counts since the boot."""

    pid: int
    start_ticks: int
    boot_id: str

    @classmethod
    def of(cls, pid: int) -> ProcessIdentity:
        """Return the process that has this pid now, a zombie too; raises `NoSuchProcess`."""
        return cls.from_stat(read_stat(pid))

    @classmethod
    def from_stat(cls, stat: Stat) -> ProcessIdentity:
        """Return the process that `stat` was read from."""
        return cls(stat.pid, stat.start_ticks, current_boot())

    def is_running(self) -> bool:
        """Return whether it still runs; a zombie does not."""
        try:
            stat = read_stat(self.pid)
        except NoSuchProcess:
            return False
        return not stat.is_gone and ProcessIdentity.from_stat(stat) == self

    def command_line(self) -> str:
        """Return its arguments separated by blanks; may be empty. Raises `OSError` if it has
        ended."""
        content = Path(f"/proc/{self.pid}/cmdline").read_bytes()
        return content.replace(b"\0", b" ").decode(errors="replace").strip()

    def to_dict(self) -> dict[str, int | str]:
        """Return values that JSON can represent."""
        return attrs.asdict(self)

    @classmethod
    def from_dict(cls, data: object) -> ProcessIdentity:
        """Return what `to_dict` described; raises `InvalidIdentity` for anything else."""
        if not isinstance(data, Mapping):
            raise InvalidIdentity("a process is described by an object")
        pid, ticks, boot = data.get("pid"), data.get("start_ticks"), data.get("boot_id")
        if type(pid) is not int or type(ticks) is not int or type(boot) is not str or pid < 1:
            raise InvalidIdentity("a process needs pid, start_ticks and boot_id")
        return cls(pid, ticks, boot)
