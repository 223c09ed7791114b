"""Finds the process that sent a heartbeat, by the UDP port that the kernel says it has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import attrs

from domogik.manager.plugins.one_plugin import Plugin
from domogik.supervisor.ports.listeners import (
    InvalidAddress,
    Listener,
    Owner,
    owners,
    udp_receivers,
)
from domogik.supervisor.ports.sock_diag import CannotSeeSockets
from domogik.xpl.codec.message import Message
from domogik.xpl.node.bus import Origin

Address = tuple[str, int]
#: sockets of one plugin that are remembered; some programs make one for each heartbeat
MOST_SOCKETS = 8


@attrs.define(eq=False)
class HeartbeatSenders:
    """Checks that a heartbeat came from this host and from the plugin that it names.

    `is_own(ip)` says whether an address is one of this host. The processes of a plugin are only
    searched for a socket that is new. If the hub is another program, every datagram comes from the
    hub, and the address that the heartbeat announces is checked instead.
    """

    is_own: Callable[[str], bool]
    _hub_is_elsewhere: Callable[[], bool]
    _receivers: Callable[[str, int], Sequence[Listener]] = udp_receivers
    _owners: Callable[..., Mapping[int, Sequence[Owner]]] = owners

    def is_here(self, message: Message, origin: Origin) -> bool:
        """Return whether a program of this host sent it, as far as can be told."""
        if origin.ip is None or not self.is_own(origin.ip):
            return False
        if not self._hub_is_elsewhere():
            return True
        claimed = announced(message)
        return claimed is not None and self._holds(None, claimed) is not None

    def is_from(self, plugin: Plugin, message: Message, origin: Origin) -> bool:
        """Return whether a process of that plugin has the port that it came from.

        If no process has that port any more, or the hub is another program, the announced port
        counts.
        """
        if origin.address is None or not self.is_own(origin.address[0]):
            return False
        held = self._holds(plugin, origin.address)
        if held or (held is False and not self._hub_is_elsewhere()):
            return bool(held)
        claimed = announced(message)
        return claimed is not None and bool(self._holds(plugin, claimed))

    def is_last_word(self, message: Message, origin: Origin, last: Address | None) -> bool:
        """Return whether it announces `last`, and neither that port nor the sender's is in use.

        A plugin that ends has often closed its socket before its end is handled.
        """
        if last is None or origin.address is None or not self.is_own(origin.address[0]):
            return False
        places = [last] if self._hub_is_elsewhere() else [last, origin.address]
        return announced(message) == last and all(
            self._holds(None, place) is None for place in places
        )

    def _holds(self, plugin: Plugin | None, address: Address) -> bool | None:
        """Return whether the plugin's processes have the port; None if no socket of this host has
        it.
        """
        if not self.is_own(address[0]):
            return None
        try:
            inodes = frozenset(one.inode for one in self._receivers(*address))
            if not inodes:
                return None
            if plugin is None:
                return False
            known = plugin.sockets
            if inodes <= known:
                return True
            found = self._owners(inodes, among=plugin.pids)
        except InvalidAddress:
            return None
        except CannotSeeSockets:
            return True  # a plugin must not count as dead because the kernel tells nothing
        if not all(found.values()):
            return False
        plugin.sockets = inodes | (known if len(known) < MOST_SOCKETS else frozenset())
        return True


def announced(message: Message) -> Address | None:
    """Return the address that a heartbeat announces; None if there is none."""
    ip, port = message.get("remote-ip"), message.get("port")
    if not ip or not port or not port.isascii() or not port.isdigit() or len(port) > 5:
        return None
    return (ip, int(port)) if 0 < int(port) < 2**16 else None
