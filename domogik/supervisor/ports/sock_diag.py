"""The kernel's tables of TCP and UDP sockets.

They are read by netlink (sock_diag(7)), which alone says whether a socket of `::` serves IPv4 as
well; where that is refused (an old kernel, a sandbox), from /proc/net/{tcp,tcp6,udp,udp6}
(proc(5)).
"""

from __future__ import annotations

import errno
import os
import socket
import struct
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Literal, NamedTuple, TypeAlias

from domogik.errors import DomogikError

Kind: TypeAlias = Literal["tcp4", "tcp6", "udp4", "udp6"]
KINDS: tuple[Kind, ...] = ("tcp4", "tcp6", "udp4", "udp6")


class CannotSeeSockets(DomogikError):
    """The kernel does not list its sockets."""


class BrokenTable(CannotSeeSockets):
    """The table is not in the kernel's format."""


class Row(NamedTuple):
    """One socket. `inode` is 0 if no process has it; `v6only` is None if unknown."""

    kind: Kind
    address: str
    port: int
    has_peer: bool
    state: int
    inode: int
    v6only: bool | None
    uid: int


# linux/net/tcp_states.h; a UDP socket without a peer is in TCP_CLOSE
ESTABLISHED, TIME_WAIT, CLOSE, LISTEN, NEW_SYN_RECV = 1, 6, 7, 10, 12
#: every state there is, with 13, a TCP socket that is bound and does not listen (Linux 6.8)
ANY_STATE = (1 << 14) - 1

# linux/netlink.h, linux/sock_diag.h, linux/inet_diag.h
_NETLINK_SOCK_DIAG = 4
_SOCK_DIAG_BY_FAMILY = 20
_NLMSG_ERROR, _NLMSG_DONE = 2, 3
_NLM_F_REQUEST, _NLM_F_DUMP = 0x001, 0x300
_SKV6ONLY = 11
_HEADER = struct.Struct("=IHHII")  # nlmsghdr: length, type, flags, sequence, port
_REQUEST = struct.Struct("=BBBBI2s46x")  # inet_diag_req_v2: ..., states, then the socket id
_MESSAGE = struct.Struct("=BBxx2s2s16s16s12xIIIII")  # inet_diag_msg
_ATTRIBUTE = struct.Struct("=HH")  # nlattr: length, type
_DATAGRAM_BYTES = 65536  # the kernel fills at most 32 KiB
_TIMEOUT_S = 2.0  # seconds; the kernel answers in the call itself, or never

_FAMILIES: dict[Kind, tuple[int, int]] = {
    "tcp4": (socket.AF_INET, socket.IPPROTO_TCP),
    "tcp6": (socket.AF_INET6, socket.IPPROTO_TCP),
    "udp4": (socket.AF_INET, socket.IPPROTO_UDP),
    "udp6": (socket.AF_INET6, socket.IPPROTO_UDP),
}
#: of the network this thread is in, which need not be that of the process's first thread
_PROC_NET = Path("/proc/thread-self/net")
_PROC_FILES: dict[Kind, str] = {"tcp4": "tcp", "tcp6": "tcp6", "udp4": "udp", "udp6": "udp6"}


def rows(kinds: Iterable[Kind], states: int = ANY_STATE, port: int = 0) -> list[Row]:
    """Return the sockets of these kinds in these states (a bit for each); port 0 is every port.

    Raises `CannotSeeSockets`. Kinds that netlink does not list (each needs a kernel module) are
    read from /proc, where `v6only` is None.
    """
    found: list[Row] = []
    for kind in kinds:
        try:
            some = _from_netlink(kind, states, port)
        except (OSError, BrokenTable):
            some = _from_proc(kind)
        found += [
            row for row in some if states >> row.state & 1 and (port == 0 or row.port == port)
        ]
    return found


def _from_netlink(kind: Kind, states: int, port: int) -> list[Row]:
    family, protocol = _FAMILIES[kind]
    request = _REQUEST.pack(family, protocol, 0, 0, states, port.to_bytes(2, "big"))
    flags = _NLM_F_REQUEST | _NLM_F_DUMP
    header = _HEADER.pack(_HEADER.size + len(request), _SOCK_DIAG_BY_FAMILY, flags, 1, 0)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as netlink:
        netlink.settimeout(_TIMEOUT_S)
        netlink.send(header + request)
        return parse_dump(_datagrams(netlink), kind)


def _datagrams(netlink: socket.socket) -> Iterator[bytes]:
    while True:
        data, _, flags, (sender, _) = netlink.recvmsg(_DATAGRAM_BYTES)
        if flags & socket.MSG_TRUNC:
            raise BrokenTable("an answer of the kernel is longer than any should be")
        if sender == 0:  # the kernel; messages of other senders are ignored
            yield data


def parse_dump(datagrams: Iterable[bytes], kind: Kind) -> list[Row]:
    """Return the sockets in the kernel's answer.

    Raises `OSError` with the number of a refusal, and `BrokenTable` for anything else.
    """
    found: list[Row] = []
    for data in datagrams:
        start = 0
        while start < len(data):
            if len(data) - start < _HEADER.size:
                raise BrokenTable("a netlink message without a header")
            length, type_, *_ = _HEADER.unpack_from(data, start)
            if not _HEADER.size <= length <= len(data) - start:
                raise BrokenTable(f"a netlink message of {length} bytes")
            payload = data[start + _HEADER.size : start + length]
            if type_ in (_NLMSG_DONE, _NLMSG_ERROR):
                _raise_refusal(payload)
            if type_ == _NLMSG_DONE:
                return found
            if type_ == _SOCK_DIAG_BY_FAMILY:
                found.append(_parse_message(payload, kind))
            start += _aligned(length)
    raise BrokenTable("the kernel's answer has no end")


def _raise_refusal(payload: bytes) -> None:
    """Raise the error in a message, which begins with 0 or a negative number (netlink(7))."""
    number = int.from_bytes(payload[:4], sys.byteorder, signed=True)
    if number < 0:
        raise OSError(-number, os.strerror(-number))


def _aligned(length: int) -> int:
    return length + 3 & ~3


def _parse_message(payload: bytes, kind: Kind) -> Row:
    if len(payload) < _MESSAGE.size:
        raise BrokenTable("a socket described in too few bytes")
    (family, state, port, peer_port, address, peer, _, _, _, uid, inode) = _MESSAGE.unpack_from(
        payload
    )
    if family != _FAMILIES[kind][0] or state > 13:
        raise BrokenTable(f"a socket of family {family} in state {state}")
    return Row(
        kind,
        socket.inet_ntop(family, address[: 4 if family == socket.AF_INET else 16]),
        port=int.from_bytes(port, "big"),
        has_peer=any(peer_port) or any(peer),
        state=state,
        inode=inode,
        v6only=_v6only(payload) if family == socket.AF_INET6 else False,
        uid=uid,
    )


def _v6only(payload: bytes) -> bool | None:
    start = _MESSAGE.size
    while len(payload) - start >= _ATTRIBUTE.size:
        length, type_ = _ATTRIBUTE.unpack_from(payload, start)
        if not _ATTRIBUTE.size <= length <= len(payload) - start:
            raise BrokenTable(f"a netlink attribute of {length} bytes")
        if type_ == _SKV6ONLY and length > _ATTRIBUTE.size:
            return payload[start + _ATTRIBUTE.size] != 0
        start += _aligned(length)
    return None


def _from_proc(kind: Kind) -> list[Row]:
    path = _PROC_NET / _PROC_FILES[kind]
    try:
        content = path.read_bytes()
    except OSError as error:
        if error.errno == errno.ENOENT and kind.endswith("6"):
            return []  # a kernel without IPv6
        raise CannotSeeSockets(f"{path} cannot be read: {error.strerror}") from error
    return parse_proc(content, kind)


def parse_proc(content: bytes, kind: Kind) -> list[Row]:
    """Return the sockets in such a file; raises `BrokenTable`, and nothing else.

    An address is words of 32 bits in the computer's byte order, a port is a number.
    """
    found: list[Row] = []
    for line in content.splitlines()[1:]:
        fields = line.split()
        try:
            address, port = _endpoint(fields[1], kind)
            peer, peer_port = _endpoint(fields[2], kind)
            state, uid, inode = int(fields[3], 16), int(fields[7]), int(fields[9])
        except (IndexError, ValueError) as error:
            raise BrokenTable(f"no line about a socket: {line[:200]!r}") from error
        if not 0 < state <= 13 or uid < 0 or inode < 0:
            raise BrokenTable(f"no line about a socket: {line[:200]!r}")
        family = _FAMILIES[kind][0]
        v6only = None if family == socket.AF_INET6 else False
        has_peer = any(peer) or peer_port != 0
        found.append(
            Row(
                kind,
                socket.inet_ntop(family, address),
                port=port,
                has_peer=has_peer,
                state=state,
                inode=inode,
                v6only=v6only,
                uid=uid,
            )
        )
    return found


def _endpoint(text: bytes, kind: Kind) -> tuple[bytes, int]:
    digits, _, port = text.decode("ascii").partition(":")
    form = "I" if kind.endswith("4") else "4I"
    address = bytes.fromhex(digits)
    number = int(port, 16)
    if len(address) != struct.calcsize(form) or not 0 <= number <= 0xFFFF:
        raise ValueError(text)
    return struct.pack(f"={form}", *struct.unpack(f">{form}", address)), number
