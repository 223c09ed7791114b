"""A control group for each start, if the system offers one (cgroups(7)).

A process started in one stays in it. The groups are below the one of this process: of version 2 if
it is writable (systemd: `Delegate=yes`), else in the first writable hierarchy of version 1. No
controller is enabled in them.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import attrs
from twisted.logger import Logger

_NAME = "domogik-run-"
_IN_PATH = re.compile(rb"/" + _NAME.encode() + rb"([^/\n]+)")
#: the hierarchies that are tried; "" is version 2
HIERARCHIES = ("", "pids", "freezer", "name=systemd")
_LARGEST = 65536


def run_ids_of(pid: int, proc: str = "/proc") -> list[str]:
    """Return the starts in whose groups a process is: several for a manager inside a manager."""
    try:
        with open(f"{proc}/{pid}/cgroup", "rb", buffering=0) as file:
            return [os.fsdecode(found) for found in set(_IN_PATH.findall(file.read(_LARGEST)))]
    except OSError:
        return []


@attrs.define(eq=False)
class Groups:
    """The groups below `place`, None if there can be none; `sentence` describes them."""

    _log = Logger()

    place: Path | None = None
    sentence: str = "no control group may be made here"

    @classmethod
    def find(cls, hierarchies: tuple[str, ...] = HIERARCHIES) -> Groups:
        """Return the first hierarchy where a group can be created, and remove empty groups in
        it."""
        for name, place in _own_groups(hierarchies):
            with contextlib.suppress(OSError):
                trial = place / f"{_NAME}trial-{os.getpid()}"
                trial.mkdir()
                trial.rmdir()
                for left in place.glob(f"{_NAME}*"):
                    with contextlib.suppress(OSError):  # a process is in it
                        left.rmdir()
                which = f"version 1, {name}" if name else "version 2"
                return cls(place, f"a control group each ({which}) below {place}")
        return cls()

    def enter(self, run_id: str, pid: int) -> None:
        """Move a process that was just started into the group of its start."""
        if self.place is None or not run_id:
            return
        group = self.place / f"{_NAME}{run_id}"
        try:
            group.mkdir(exist_ok=True)
            (group / "cgroup.procs").write_text(str(pid), encoding="ascii")
        except ProcessLookupError:  # it has ended already
            self.remove(run_id)
        except OSError as error:
            self._log.warn("process {pid} has no control group: {error}", pid=pid, error=str(error))

    def remove(self, run_id: str) -> None:
        """Remove the group of a start that has no process left."""
        if self.place is not None and run_id:
            with contextlib.suppress(OSError):
                (self.place / f"{_NAME}{run_id}").rmdir()


def _own_groups(hierarchies: tuple[str, ...]) -> Iterator[tuple[str, Path]]:
    """Yield the group of this process in each mounted hierarchy."""
    try:
        mounts = Path("/proc/self/mounts").read_text(encoding="utf-8", errors="replace")
        lines = Path("/proc/self/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return
    mounted: dict[str, str] = {}
    for _, where, kind, options, *_ in (line.split(" ") for line in mounts.splitlines()):
        if kind in ("cgroup", "cgroup2"):
            for option in ("",) if kind == "cgroup2" else options.split(","):
                mounted.setdefault(option, where)
    own: dict[str, str] = {}
    for line in lines.splitlines():
        _, controllers, path = line.split(":", 2)
        own.update(dict.fromkeys(controllers.split(","), path))
    for name in hierarchies:
        if name in own and name in mounted:
            yield name, Path(mounted[name]) / own[name].lstrip("/")
