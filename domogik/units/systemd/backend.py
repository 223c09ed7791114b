"""What this room asks of systemd, whoever carries it there."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping

from twisted.internet.defer import Deferred
from zope.interface import Interface

from domogik.errors import DomogikError, NotPossible, OperationFailed
from domogik.units.systemd.status import Enablement, UnitStatus


class NoSystemd(NotPossible):
    """No systemd manages this host, or we cannot reach it; the text says which."""


class BackendFailed(DomogikError):
    """systemd is there and what it answered cannot be used."""


class OrderFailed(OperationFailed):
    """systemd did not do what was asked; the text has its words."""


class NotPermitted(OrderFailed):
    """systemd does not take that order from us: a polkit rule, or root, would help."""


class Order(enum.Enum):
    """What can be asked for one unit; the words are those of systemctl(1)."""

    START = "start"
    STOP = "stop"
    RESTART = "restart"
    TRY_RESTART = "try-restart"
    RELOAD = "reload"
    TRY_RELOAD_OR_RESTART = "try-reload-or-restart"
    RESET_FAILED = "reset-failed"
    ENABLE = "enable"
    DISABLE = "disable"
    MASK = "mask"
    UNMASK = "unmask"


#: called with the id of a unit that changed, or with None where any may have
ChangeReceiver = Callable[[str | None], None]


class IUnitBackend(Interface):
    """systemd, as this room sees it. Names are full ones (`units.names`).

    Every Deferred fails with `NoSystemd` where there is none, and has an end: an order that takes
    longer than the back end waits fails with `OrderFailed`, and goes on in systemd.
    """

    def status(names: Collection[str]) -> Deferred[Mapping[str, UnitStatus]]:
        """All of them in one call, under the names asked for; those that do not exist too.

        Fails with `BackendFailed`.
        """

    def enablement(name: str) -> Deferred[Enablement]:
        """What `systemctl is-enabled` says of exactly this name, which may be an alias.

        Read from the files as they are now. `not-found` where there is none.
        """

    def carry_out(order: Order, name: str) -> Deferred[None]:
        """Fires when the order is done, a start when the unit has started.

        A unit that fails right after its start fails no order: ask for its status. Fails with
        `OrderFailed`, of which `NotPermitted` is one.
        """

    def daemon_reload() -> Deferred[None]:
        """Unit files are read again; fails as `carry_out`."""

    def logs(name: str, lines: int) -> Deferred[list[str]]:
        """The last lines of its journal, the oldest first; fails with `OrderFailed`."""

    def subscribe(receiver: ChangeReceiver) -> Callable[[], None]:
        """Tell `receiver` of changes, where that can be; the answer unsubscribes.

        Changes come together and late, by a little: ask for the status. Where no changes can be
        told `receiver` is never called, and `reports_changes` is false.
        """

    def reports_changes() -> bool:
        """Whether changes are being told at the moment."""
