"""Whose orders are obeyed."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterable, Mapping

import attrs
import psutil

from domogik.errors import DomogikError

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class InvalidNetwork(DomogikError):
    """Neither an address, nor a network, nor `*`."""


def interface_networks() -> Mapping[str, Network]:
    """Every IPv4 address of this computer, with the network of its interface."""
    found: dict[str, Network] = {}
    for addresses in psutil.net_if_addrs().values():
        for entry in addresses:
            if entry.family.name == "AF_INET" and entry.netmask:
                network = ipaddress.ip_network(f"{entry.address}/{entry.netmask}", strict=False)
                found[entry.address] = network
    return found


@attrs.define(eq=False)
class Trust:
    """Orders that change something come from this host, its network, or who is named.

    `bind_interface` is the address xPL is spoken on; on a loopback one only this host is obeyed.
    `named` are the words of `xpl_trusted`. Refused orders are counted.
    """

    _bind_interface: str
    _named: Iterable[str] = ()
    _interfaces: Callable[[], Mapping[str, Network]] = interface_networks
    refused: int = 0
    _everyone: bool = False
    _networks: tuple[Network, ...] = attrs.field(init=False, default=())
    _own: frozenset[str] = attrs.field(init=False, default=frozenset())

    def __attrs_post_init__(self) -> None:
        networks: list[Network] = [ipaddress.ip_network("127.0.0.0/8")]
        interfaces = self._interfaces()
        networks += [ipaddress.ip_network(address) for address in interfaces]
        self._own = frozenset(interfaces)
        bound = ipaddress.ip_address(self._bind_interface)
        if bound.is_unspecified:
            networks += interfaces.values()
        elif not bound.is_loopback and self._bind_interface in interfaces:
            networks.append(interfaces[self._bind_interface])
        for word in self._named:
            if word == "*":
                self._everyone = True
                continue
            try:
                networks.append(ipaddress.ip_network(word, strict=False))
            except ValueError:
                raise InvalidNetwork(
                    f"xpl_trusted: '{word}' is neither an address, nor a network, nor *"
                ) from None
        self._networks = tuple(networks)

    def allows(self, address: str | None) -> bool:
        """Whether an order from that address (None: this process) is obeyed; refusals count."""
        if address is None or self._everyone:
            return True
        try:
            ip = ipaddress.ip_address(address)
        except ValueError:
            self.refused += 1
            return False
        if any(ip in network for network in self._networks):
            return True
        self.refused += 1
        return False

    def is_own(self, address: str) -> bool:
        """Whether that is an address of this host, as far as was known at the start."""
        return address in self._own or address.startswith("127.")
