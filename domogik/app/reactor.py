"""The reactor of Domogik's programs, and the interfaces that they need of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from twisted.internet.interfaces import IReactorCore, IReactorSSL

from domogik.clock import use_monotonic_clock

if TYPE_CHECKING:  # a program loads only the parts that it has
    from domogik.daemons.core.tools import IDaemonReactor
    from domogik.packages.http.client import IClientReactor
    from domogik.supervisor.service import ISupervisorReactor
    from domogik.units.this_host import IUnitsReactor

    class IWholeReactor(
        IReactorCore, IReactorSSL, ISupervisorReactor, IDaemonReactor, IUnitsReactor, IClientReactor
    ):
        """All that the parts of a program ask of its reactor."""
else:
    IWholeReactor = IReactorCore


def steady_reactor() -> IWholeReactor:
    """Return Twisted's reactor, which measures time by the monotonic clock from now on."""
    from twisted.internet import reactor

    use_monotonic_clock(reactor)
    return cast(IWholeReactor, reactor)  # mypy sees a module
