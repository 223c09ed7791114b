"""Changes of units, which systemd reports on the system bus to any user.

Sources: org.freedesktop.systemd1(5), "Signals" and "Object paths"; D-Bus Specification.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from urllib.parse import unquote

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol
from twisted.internet.error import ConnectError, ConnectingCancelledError
from twisted.internet.interfaces import IReactorTime, IReactorUNIX, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from domogik.errors import DomogikError
from domogik.units.systemd.backend import ChangeReceiver

_DEFAULT = "unix:path=/run/dbus/system_bus_socket"
_FIRST_WAIT_S = 1.0
_LONGEST_WAIT_S = 60.0


def system_bus(environment: Mapping[str, str]) -> str | None:
    """Return the path of the system bus's socket, None if its address is of another kind."""
    address = environment.get("DBUS_SYSTEM_BUS_ADDRESS") or _DEFAULT
    for one in address.split(";"):
        transport, _, rest = one.partition(":")
        keys = dict(part.partition("=")[::2] for part in rest.split(","))
        if transport == "unix" and "path" in keys:
            return unquote(keys["path"])
    return None


class IBusReactor(IReactorTime, IReactorUNIX):
    """The parts of a reactor that the bus needs."""


class Changes(Service):
    """Listens on the bus while it runs, and connects again after an interruption.

    `is_listening` is true while systemd's signals arrive. Receivers are called with None when that
    begins and when it ends, as changes may have been missed.
    """

    log = Logger()

    def __init__(self, clock: IReactorTime, endpoint: IStreamClientEndpoint) -> None:
        self.is_listening = False
        self._clock = clock
        self._endpoint = endpoint
        self._receivers: list[ChangeReceiver] = []
        self._listening: Deferred[None] | None = None
        self._trouble = ""

    @classmethod
    def at(cls, reactor: IBusReactor, path: str) -> Changes:
        """Return the service for the bus with the socket at `path`."""
        return cls(reactor, UNIXClientEndpoint(reactor, path))

    def subscribe(self, receiver: ChangeReceiver) -> Callable[[], None]:
        """See `IUnitBackend.subscribe`."""
        self._receivers.append(receiver)

        def unsubscribe() -> None:
            if receiver in self._receivers:
                self._receivers.remove(receiver)

        return unsubscribe

    def startService(self) -> None:
        super().startService()
        self._listening = Deferred.fromCoroutine(self._listen()).addErrback(self._ended)

    def stopService(self) -> Deferred[None]:
        """End; fires when the connection is closed."""
        super().stopService()
        listening, self._listening = self._listening, None
        if listening is None:
            return succeed(None)
        listening.cancel()
        return listening

    def _ended(self, reason: Failure) -> None:
        if not reason.check(CancelledError, ConnectingCancelledError):
            self.log.failure("listening for changes of units ended", reason)

    async def _listen(self) -> None:
        wait = _FIRST_WAIT_S
        while True:
            try:
                if await self._once():
                    wait = _FIRST_WAIT_S
            except (DomogikError, ConnectError, OSError) as error:
                self._failed(str(error))
            await deferLater(self._clock, wait)
            wait = min(2 * wait, _LONGEST_WAIT_S)

    async def _once(self) -> bool:
        """Listen on one connection until it ends; return whether signals arrived."""
        # imported here as jeepney loads slowly and most programs with units do not listen
        from domogik.units.systemd.dbus import BusConnection

        connection = BusConnection(self._tell)
        await connectProtocol(self._endpoint, connection)
        try:
            await connection.ready(self._clock)
            self._tell_state(True)
            self._trouble = ""
            await connection.ended
            self._failed(str(connection.trouble))
        finally:
            self._tell_state(False)
            connection.abort()
            await connection.closed
        return True

    def _failed(self, sentence: str) -> None:
        if sentence != self._trouble:
            self.log.info("changes of units are not told: {reason}", reason=sentence)
        self._trouble = sentence

    def _tell_state(self, is_listening: bool) -> None:
        if self.is_listening is not is_listening:
            self.is_listening = is_listening
            self._tell(None)

    def _tell(self, name: str | None) -> None:
        for receiver in tuple(self._receivers):
            try:
                receiver(name)
            except Exception:  # noqa: BLE001 - a receiver may raise anything
                self.log.failure("a receiver of changes of units raised")
