"""This host's systemd and ports, for programs that have no manager: what a registry is made of."""

from __future__ import annotations

import os
from functools import partial
from typing import ClassVar
from weakref import WeakKeyDictionary

import attrs
from twisted.internet.interfaces import IReactorThreads, IReactorTime

from domogik.supervisor.processes.command import run
from domogik.supervisor.processes.pidfd import IProcessReactor
from domogik.supervisor.reactors import usual_reactor
from domogik.threads import Threads, threads_of
from domogik.units.apps.app import App, Component
from domogik.units.apps.registry import Units
from domogik.units.checks.port_owners import PortOwners
from domogik.units.systemd.bus import Changes, IBusReactor, system_bus
from domogik.units.systemd.systemctl import Systemctl


class IUnitsReactor(IProcessReactor, IBusReactor, IReactorThreads):
    """What is asked of a reactor here."""


@attrs.frozen(eq=False)
class Here:
    """Back end, port table and clock of this host, on one reactor.

    `changes` tells what systemd says on its bus, and is to be started by whoever wants to hear it;
    None where there is no bus.
    """

    clock: IReactorTime
    backend: Systemctl
    ports: PortOwners
    changes: Changes | None = None
    _usual: ClassVar[Here | None] = None

    @classmethod
    def of(cls, reactor: IUnitsReactor | None = None, in_thread: Threads | None = None) -> Here:
        """On `reactor`, the `usual_reactor` unless it is given; what blocks goes to `in_thread`."""
        if reactor is None:
            reactor = usual_reactor()
        if in_thread is None:
            in_thread = threads_of(reactor)

        bus = system_bus(os.environ)
        changes = Changes.at(reactor, bus) if bus is not None else None
        backend = Systemctl(partial(run, reactor), os.environ, changes)
        return cls(reactor, backend, PortOwners(reactor, in_thread), changes)

    @classmethod
    def usual(cls) -> Here:
        """On the `usual_reactor`; made once for it."""
        reactor = usual_reactor()
        if cls._usual is None or cls._usual.clock is not reactor:
            Here._usual = cls.of(reactor)
        assert Here._usual is not None
        return Here._usual

    def units(self) -> Units:
        """Return a registry without any app yet."""
        return Units(self.clock, self.backend, self.ports)


_alone: WeakKeyDictionary[Component, tuple[Here, Units]] = WeakKeyDictionary()


def alone(component: Component, here: Here | None = None) -> Units:
    """Return the registry of a component that is in no app: it declares what that one does."""
    here = here or Here.usual()
    known, units = _alone.get(component, (None, None))
    if units is None or known is not here:
        units = here.units()
        _alone[component] = here, units
        units.add(_Alone(component))
    return units


class _Alone(App):
    """What such a component is in, without knowing it."""

    def __init__(self, component: Component) -> None:
        super().__init__(component.component_id)
        self._components[component.component_id] = component


def redeclare(component: Component) -> None:
    """Its names have changed: what may be touched is asked anew."""
    units = component.host_units or _alone.get(component, (None, None))[1]
    if units is not None:
        units.declares_anew()
