"""The sockets that listen on a port, their processes, and whether these belong to a unit."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import attrs
from twisted.internet.interfaces import IReactorTime

from domogik.answers import deferred
from domogik.supervisor.ports.listeners import Listener, listeners, owners
from domogik.threads import Threads
from domogik.units.systemd.batching import BatchedLookup
from domogik.units.systemd.status import UnitStatus

_FILE_BYTES = 65536


@attrs.frozen
class PortOwner:
    """A process that has a socket open; `control_group` is empty if it is unknown."""

    pid: int
    name: str
    control_group: str

    def is_of(self, unit: UnitStatus) -> bool:
        """Return whether it is a process of that unit."""
        if unit.main_pid and unit.main_pid == self.pid:
            return True
        group = unit.control_group
        return bool(group) and (
            self.control_group == group or self.control_group.startswith(f"{group}/")
        )

    def __str__(self) -> str:
        return f"{self.name} (process {self.pid})"


@attrs.frozen
class OpenPort:
    """A listening socket and its processes, as far as these may be seen."""

    listener: Listener
    holders: tuple[PortOwner, ...] = ()


OpenPortsLookup = Callable[[frozenset[int]], Mapping[int, tuple[OpenPort, ...]]]


def open_ports(ports: frozenset[int]) -> dict[int, tuple[OpenPort, ...]]:
    """Return the listening sockets of each port; blocks while it reads every process once.

    Raises `CannotSeeSockets`.
    """
    found = [listener for listener in listeners() if listener.port in ports]
    by_inode = owners(listener.inode for listener in found)
    seen: dict[int, list[OpenPort]] = {port: [] for port in ports}
    for listener in found:
        holders = tuple(
            PortOwner(owner.pid, owner.name, control_group(owner.pid))
            for owner in by_inode[listener.inode]
        )
        seen[listener.port].append(OpenPort(listener, holders))
    return {port: tuple(them) for port, them in seen.items()}


def control_group(pid: int, proc: str = "/proc") -> str:
    """Return the path of the process's control group (cgroups(7)), empty if it is unknown."""
    try:
        with Path(f"{proc}/{pid}/cgroup").open(encoding="utf-8", errors="replace") as file:
            lines = file.read(_FILE_BYTES).split("\n")
    except OSError:
        return ""
    for line in lines:
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        # the unified hierarchy if systemd uses it, else the one of systemd's own
        if (controllers == "" and path not in ("", "/")) or controllers == "name=systemd":
            return path
    return ""


@attrs.define(eq=False)
class PortOwners:
    """Looks ports up in a thread, all that are asked for in one turn of the reactor at once."""

    _clock: IReactorTime
    _in_thread: Threads
    _look: OpenPortsLookup = open_ports
    _merged: BatchedLookup[int, tuple[OpenPort, ...]] = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._merged = BatchedLookup(self._clock, self._ask)

    async def _ask(self, ports: frozenset[int]) -> Mapping[int, tuple[OpenPort, ...]]:
        return await self._in_thread(self._look, ports)

    @deferred
    async def on(self, port: int) -> tuple[OpenPort, ...]:
        """Fire with all sockets that listen on `port`; fails with `CannotSeeSockets`."""
        return (await self._merged.get([port]))[port]
