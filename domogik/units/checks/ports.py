"""A check of whether a program listens on a port, and whether it is the expected one."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from typing import Any

from domogik.answers import deferred
from domogik.components.health import DiagnosticCheck, Result, Suggestion
from domogik.errors import DomogikError
from domogik.supervisor.ports.listeners import is_own_address
from domogik.units.checks.port_owners import PortOwner, PortOwners
from domogik.units.systemd.status import UnitStatus

#: the most processes that a check names
_NAMED = 3
#: the process that has the sockets of socket units
_INIT = 1


class InvalidPort(DomogikError):
    """The value is not a port or not a kind of socket."""


class PortKind(enum.Enum):
    """The protocol of a socket that listens, for some with the family of its address."""

    TCP4 = "tcp4"
    TCP6 = "tcp6"
    TCP = "tcp"
    UDP4 = "udp4"
    UDP6 = "udp6"
    UDP = "udp"

    @classmethod
    def of(cls, port: object, kind: object) -> PortKind:
        """Return the kind of that name; raises `InvalidPort` for the name or the port."""
        _check_port_number(port)
        try:
            return cls(kind)
        except ValueError:
            raise _not_one_of(kind, [one.value for one in cls]) from None


#: the kinds of psutil.net_connections, and those of `PortKind` that each covers; a socket of
#: `unix` has no port
_COVERED: Mapping[str, tuple[str, ...]] = {
    **{one.value: (one.value,) for one in PortKind},
    "inet": ("tcp", "udp"),
    "inet4": ("tcp4", "udp4"),
    "inet6": ("tcp6", "udp6"),
    "all": ("tcp", "udp"),
    "unix": (),
}


def check_listen_ports(listen_ports: object) -> list[tuple[int, str]]:
    """Return the pairs of a port and a `PortKind`; raises `InvalidPort` for anything else."""
    pairs: Iterable[Any] = listen_ports if isinstance(listen_ports, Iterable) else [listen_ports]
    checked: list[tuple[int, str]] = []
    for pair in pairs:
        try:
            port, kind = pair
        except (TypeError, ValueError):
            raise InvalidPort(
                f"{repr(pair)[:40]} is not a port with its kind, such as (80, 'tcp')"
            ) from None
        PortKind.of(port, kind)
        checked.append((port, kind))
    return checked


def _check_port_number(port: object) -> None:
    if type(port) is not int or not 1 <= port <= 65535:
        raise InvalidPort(f"{repr(port)[:20]} is not a port")


def _not_one_of(kind: object, kinds: Iterable[str]) -> InvalidPort:
    return InvalidPort(f"'{str(kind)[:20]}' is not one of {', '.join(kinds)}")


@deferred
async def diagnose_port_listening(
    ports: PortOwners,
    port: int,
    kind: str = "tcp",
    listen_address: str | None = None,
    component_id: str | None = None,
    unit: UnitStatus | None = None,
) -> DiagnosticCheck:
    """Fire with a check of whether a socket serves `port`, on `listen_address` if given.

    `kind` is one of psutil's. A socket of `::` serves IPv4 too unless it is for IPv6 only; TCP must
    listen, UDP have no peer. The parameter `owner` of the check names the processes that have the
    socket, if they may be seen; with `unit`, a socket of another program is a warning. Fails with
    `InvalidPort`.
    """
    _check_port_number(port)
    if kind not in tuple(_COVERED):  # it may be of a type that has no hash
        raise _not_one_of(kind, _COVERED)
    check = partial(_port_check, port, kind, listen_address, component_id)
    try:
        found = [
            one
            for one in await ports.on(port)
            if any(one.listener.serves(covered, listen_address) for covered in _COVERED[kind])
        ]
        if listen_address is not None and not is_own_address(listen_address):
            more = {"finding": f"Port {port} ({kind}): this host does not have {listen_address}"}
            return check(result=Result.FAILED, more=more)
    except DomogikError as error:
        more = {"reason": str(error), "finding": f"Port {port} ({kind}) cannot be checked: {error}"}
        return check(result=Result.ERROR, more=more)
    if not found:
        more = {"finding": f"No program listens on {kind} port {port}"}
        return check(result=Result.FAILED, more=more, suggestions=(_start_listening(unit),))
    holders = [holder for one in found for holder in one.holders]
    more = {"owner": _names(holders)} if holders else {}
    if unit is None or not holders or any(_belongs(holder, unit) for holder in holders):
        return check(result=Result.PASSED, more=more)
    more["reason"] = f"held by {more['owner']}, which is not of {unit.name}"
    more["finding"] = f"Port {port} ({kind}) is {more['reason']}"
    suggestion = Suggestion(
        "free-port",
        f"Stop {more['owner']} or give it another port, then start {unit.name} again",
        is_repairable=False,
    )
    return check(result=Result.WARNING, more=more, suggestions=(suggestion,))


def _start_listening(unit: UnitStatus | None) -> Suggestion:
    if unit is None:
        sentence = "Start the program that should listen there"
    elif unit.is_running:
        sentence = f"See in its configuration where {unit.name} listens: systemctl cat {unit.name}"
    else:
        sentence = f"See why {unit.name} does not run: systemctl status {unit.name}"
    return Suggestion("check-listener", sentence, is_repairable=False)


def _belongs(holder: PortOwner, unit: UnitStatus) -> bool:
    if holder.pid == _INIT and (unit.name.endswith(".socket") or unit.triggered_by):
        return True  # systemd listens itself until the first connection
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
