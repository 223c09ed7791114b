"""The interface to systemd: status, enablement, orders, logs and changes of units."""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Mapping

from twisted.internet.defer import Deferred
from zope.interface import Interface

from domogik.errors import DomogikError, NotPossible, OperationFailed
from domogik.units.systemd.status import Enablement, UnitStatus


class NoSystemd(NotPossible):
    """No systemd manages this host, or it cannot be reached; the text says which."""


class BackendFailed(DomogikError):
    """systemd answered something that cannot be used."""


class OrderFailed(OperationFailed):
    """systemd did not carry out an order; the text has its message."""


class NotPermitted(OrderFailed):
    """systemd refused an order for lack of privileges; root or a polkit rule is needed."""


class Order(enum.Enum):
    """An order for one unit; values are the commands of systemctl(1)."""

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


#: is called with the id of a unit that changed, or with None if any may have changed
ChangeReceiver = Callable[[str | None], None]


class IUnitBackend(Interface):
    """Asks systemd about units and gives it orders. Names are full ones (`systemd.names`).

    Every Deferred fails with `NoSystemd` if there is none. An order that takes longer than the back
    end's limit fails with `OrderFailed`, and systemd goes on with it.
    """

    def status(names: Collection[str]) -> Deferred[Mapping[str, UnitStatus]]:
        """Fire with the status of each unit by the name asked for, also if it does not exist.

        Fails with `BackendFailed`.
        """

    def enablement(name: str) -> Deferred[Enablement]:
        """Fire with what `systemctl is-enabled` says of this name, which may be an alias.

        It is read from the unit files as they are now, and is `not-found` without one.
        """

    def carry_out(order: Order, name: str) -> Deferred[None]:
        """Carry out the order and fire when it is done, a start when the unit has started.

        An order succeeds even if the unit fails right after its start; its status tells that. Fails
        with `OrderFailed`, of which `NotPermitted` is one.
        """

    def daemon_reload() -> Deferred[None]:
        """Have systemd read unit files again; fails as `carry_out`."""

    def logs(name: str, lines: int) -> Deferred[list[str]]:
        """Fire with the last lines of its journal, the oldest first; fails with `OrderFailed`."""

    def subscribe(receiver: ChangeReceiver) -> Callable[[], None]:
        """Call `receiver` after changes; return a function that ends this.

        Changes may be reported late and together. Without a source of changes `receiver` is never
        called, and `reports_changes` is false.
        """

    def reports_changes() -> bool:
        """Return whether changes are reported at the moment."""
