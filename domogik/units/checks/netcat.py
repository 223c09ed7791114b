"""A check of whether a TCP port can be connected to, as `nc HOST PORT` does."""

from __future__ import annotations

from typing import cast

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.interfaces import IReactorTime, ITCPTransport
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.python.failure import Failure

from domogik.answers import deferred
from domogik.components.health import DiagnosticCheck, Result
from domogik.units.checks.ports import PortKind

_PATIENCE_S = 10.0


@deferred
async def diagnose_netcat(
    reactor: IReactorTime,
    host: str,
    port: int,
    remote_input: str = "",
    negate: bool = False,
    component_id: str | None = None,
    patience_s: float = _PATIENCE_S,
) -> DiagnosticCheck:
    """Fire with a check of whether `host` accepts a connection, or with `negate` refuses it.

    It has `patience_s` seconds to do so. `remote_input` is sent before the connection is closed.
    Fails with `InvalidPort`.
    """
    PortKind.of(port, "tcp")
    reason = await _connect(reactor, host, port, remote_input, patience_s)
    prefix = "daemon-netcat-negate" if negate else "daemon-netcat"
    parameters: dict[str, object] = {"host": host, "port": port, "negate": negate}
    if reason:
        parameters["reason"] = reason
    return DiagnosticCheck(
        f"{prefix}-{host}-{port}",
        "Cannot connect to {host}:{port}" if negate else "Connect to {host}:{port}",
        Result.PASSED if negate is bool(reason) else Result.FAILED,
        parameters=parameters,
        component_id=component_id,
    )


async def _connect(
    reactor: IReactorTime, host: str, port: int, text: str, patience_s: float
) -> str:
    """Connect, send the text and close; return why there was no connection, else an empty text."""
    senders: list[_Sender] = []

    def build() -> _Sender:
        senders.append(_Sender())
        return senders[-1]

    try:
        endpoint = HostnameEndpoint(reactor, host, port, timeout=patience_s)
        # the endpoint's own limit begins after the name is resolved
        attempt = endpoint.connect(Factory.forProtocol(build))
        await attempt.addTimeout(patience_s, reactor)
    except Exception as error:  # noqa: BLE001 - with any error there is no connection
        return str(error) or type(error).__name__
    await senders[-1].send(reactor, text.encode("utf-8", "replace"), patience_s)
    return ""


class _Sender(Protocol):
    def __init__(self) -> None:
        self._closed: Deferred[None] = Deferred()

    async def send(self, clock: IReactorTime, data: bytes, patience_s: float) -> None:
        """Send the data and close; the connection is aborted after `patience_s` seconds."""
        transport = cast(ITCPTransport, self.transport)
        giving_up = clock.callLater(patience_s, transport.abortConnection)
        transport.write(data)
        transport.loseConnection()
        await self._closed
        if giving_up.active():
            giving_up.cancel()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._closed.callback(None)
