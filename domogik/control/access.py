"""What the commands of xPL have in common: who may give one, and what is answered if it fails."""

from __future__ import annotations

from collections.abc import Awaitable

import attrs
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from domogik.clock import LogThrottle
from domogik.control.wording import Body
from domogik.errors import DomogikError, NotAllowed
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


async def answer_of(
    log: Logger, what: str, host: str, work: Awaitable[Body]
) -> tuple[Body, DomogikError | None]:
    """What the work has to say, and why it failed: whatever happens, there is an answer."""
    try:
        return await work, None
    except DomogikError as error:
        return [], error
    except Exception:  # noqa: BLE001 - a door: there is always an answer
        log.failure("{what}", what=what)
        command = what.partition(" ")[0]
        return [], DomogikError(f"{command} failed on {host}: its log says why")
