"""Which program sent a heartbeat? The kernel knows whose process has a UDP port."""

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
    """Whether a heartbeat came from this host, and from a process of the plugin that it names.

    `is_own(ip)` says whether an address is one of this host; a plugin's processes are asked for
    only about a socket that is new. Where the hub is another program, every datagram comes from
    the hub, and only what the heartbeat announces can be looked at.
    """

    is_own: Callable[[str], bool]
    _hub_is_elsewhere: Callable[[], bool]
    _receivers: Callable[[str, int], Sequence[Listener]] = udp_receivers
    _owners: Callable[..., Mapping[int, Sequence[Owner]]] = owners

    def is_here(self, message: Message, origin: Origin) -> bool:
        """Whether a program of this host sent it, as far as can be told."""
        if origin.ip is None or not self.is_own(origin.ip):
            return False
        if not self._hub_is_elsewhere():
            return True
        claimed = announced(message)
        return claimed is not None and self._holds(None, claimed) is not None

    def is_from(self, plugin: Plugin, message: Message, origin: Origin) -> bool:
        """Whether a process of that plugin has the port that it came from.

        Where no process has it any more, or the hub stands between, the port that the heartbeat
        announces counts.
        """
        if origin.address is None or not self.is_own(origin.address[0]):
            return False
        held = self._holds(plugin, origin.address)
        if held or (held is False and not self._hub_is_elsewhere()):
            return bool(held)
        claimed = announced(message)
        return claimed is not None and bool(self._holds(plugin, claimed))

    def is_last_word(self, message: Message, origin: Origin, last: Address | None) -> bool:
        """Whether it announces `last`, and neither that port nor the sender's is held any more.

        A plugin that ends has often closed its socket before its end is heard.
        """
        if last is None or origin.address is None or not self.is_own(origin.address[0]):
            return False
        places = [last] if self._hub_is_elsewhere() else [last, origin.address]
        return announced(message) == last and all(
            self._holds(None, place) is None for place in places
        )

    def _holds(self, plugin: Plugin | None, address: Address) -> bool | None:
        """Whether that plugin's processes have the port; None where no socket of ours has it."""
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
    """Where the sender of a heartbeat listens; None when it does not say so."""
    ip, port = message.get("remote-ip"), message.get("port")
    if not ip or not port or not port.isascii() or not port.isdigit() or len(port) > 5:
        return None
    return (ip, int(port)) if 0 < int(port) < 2**16 else None
