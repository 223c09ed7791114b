"""Decides from which addresses orders are accepted."""

from __future__ import annotations

import ipaddress
import time
from collections.abc import Callable, Iterable, Mapping

import attrs
import psutil

from domogik.errors import DomogikError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network
#: seconds between two looks at the interfaces for the sake of an address that is not known
LOOK_AGAIN = 5.0
_LOOPBACK = ipaddress.ip_network("127.0.0.0/8")


class InvalidNetwork(DomogikError):
    """The word is neither an address, nor a network, nor `*`."""


def named_network(word: str) -> Network | None:
    """Return the network that a word of `xpl_trusted` means, None for `*`; `InvalidNetwork`."""
    if word == "*":
        return None
    try:
        return ipaddress.ip_network(word, strict=False)
    except ValueError:
        raise InvalidNetwork(
            f"xpl_trusted: '{word}' is neither an address, nor a network, nor *"
        ) from None


def interface_networks() -> Mapping[str, Network]:
    """Return every IPv4 address of this computer with the network of its interface."""
    found: dict[str, Network] = {}
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.family.name == "AF_INET" and entry.netmask:
                network = ipaddress.ip_network(f"{entry.address}/{entry.netmask}", strict=False)
                found[entry.address] = network
    return found


@attrs.define(eq=False)
class Trust:
    """Accepts orders from this host, from its network, and from the addresses in `xpl_trusted`.

    `bind_interface` is the address of xPL; if it is a loopback address, only this host is accepted.
    `named` are the words of `xpl_trusted`. Refused orders are counted.

    The interfaces are read again before an order is refused, in 0.1 ms: addresses may be added
    while the program runs.
    """

    _bind_interface: str
    _named: Iterable[str] = ()
    _interfaces: Callable[[], Mapping[str, Network]] = interface_networks
    refused: int = 0
    _monotonic: Callable[[], float] = time.monotonic
    _looked: float = attrs.field(init=False, default=0.0)
    _everyone: bool = attrs.field(init=False, default=False)
    _listed: tuple[Network, ...] = attrs.field(init=False, default=())
    _networks: tuple[Network, ...] = attrs.field(init=False, default=())
    _own: frozenset[str] = attrs.field(init=False, default=frozenset())

    def __attrs_post_init__(self) -> None:
        self.update_settings(self._named)

    def update_settings(self, words: Iterable[str]) -> None:
        """Replace the words of `xpl_trusted`; raises `InvalidNetwork` and then changes nothing."""
        named = [named_network(word) for word in words]
        self._everyone = None in named
        self._listed = tuple(network for network in named if network is not None)
        self._look()

    def _look(self) -> None:
        self._looked = self._monotonic()
        interfaces = self._interfaces()
        self._own = frozenset(interfaces)
        own = [ipaddress.ip_network(address) for address in interfaces]
        bound = ipaddress.ip_address(self._bind_interface)
        if bound.is_unspecified:
            own += interfaces.values()
        elif not bound.is_loopback and self._bind_interface in interfaces:
            own.append(interfaces[self._bind_interface])
        self._networks = (_LOOPBACK, *own, *self._listed)

    def allows(self, address: str | None) -> bool:
        """Return whether orders from that address (None: this process) are accepted; count
        refusals.
        """
        if address is None or self._everyone or self._is_inside(address):
            return True
        self._look()
        if self._is_inside(address):
            return True
        self.refused += 1
        return False

    def _is_inside(self, address: str) -> bool:
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            return False
        return any(ip in network for network in self._networks)

    def is_own(self, address: str) -> bool:
        """Return whether this host has that address; a new one is known within `LOOK_AGAIN`
        seconds.
        """
        if address in self._own or address.startswith("127."):
            return True
        if self._monotonic() - self._looked < LOOK_AGAIN:
            return False
        self._look()
        return address in self._own
