"""Does a server that was told to read its configuration again serve by the new one already?

Its first process stays, and makes new workers; the old ones close their listening sockets when they
are told to go. Who has those sockets open is what the kernel says, for nginx and Apache alike.
"""

from __future__ import annotations

from collections.abc import Iterable

import attrs

from domogik.supervisor.ports.listeners import listeners, owners
from domogik.supervisor.processes.identity import ProcessIdentity


@attrs.frozen
class Generation:
    """The workers of `master` that take connections at one moment. All of it blocks."""

    master: ProcessIdentity
    workers: frozenset[ProcessIdentity]
    sockets: frozenset[int]

    @classmethod
    def of(cls, master: ProcessIdentity) -> Generation:
        """As it is now: one look at every process. Raises `CannotSeeSockets`."""
        its_own = owners((one.inode for one in listeners()), among=[master.pid])
        sockets = frozenset(inode for inode, found in its_own.items() if found)
        return cls(master, _others(master, sockets, None), sockets)

    def is_over(self) -> bool:
        """Whether none of these workers takes connections any more; raises `CannotSeeSockets`."""
        among = [worker.pid for worker in self.workers]
        return self.workers.isdisjoint(_others(self.master, self.sockets, among))

    def has_successors(self) -> bool:
        """Whether there are workers that were not there before; raises `CannotSeeSockets`."""
        return not Generation.of(self.master).workers <= self.workers


def _others(
    master: ProcessIdentity, sockets: Iterable[int], among: Iterable[int] | None
) -> frozenset[ProcessIdentity]:
    found = owners(sockets, among).values()
    identities = (owner.identity for them in found for owner in them)
    return frozenset(one for one in identities if one is not None and one != master)
