"""Decides to which address a plugin's password may be sent."""

from __future__ import annotations

import os
from pathlib import Path

import attrs

from domogik.manager.plugins.heartbeat_senders import Address, announced
from domogik.manager.trust import Trust
from domogik.supervisor.ports.listeners import InvalidAddress, owners, udp_receivers
from domogik.supervisor.ports.sock_diag import CannotSeeSockets
from domogik.threads import Threads
from domogik.xpl.codec.message import Message
from domogik.xpl.node.bus import Origin
from domogik.xpl.node.identity import Identity, NoReply
from domogik.xpl.node.presence import REQUEST

#: seconds that a plugin has to say where it listens, if its question came by way of a hub
PATIENCE = 2.0


@attrs.define(eq=False)
class PasswordRecipients:
    """Finds the address to which the answer to a question about a password goes.

    On this host that is a port which a process of the plugin has, on another one any port, if the
    address is one whose orders are obeyed. `in_thread(f, *args)` calls what blocks.
    """

    _identity: Identity
    _trust: Trust
    _in_thread: Threads

    async def place_of(self, question: Message, origin: Origin) -> Address | None:
        """Return the address that asked, or behind a hub the one that its sender announces."""
        plugin, host = question.get("technology") or "", question.get("hostname") or ""
        if origin.address is None:
            return None
        if await self._may_have(origin.address, plugin, host):
            return origin.address
        try:
            heartbeat = await self._identity.request(
                "hbeat.request",
                REQUEST,
                answer=lambda message: (
                    message.source == question.source and message.schema == "hbeat.app"
                ),
                target=question.source,
                timeout=PATIENCE,
            )
        except NoReply:
            return None
        address = announced(heartbeat)
        if address is not None and await self._may_have(address, plugin, host):
            return address
        return None

    async def _may_have(self, address: Address, plugin: str, host: str) -> bool:
        if self._trust.is_own(address[0]):
            return await self._in_thread(is_port_of, plugin, host, address)
        return self._trust.allows(address[0])


def is_port_of(plugin: str, host: str, address: Address) -> bool:
    """Whether every process that has that UDP port is one of the plugin's. Blocks.

    Started by a manager it knows its source from its environment; started by hand it runs the
    plugin's script. It must run as our user, who could read the database as well, or as root.
    """
    try:
        by_inode = owners(one.inode for one in udp_receivers(*address))
    except (CannotSeeSockets, InvalidAddress):
        return False
    pids = [owner.pid for found in by_inode.values() for owner in found]
    return bool(pids) and all(by_inode.values()) and all(_is(pid, plugin, host) for pid in pids)


def _is(pid: int, plugin: str, host: str) -> bool:
    process = Path(f"/proc/{pid}")
    try:
        if process.stat().st_uid not in (os.geteuid(), 0):
            return False
        environment = (process / "environ").read_bytes().split(b"\0")
        command = (process / "cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    said = [entry for entry in environment if entry.startswith(b"DOMOGIK_SOURCE=")]
    if said:
        return said == [f"DOMOGIK_SOURCE=domogik-{plugin}.{host}".encode()]
    return any(os.path.basename(word) == f"{plugin}.py".encode() for word in command[:3])
