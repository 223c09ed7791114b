"""The systemd and the open ports of this host, for programs that have no manager."""

from __future__ import annotations

import os
from functools import partial
from typing import ClassVar

import attrs
from twisted.internet.interfaces import IReactorThreads, IReactorTime

from domogik.supervisor.processes.command import run
from domogik.supervisor.processes.pidfd import IProcessReactor
from domogik.supervisor.reactors import usual_reactor
from domogik.threads import Threads, threads_of
from domogik.units.checks.port_owners import PortOwners
from domogik.units.systemd.bus import Changes, IBusReactor, system_bus
from domogik.units.systemd.systemctl import Systemctl


class IUnitsReactor(IProcessReactor, IBusReactor, IReactorThreads):
    """The parts of a reactor that units need."""


@attrs.frozen(eq=False)
class HostSystem:
    """Back end, port table and clock of this host, on one reactor.

    `changes` is a service that reports systemd's signals once it is started; None without a bus.
    """

    clock: IReactorTime
    backend: Systemctl
    ports: PortOwners
    changes: Changes | None = None
    _usual: ClassVar[HostSystem | None] = None

    @classmethod
    def of(
        cls, reactor: IUnitsReactor | None = None, in_thread: Threads | None = None
    ) -> HostSystem:
        """Return that of `reactor`, by default `usual_reactor`; `in_thread` runs what blocks."""
        if reactor is None:
            reactor = usual_reactor()
        if in_thread is None:
            in_thread = threads_of(reactor)

        bus = system_bus(os.environ)
        changes = Changes.at(reactor, bus) if bus is not None else None
        backend = Systemctl(partial(run, reactor), os.environ, changes)
        return cls(reactor, backend, PortOwners(reactor, in_thread), changes)

    @classmethod
    def usual(cls) -> HostSystem:
        """Return the one of `usual_reactor`, which is made once."""
        reactor = usual_reactor()
        if cls._usual is None or cls._usual.clock is not reactor:
            HostSystem._usual = cls.of(reactor)
        assert HostSystem._usual is not None
        return HostSystem._usual
