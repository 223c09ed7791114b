"""Finds out whether a process of this host has a role: by xPL and from the kernel's sockets."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from secrets import token_hex

import attrs
import psutil
from twisted.internet.defer import CancelledError, Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from domogik.app.parts.xpl_node import XplNode
from domogik.config.home import Home
from domogik.manager.fleet.name_conflicts import NameConflicts
from domogik.manager.plugins.heartbeat_senders import Address, announced
from domogik.supervisor.ports.listeners import InvalidAddress, owners, udp_receivers
from domogik.supervisor.ports.sock_diag import CannotSeeSockets
from domogik.threads import Threads
from domogik.xpl.codec.message import CMND, STAT, Message
from domogik.xpl.node.bus import Origin
from domogik.xpl.node.identity import Identity, NoReply
from domogik.xpl.node.presence import REQUEST

#: seconds in which another program of our name has to answer where the hub is not our own
ROLE_LOOKUP_S = 2.0
#: addresses that are looked at during one question
_MOST = 16
#: the commands whose process may be a role, as they end in a name
_COMMANDS = {
    "manager": "manager|pkgmgr",
    "rest": "rest|manager|pkgmgr",
    "dbmgr": "dbmgr|manager|pkgmgr",
}


@attrs.define(eq=False, kw_only=True)
class RoleLookup:
    """Asks for `domogik-<role>.<host>` on xPL, and checks that the answer is genuine.

    A heartbeat counts if it comes from the very port that it announces, and if a process of this
    host that runs a command of Domogik has that port. Any other is handed to `namesakes`.
    """

    _clock: IReactorTime
    _xpl_node: XplNode
    _host: str
    _is_own: Callable[[str], bool]
    _in_thread: Threads
    #: the namesakes are not the same any more
    _changed: Callable[[], None]
    namesakes: NameConflicts = attrs.field(init=False)
    _probe: Identity | None = None
    _log: Logger = Logger()

    def __attrs_post_init__(self) -> None:
        self.namesakes = NameConflicts(self._host, self._clock, self.ask, self._changed)

    def ask(self, source: str, to: Address | None = None) -> None:
        """Send a heartbeat request to that source, to one address or to all."""
        self._asker().send(CMND, "hbeat.request", REQUEST, target=source, to=to)

    async def find(self, role: str, timeout_s: float) -> Message | None:
        """Return a heartbeat of the process with the role; None after `timeout_s` seconds."""
        source = f"domogik-{role}.{self._host}"
        probe = self._asker()
        if self._xpl_node.hub is None:
            # another program's hub forwards only to clients that have sent a heartbeat
            probe.presence.start()
        found: list[Message] = []
        looked: set[tuple[Address, bool]] = set()
        looking: list[Deferred[None]] = []

        async def look(message: Message, origin: Origin, address: Address) -> None:
            if await self._in_thread(can_be, role, address):
                found.append(message)
                asking.cancel()
            else:
                self.namesakes.heard(message, origin)

        def hear(message: Message, origin: Origin) -> None:
            address = announced(message)
            if origin.address is None:
                return
            if address is None or not self._are_own(origin.address, address):
                self.namesakes.heard(message, origin)
                return
            is_straight = origin.address[1] == address[1]
            if (address, is_straight) in looked or len(looked) >= _MOST:
                return
            looked.add((address, is_straight))
            if is_straight:
                looking.append(
                    Deferred.fromCoroutine(look(message, origin, address)).addErrback(
                        lambda failure: self._log.failure("looking at {name}", failure, name=source)
                    )
                )
            else:  # the hub's, or forged: its port has to answer itself
                self.ask(source, address)

        subscription = self._xpl_node.bus.subscribe(
            hear, type=STAT, schema="hbeat.app", source=source
        )
        asking = probe.request(
            "hbeat.request",
            REQUEST,
            answer=lambda message: False,
            target=source,
            timeout=timeout_s,
            repeat=1.0,
        )
        try:
            await asking
        except NoReply:
            pass
        except CancelledError:
            if not found:
                raise  # we are told to stop
        finally:
            subscription.cancel()
        await DeferredList(looking)
        return found[0] if found else None

    def _are_own(self, *addresses: Address) -> bool:
        return all(self._is_own(ip) for ip, _ in addresses)

    def close_probe(self) -> None:
        """End the presence of the asking identity, and report name conflicts found meanwhile."""
        if self.namesakes.sentence:
            self._changed()
        if self._probe is not None:
            self._probe.presence.leave()

    def _asker(self) -> Identity:
        if self._probe is None:
            # a name that no other manager asks by: one of that name would take the question for its
            # own echo
            self._probe = self._xpl_node.port.identity(f"ask{token_hex(2)}", self._host)
        return self._probe


def already_running_message(heartbeat: Message) -> str:
    """Return the sentence that another process has this name, and what to do.

    Blocks for a moment.
    """
    where = f"{heartbeat.get('remote-ip')}:{heartbeat.get('port')}"
    homes = Home.of_managers()
    its = f" with the home {homes[0].path}" if len(homes) == 1 else ""
    return (
        f"{heartbeat.source} already speaks from {where}{its}: stop that program, or give this one "
        "another name with the key hostname in [domogik]"
    )


def can_be(role: str, address: Address) -> bool:
    """Return whether a process with that UDP port runs a command for that role. Blocks.

    If the sockets of a user cannot be seen, every process of that user counts.
    """
    try:
        sockets = udp_receivers(*address)
        by_inode = owners(one.inode for one in sockets)
    except InvalidAddress:
        return False
    except CannotSeeSockets:
        return True
    pids = {owner.pid for found in by_inode.values() for owner in found}
    unseen = {one.uid for one in sockets if not by_inode[one.inode]}
    if unseen:
        pids |= {process.pid for process in psutil.process_iter() if _user(process) in unseen}
    pattern = re.compile(
        rf"(?:^|[\0/])(?:dmg_|domogik-)(?:{_COMMANDS[role]})\0"
        rf"|domogik\.app\b.*\0(?:{_COMMANDS[role]})\0",
        re.DOTALL,
    )
    return any(pattern.search(_command(pid)) for pid in pids - {os.getpid()})


def _user(process: psutil.Process) -> int | None:
    try:
        return int(process.uids().real)
    except psutil.Error:
        return None


def _command(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode("utf-8", "replace")
    except OSError:
        return ""
