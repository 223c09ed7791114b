"""The listening sockets of this host, and their processes.

All functions block. With 1,000 sockets and 500 processes, on a slow core: one port 0.3 ms
(`listeners` of one, `holders`; 0.7 `occupants`), which the reactor can bear; all `listeners` 6 ms
(22 from /proc); `owners` among all processes 25 to 45 ms, which belongs in a thread, like
`described`.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
from collections.abc import Iterable, Mapping, Sequence

import attrs

from domogik.errors import DomogikError
from domogik.supervisor.ports.sock_diag import (
    ANY_STATE,
    CLOSE,
    KINDS,
    LISTEN,
    NEW_SYN_RECV,
    TIME_WAIT,
    CannotSeeSockets,
    Kind,
    Row,
    rows,
)
from domogik.supervisor.processes.identity import ProcessIdentity, parse_stat


class InvalidAddress(DomogikError):
    """The text is not an IPv4 or IPv6 address; names are not resolved."""


_ANY = "any"


@attrs.frozen
class Reach:
    """The addresses of a socket by family; None for none of that family."""

    ipv4: str | None
    ipv6: str | None

    @classmethod
    def of(cls, address: str, *, v6only: bool) -> Reach:
        try:
            # A link-local address is told from its twin on another interface by neither table.
            parsed = ipaddress.ip_address(address.partition("%")[0])
        except ValueError:
            raise InvalidAddress(f"'{address}' is no IP address") from None
        if isinstance(parsed, ipaddress.IPv6Address) and parsed.ipv4_mapped is not None:
            parsed = parsed.ipv4_mapped
        text = _ANY if parsed.is_unspecified else str(parsed)
        if isinstance(parsed, ipaddress.IPv4Address):
            return cls(text, None)
        return cls(_ANY if text == _ANY and not v6only else None, text)

    def meets(self, other: Reach) -> bool:
        """Return whether Linux refuses to bind both to one port (inet_rcv_saddr_equal)."""
        return _meet(self.ipv4, other.ipv4) or _meet(self.ipv6, other.ipv6)

    def includes(self, other: Reach) -> bool:
        """Return whether it receives all that is sent to `other`."""
        return all(
            theirs is None or ours in (_ANY, theirs)
            for ours, theirs in ((self.ipv4, other.ipv4), (self.ipv6, other.ipv6))
        )


def _meet(one: str | None, other: str | None) -> bool:
    return one is not None and other is not None and (one == other or _ANY in (one, other))


@attrs.frozen(kw_only=True)
class Listener:
    """A socket that accepts any peer: TCP in LISTEN, UDP without a peer.

    `inode` is its number, as in /proc/PID/fd. If `v6only` is None (see `sock_diag`), a socket of
    `::` is assumed to serve IPv4 as well, which is Linux's default. `uid` is the user that created
    the socket.
    """

    kind: Kind
    address: str
    port: int
    inode: int
    v6only: bool | None
    uid: int

    def serves(self, kind: str, address: str | None = None) -> bool:
        """Return whether it receives what is sent by `kind`: tcp, tcp4, tcp6, udp, udp4 or udp6.

        With `address`, what is sent to that address of this host. A socket of `::` serves IPv4 too
        unless it is `v6only`; one of `::1` does not. Raises `InvalidAddress`.
        """
        if not self.kind.startswith(kind[:3]):
            return False
        if (kind.endswith("4") and self.reach.ipv4 is None) or (
            kind.endswith("6") and self.reach.ipv6 is None
        ):
            return False
        return address is None or self.reach.includes(Reach.of(address, v6only=True))

    @property
    def reach(self) -> Reach:
        """The addresses it is bound to."""
        return Reach.of(self.address, v6only=bool(self.v6only))


@attrs.frozen
class Owner:
    """A process that has a socket open. `name` is the kernel's (at most 15 letters), printable.

    `identity` is None if its start time is unknown.
    """

    pid: int
    name: str
    identity: ProcessIdentity | None


def listeners(port: int | None = None) -> tuple[Listener, ...]:
    """Return those of this network namespace, or of one port; sorted by kind, port, address.

    Raises `CannotSeeSockets`.
    """
    found = rows(("tcp4", "tcp6"), 1 << LISTEN, port or 0)
    found += [row for row in rows(("udp4", "udp6"), 1 << CLOSE, port or 0) if not row.has_peer]
    return _listeners(found)


def _listeners(found: Iterable[Row]) -> tuple[Listener, ...]:
    made = [
        Listener(
            kind=row.kind,
            address=row.address,
            port=row.port,
            inode=row.inode,
            v6only=row.v6only,
            uid=row.uid,
        )
        for row in found
    ]
    made.sort(key=lambda one: (KINDS.index(one.kind), one.port, one.address, one.inode))
    return tuple(made)


def holders(
    bind_address: str, port: int, kind: str = "tcp", *, v6only: bool = False
) -> tuple[Listener, ...]:
    """Return the listeners because of which `bind_address` and `port` cannot be bound (EADDRINUSE).

    `kind` is tcp or udp; `v6only` says whether the server sets IPV6_V6ONLY on its `::`. This holds
    for a server that sets SO_REUSEADDR for TCP and not for UDP; sockets with SO_REUSEPORT count.
    Raises `InvalidAddress`, `CannotSeeSockets`.
    """
    ours = Reach.of(bind_address, v6only=v6only)
    return tuple(
        listener
        for listener in listeners(port)
        if listener.kind.startswith(kind) and ours.meets(listener.reach)
    )


def occupants(
    bind_address: str, port: int, kind: str = "tcp", *, v6only: bool = False
) -> tuple[Listener, ...]:
    """Return other sockets there: connections, or bound ones that do not listen.

    They can make a bind fail if they were created without SO_REUSEADDR, which the kernel does not
    show: call it after a failed bind without `holders`. Bound sockets are shown from Linux 6.8 on.
    Raises `InvalidAddress`, `CannotSeeSockets`.
    """
    ours = Reach.of(bind_address, v6only=v6only)
    if kind == "udp":
        found = [row for row in rows(("udp4", "udp6"), port=port) if row.has_peer]
    else:
        # one that is about to end, or not yet accepted, is held by no process
        states = ANY_STATE & ~(1 << LISTEN | 1 << TIME_WAIT | 1 << NEW_SYN_RECV)
        found = [row for row in rows(("tcp4", "tcp6"), states, port) if row.inode]
    return tuple(one for one in _listeners(found) if ours.meets(one.reach))


def udp_receivers(address: str, port: int) -> tuple[Listener, ...]:
    """Return the UDP sockets that receive what is sent to an IPv4 address and a port.

    Sockets with a peer are included. One port takes 0.1 ms. Raises `InvalidAddress`,
    `CannotSeeSockets`.
    """
    there = Reach.of(address, v6only=True)
    found = _listeners(rows(("udp4", "udp6"), port=port))
    return tuple(one for one in found if one.reach.includes(there))


def owners(
    inodes: Iterable[int], among: Iterable[int] | None = None, *, proc: str = "/proc"
) -> dict[int, tuple[Owner, ...]]:
    """Return the visible processes that have each socket open, the oldest first.

    Every inode is in the result, possibly without a process. One pass over all processes, or those
    `among`, serves all sockets. Raises `CannotSeeSockets`.
    """
    found: dict[int, list[Owner]] = {inode: [] for inode in inodes}
    wanted = {f"socket:[{inode}]": inode for inode in found if inode > 0}
    try:
        for pid in _numbers(proc) if among is None else set(among):
            for inode, owner in _open_in(pid, wanted, proc) if wanted else ():
                found[inode].append(owner)
    except OSError as error:
        raise CannotSeeSockets(f"cannot see who has a socket: {error.strerror}") from error
    return {inode: tuple(sorted(them, key=_age)) for inode, them in found.items()}


def _numbers(proc: str) -> list[int]:
    return [int(name) for name in os.listdir(proc) if name.isascii() and name.isdigit()]


def _age(owner: Owner) -> tuple[float, int]:
    return (owner.identity.start_ticks if owner.identity else float("inf"), owner.pid)


def _open_in(pid: int, wanted: Mapping[str, int], proc: str) -> list[tuple[int, Owner]]:
    """Return which of the wanted sockets a process has open; none if it cannot be read."""
    with contextlib.suppress(FileNotFoundError, ProcessLookupError, PermissionError):
        directory = os.open(f"{proc}/{pid}/fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            inodes: set[int] = set()
            for name in os.listdir(directory):
                with contextlib.suppress(FileNotFoundError):  # closed since
                    inode = wanted.get(os.readlink(name, dir_fd=directory))
                    if inode is not None:
                        inodes.add(inode)
            if inodes:
                # by way of the directory: the number may be another process's by now, this is not
                owner = _owner(pid, directory)
                return [(inode, owner) for inode in inodes]
        finally:
            os.close(directory)
    return []


def _owner(pid: int, directory: int) -> Owner:
    descriptor = os.open("../stat", os.O_RDONLY | os.O_CLOEXEC, dir_fd=directory)
    try:
        line = os.read(descriptor, 1024)
    finally:
        os.close(descriptor)
    name = line[line.find(b"(") + 1 : line.rfind(b")")].decode("utf-8", "replace")
    try:
        identity = ProcessIdentity.from_stat(parse_stat(line))
    except (ValueError, IndexError):
        identity = None
    return Owner(pid, "".join(c if c.isprintable() else "?" for c in name), identity)


def words(owner: Owner | None, listener: Listener) -> str:
    """Return the owner as a part of a sentence: "held by redis-server (process 1234)"."""
    if owner is None:
        return f"held by a process that may not be seen (user {listener.uid})"
    return f"held by {owner.name} (process {owner.pid})"


def described(found: Sequence[Listener]) -> str:
    """Return `words` about the first listener with a visible owner.

    Of several owners it is the oldest: the server, not a worker. `found` is not empty. Raises
    `CannotSeeSockets`.
    """
    by_inode = owners(listener.inode for listener in found)
    for listener in found:
        for owner in by_inode[listener.inode]:
            return words(owner, listener)
    return words(None, found[0])


def is_own_address(address: str) -> bool:
    """Return whether this host has that address; raises `InvalidAddress`.

    It binds a socket, since all of 127.0.0.0/8 is local but in no list.
    """
    Reach.of(address, v6only=True)
    host, _, zone = address.partition("%")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as test:
            scope = (0, socket.if_nametoindex(zone)) if zone else ()
            test.bind((host, 0, *scope))
    except OSError:
        return False
    return True
