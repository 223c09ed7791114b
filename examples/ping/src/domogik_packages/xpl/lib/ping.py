"""Whether another computer answers, and waking it: blocking code, for a thread."""

from __future__ import annotations

import os
import re
import socket
import struct
import time

ECHO_REQUEST, ECHO_REPLY = 8, 0
#: asked in turn where nothing better is allowed; a refusal is an answer too
COMMON_PORTS = (22, 80, 443, 445, 3389)

_MAC = re.compile(r"[0-9a-f]{2}(?P<separator>[:-]?)(?:[0-9a-f]{2}(?P=separator)){4}[0-9a-f]{2}")


def address_of(host: str) -> str | None:
    """The IPv4 address of a name or address; None where it has none now."""
    try:
        found = socket.getaddrinfo(host, None, socket.AF_INET, socket.SOCK_DGRAM)
    except (OSError, UnicodeError):
        return None
    return str(found[0][4][0])


def answers_echo(ip: str, timeout: float) -> bool:
    """Whether an ICMP echo comes back within `timeout` seconds.

    Uses the datagram sockets for which nobody has to be root; raises `PermissionError` where the
    system's `net.ipv4.ping_group_range` does not allow them.
    """
    end = time.monotonic() + timeout
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM, socket.IPPROTO_ICMP) as pinger:
        payload = os.urandom(16)  # which tells our answer from others
        try:
            pinger.sendto(echo_request(1, payload), (ip, 0))
            while (left := end - time.monotonic()) > 0:
                pinger.settimeout(left)
                answer, _ = pinger.recvfrom(1500)
                if answer[:1] == bytes([ECHO_REPLY]) and answer[8:] == payload:
                    return True
        except PermissionError:
            raise
        except OSError:  # no route, or nothing came in time
            return False
    return False


def echo_request(sequence: int, payload: bytes) -> bytes:
    """The ICMP message; the kernel fills in the identifier of the socket."""
    unsigned = struct.pack("!BBHHH", ECHO_REQUEST, 0, 0, 0, sequence) + payload
    total = checksum(unsigned)
    return struct.pack("!BBHHH", ECHO_REQUEST, 0, total, 0, sequence) + payload


def checksum(data: bytes) -> int:
    """The Internet checksum (RFC 1071) of a message whose own checksum is 0."""
    padded = data + b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(padded) // 2}H", padded))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def connects(ip: str, port: int, timeout: float) -> bool:
    """Whether something accepts a TCP connection there within `timeout` seconds."""
    try:
        socket.create_connection((ip, port), timeout).close()
    except OSError:
        return False
    return True


def answers_tcp(ip: str, timeout: float) -> bool:
    """Whether the computer reacts on any common port, be it by refusing."""
    for port in COMMON_PORTS:
        try:
            socket.create_connection((ip, port), timeout / len(COMMON_PORTS)).close()
        except ConnectionRefusedError:
            return True
        except OSError:
            continue
        return True
    return False


def mac_address(text: str) -> bytes:
    """The six bytes of `00:11:22:aa:bb:cc`, with `:`, `-` or nothing between; `ValueError`."""
    if _MAC.fullmatch(text.strip().lower()) is None:
        raise ValueError(f"'{text}' is not a MAC address such as 00:11:22:aa:bb:cc")
    return bytes.fromhex(re.sub("[:-]", "", text.strip()))


def wake(mac: bytes, address: str, port: int) -> None:
    """Send the magic packet that a sleeping network card waits for; `OSError`."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.setsockopt(socket.SOL_SOCKET, socket.SO_BROADCAST, 1)
        sender.sendto(b"\xff" * 6 + mac * 16, (address, port))
