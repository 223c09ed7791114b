"""Does anybody listen on a port, and who?"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence

from domogik.answers import deferred
from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.errors import DomogikError
from domogik.supervisor.ports.listeners import is_own_address
from domogik.units.checks.port_owners import PortOwner, PortOwners
from domogik.units.systemd.status import UnitStatus

#: of several who have a socket, so many are named
_NAMED = 3
#: who has the sockets of socket units
_INIT = 1


class InvalidPort(DomogikError):
    """Not a port, or not one of the kinds of sockets."""


class PortKind(enum.Enum):
    """What listens: a protocol, and for some the family of addresses."""

    TCP4 = "tcp4"
    TCP6 = "tcp6"
    TCP = "tcp"
    UDP4 = "udp4"
    UDP6 = "udp6"
    UDP = "udp"

    @classmethod
    def of(cls, port: object, kind: object) -> PortKind:
        """The kind of that name; raises `InvalidPort` for it or for the port."""
        if type(port) is not int or not 1 <= port <= 65535:
            raise InvalidPort(f"{str(port)[:20]} is not a port")
        try:
            return cls(kind)
        except ValueError:
            words = ", ".join(one.value for one in cls)
            raise InvalidPort(f"'{str(kind)[:20]}' is not one of {words}") from None


@deferred
async def diagnose_port_listening(
    ports: PortOwners,
    port: int,
    kind: str = "tcp",
    listen_address: str | None = None,
    component_id: str | None = None,
    unit: UnitStatus | None = None,
) -> DiagnosticCheck:
    """Whether a socket of this host serves `port`, with `listen_address` on that address.

    A socket of `::` serves IPv4 too unless it is for IPv6 only; TCP must be listening, UDP have no
    peer. Who has the socket is `owner` in the parameters, where we may see it. With `unit` a socket
    that belongs to somebody else is a warning. Fails with `InvalidPort`.
    """
    PortKind.of(port, kind)
    try:
        found = [one for one in await ports.on(port) if one.listener.serves(kind, listen_address)]
        if listen_address is not None and not is_own_address(listen_address):
            more = {"finding": f"Port {port} ({kind}): {listen_address} is no address of this host"}
            return _port_check(
                port, kind, listen_address, component_id, result=Result.FAILED, more=more
            )
    except DomogikError as error:
        more = {"reason": str(error), "finding": f"Who listens on {kind} {port}: {error}"}
        return _port_check(port, kind, listen_address, component_id, result=Result.ERROR, more=more)
    if not found:
        advice = (_nobody_listens(unit),)
        more = {"finding": f"Nobody listens on {kind} port {port}"}
        return _port_check(
            port,
            kind,
            listen_address,
            component_id,
            result=Result.FAILED,
            more=more,
            suggestions=advice,
        )
    holders = [holder for one in found for holder in one.holders]
    more = {"owner": _names(holders)} if holders else {}
    if unit is None or not holders or any(_belongs(holder, unit) for holder in holders):
        return _port_check(
            port, kind, listen_address, component_id, result=Result.PASSED, more=more
        )
    more["reason"] = f"held by {more['owner']}, which is not of {unit.name}"
    more["finding"] = f"Port {port} ({kind}) is {more['reason']}"
    suggestion = Suggestion(
        "free-port",
        f"Stop {more['owner']} or give it another port, then start {unit.name} again",
        is_repairable=False,
    )
    return _port_check(
        port,
        kind,
        listen_address,
        component_id,
        result=Result.WARNING,
        more=more,
        suggestions=(suggestion,),
    )


def _nobody_listens(unit: UnitStatus | None) -> Suggestion:
    if unit is None:
        sentence = "Start the program that should listen there"
    elif unit.is_running:
        sentence = f"See in its configuration where {unit.name} listens: systemctl cat {unit.name}"
    else:
        sentence = f"See why {unit.name} does not run: systemctl status {unit.name}"
    return Suggestion("check-listener", sentence, is_repairable=False)


def _belongs(holder: PortOwner, unit: UnitStatus) -> bool:
    if holder.pid == _INIT and (unit.name.endswith(".socket") or unit.triggered_by):
        return True  # systemd listens itself until somebody connects
    return holder.is_of(unit)


def _names(holders: Iterable[PortOwner]) -> str:
    names = list(dict.fromkeys(map(str, holders)))
    return ", ".join(names[:_NAMED]) + (", ..." if len(names) > _NAMED else "")


def _port_check(
    port: int,
    kind: str,
    address: str | None,
    component_id: str | None,
    *,
    result: Result,
    more: dict[str, str] | None = None,
    suggestions: Sequence[Suggestion] = (),
) -> DiagnosticCheck:
    check_id, description = f"daemon-listening-{kind}-{port}", "Listening on {kind} port {port}"
    given = dict(more or {})
    finding = given.pop("finding", "")
    parameters: dict[str, object] = {"kind": kind, "port": port}
    if address is not None:
        check_id = f"daemon-listening-address-{kind}-{port}-{address}"
        description = "Listening on {kind} port {listen_address}:{port}"
        parameters["listen_address"] = address
    return DiagnosticCheck(
        check_id,
        description,
        result,
        parameters={**parameters, **given},
        component_id=component_id,
        suggestions=suggestions,
        finding=finding,
    )
