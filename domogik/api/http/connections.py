"""Which connections are accepted and served: slow clients, or many at one address, block none.

A client waits until its request is whole; while every place is taken, the one that has waited for
longest, of the address with the most, gives way to a new one. What is being answered is left alone,
so some places are kept: for who shows the token, and for clients of this host.
"""

from __future__ import annotations

import ipaddress
from collections import Counter
from collections.abc import Iterable
from typing import Protocol

import attrs

#: so many clients at a time
MAX_CONNECTIONS = 500
#: so many of them from one other host (of IPv6: one network of 64 bits)
MAX_PER_ADDRESS = 100
#: without the token so many are answered at a time, and so many of other hosts
MAX_UNPROVEN = 450
MAX_STRANGERS = 400


class IClientConnection(Protocol):
    """What is asked of a connection."""

    #: the host it comes from, as far as limits go
    address: str
    #: it comes from this host
    is_local: bool
    #: it showed the token
    is_proven: bool
    #: it is answered no more, and about to be closed
    refused: bool

    @property
    def is_waiting(self) -> bool:
        """Its request is not whole."""

    def give_way(self) -> None:
        """Close, for another one's sake."""


def limited_as(peer: str) -> str:
    """What counts as one address for limits."""
    try:
        address = ipaddress.ip_address(peer)
    except ValueError:
        return peer
    if isinstance(address, ipaddress.IPv4Address):
        return peer
    if address.ipv4_mapped is not None:
        return str(address.ipv4_mapped)
    return str(ipaddress.ip_network((address, 64), strict=False))


@attrs.define(eq=False)
class ConnectionLimits:
    """All connections, the oldest first."""

    clients: dict[IClientConnection, None] = attrs.field(factory=dict)

    def enter(self, newcomer: IClientConnection) -> bool:
        """Whether it is let in; others may have to give way for that."""
        present = [client for client in self.clients if not client.refused]
        self.clients[newcomer] = None
        if not newcomer.is_local:
            neighbours = [client for client in present if client.address == newcomer.address]
            if len(neighbours) >= MAX_PER_ADDRESS and _make_room(neighbours):
                return True
        return len(present) < MAX_CONNECTIONS or _make_room(present)

    def serves(self, client: IClientConnection) -> bool:
        """Whether its request, the head of which is there, is answered now."""
        if client.is_proven or len(self.clients) <= MAX_PER_ADDRESS:
            return True
        served = [
            other
            for other in self.clients
            if not (other is client or other.is_proven or other.is_waiting or other.refused)
        ]
        if client.is_local:
            return len(served) < MAX_UNPROVEN
        strangers = [other for other in served if not other.is_local]
        neighbours = [other for other in strangers if other.address == client.address]
        return len(strangers) < MAX_STRANGERS and len(neighbours) < MAX_PER_ADDRESS

    def leave(self, client: IClientConnection) -> None:
        """It is gone."""
        self.clients.pop(client, None)


def _make_room(among: Iterable[IClientConnection]) -> bool:
    """Whether one could be told to give way."""
    waiting = [client for client in among if client.is_waiting and not client.is_proven]
    if not waiting:
        return False
    number = Counter(client.address for client in waiting)
    # of equals the first: the oldest
    max(waiting, key=lambda client: (not client.is_local, number[client.address])).give_way()
    return True
