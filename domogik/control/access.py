"""Who may do what over xPL: a refused order is answered and counted, and logged once a minute."""

from __future__ import annotations

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from domogik.errors import NotAllowed
from domogik.manager.operations.table import Right
from domogik.manager.trust import Trust
from domogik.xpl.node.bus import Origin

#: seconds between two lines in the log about refused orders
REFUSED_PAUSE = 60.0


@attrs.define(eq=False)
class XplAccess:
    """Reading is open; what changes something is obeyed from trusted addresses."""

    _clock: IReactorTime
    _trust: Trust
    _log: Logger = Logger()
    _silent_until: float = float("-inf")

    def check(self, what: str, origin: Origin, right: Right) -> None:
        """Raises `NotAllowed`, whose text is the answer; `what` is named in the log."""
        if right is Right.READ or self._trust.allows(origin.ip):
            return
        now = self._clock.seconds()
        if now >= self._silent_until:
            self._silent_until = now + REFUSED_PAUSE
            self._log.warn(
                "{what}: not allowed from {ip} ({count} refused until now)",
                what=what,
                ip=origin.ip,
                count=self._trust.refused,
            )
        raise NotAllowed(f"Not allowed from {origin.ip}")
