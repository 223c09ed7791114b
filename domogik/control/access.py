"""Who may do what over xPL: a refused order is answered and counted, and logged once a minute."""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from domogik.clock import LogThrottle
from domogik.errors import NotAllowed
from domogik.manager.operations.table import Right
from domogik.manager.trust import Trust
from domogik.xpl.node.bus import Origin


@attrs.define(eq=False)
class XplAccess:
    """Reading is open; what changes something is obeyed from trusted addresses."""

    _clock: IReactorTime
    _trust: Trust
    _log: Logger = Logger()
    _refusals: LogThrottle = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._refusals = LogThrottle(self._clock)

    def check(self, what: str, origin: Origin, right: Right) -> None:
        """Raises `NotAllowed`, whose text is the answer; `what` is named in the log."""
        if right is Right.READ or self._trust.allows(origin.ip):
            return
        if self._refusals.is_due():
            self._log.warn(
                "{what}: not allowed from {ip} ({count} refused until now)",
                what=what,
                ip=origin.ip,
                count=self._trust.refused,
            )
        raise NotAllowed(f"Not allowed from {origin.ip}")
