"""The kernel's tables of sockets, as they were recorded and as they should never be."""

from __future__ import annotations

import errno
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.supervisor.ports import sock_diag
from domogik.supervisor.ports.sock_diag import (
    CLOSE,
    ESTABLISHED,
    KINDS,
    LISTEN,
    TIME_WAIT,
    BrokenTable,
    CannotSeeSockets,
    Kind,
    Row,
    parse_dump,
    parse_proc,
)

# recorded where the least byte comes first
TCP4 = bytes.fromhex(
    "7c0000001400020001000000e11b0000020a000091df00007f0000010000000000000000000000000000000000000000"
    "000000000000000000000000a504000000000000000000000000000080000000000000003e0018000500080000000000"
    "08000f00000000000c00150001000000000000000600160052000000"
)
V6ONLY = bytes.fromhex(
    "840000001400020001000000e11b00000a0a0000c9c30000000000000000000000000000000000000000000000000000"
    "000000000000000000000000a604000000000000000000000000000080000000000000003f0018000500080000000000"
    "05000b000100000008000f00000000000c00150001000000000000000600160012000000"
)
DUAL = bytes.fromhex(
    "840000001400020001000000e11b00000a0a0000b2c10000000000000000000000000000000000000000000000000000"
    "000000000000000000000000a7040000000000000000000000000000800000000000000041001800050008000000"
    "000005000b000000000008000f00000000000c00150001000000000000000600160012000000"
)
DONE = bytes.fromhex("140000000300020001000000e11b000000000000")

PROC_TCP6 = b"""\
  sl  local_address                         remote_address                        st tx_queue
   0: 00000000000000000000000000000000:C9C3 00000000000000000000000000000000:0000 0A \
00000000:00000000 00:00000000 00000000   105        0 1572927 1 00000000db55c12b 100 0 0 10 0
   2: 00000000000000000000000001000000:AF23 00000000000000000000000001000000:C2A6 06 \
00000000:00000000 03:000012E5 00000000     0        0 0 3 00000000c1fcf2a6
"""
PROC_UDP = b"""\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
  630: 0100007F:C120 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 \
1570647 2 0000000020e6cfeb 0
 1797: 0100007F:C5AF 0100007F:C120 01 00000000:00000000 00:00000000 00000000  1000        0 \
1571967 2 00000000f94a0beb 0
"""


def refusal(number: int) -> bytes:
    return struct.pack("=IHHIIi", 20, 2, 0, 1, 0, -number)


def test_the_kernel_tells_a_listener_with_its_address_port_inode_and_user() -> None:
    assert parse_dump([TCP4, DONE], "tcp4") == [
        Row("tcp4", "127.0.0.1", 37343, False, LISTEN, 1572926, False, 0)
    ]


def test_the_kernel_tells_which_socket_of_any_address_serves_ipv4_too() -> None:
    rows = parse_dump([V6ONLY + DUAL, DONE], "tcp6")
    assert [(row.address, row.port, row.v6only) for row in rows] == [
        ("::", 51651, True),
        ("::", 45761, False),
    ]


def test_an_answer_of_many_messages_ends_where_the_kernel_says() -> None:
    assert len(parse_dump([TCP4 * 3, TCP4 * 2 + DONE, b"never read"], "tcp4")) == 5


def test_a_refusal_is_told_with_the_kernels_number() -> None:
    with pytest.raises(OSError) as caught:
        parse_dump([refusal(errno.ENOENT)], "udp4")
    assert caught.value.errno == errno.ENOENT


def test_an_acknowledgement_is_no_refusal() -> None:
    assert parse_dump([refusal(0), DONE], "udp4") == []


@pytest.mark.parametrize(
    "datagrams",
    [
        [],
        [b""],
        [TCP4],
        [TCP4[:-1]],
        [TCP4[:10]],
        [b"\x08" + TCP4[1:]],
        [struct.pack("=IHHII", 20, 20, 0, 1, 0) + b"1234", DONE],
        [V6ONLY, DONE],
    ],
    ids=["nothing", "empty", "no end", "cut", "half a header", "too short", "no socket", "IPv6"],
)
def test_a_broken_answer_is_refused(datagrams: list[bytes]) -> None:
    with pytest.raises(BrokenTable):
        parse_dump(datagrams, "tcp4")


def test_a_broken_attribute_is_refused() -> None:
    attributes = 16 + 72
    broken = V6ONLY[:attributes] + b"\xff\xff" + V6ONLY[attributes + 2 :]
    with pytest.raises(BrokenTable):
        parse_dump([broken, DONE], "tcp6")


def is_whole(row: Row) -> bool:
    return 0 <= row.port <= 0xFFFF and row.inode >= 0 and row.uid >= 0 and bool(row.address)


@given(st.lists(st.binary(max_size=200), max_size=4), st.sampled_from(KINDS))
def test_any_answer_is_rows_or_a_refusal(datagrams: list[bytes], kind: Kind) -> None:
    try:
        rows = parse_dump(datagrams, kind)
    except (BrokenTable, OSError):
        return
    assert all(map(is_whole, rows))


@given(st.integers(0, len(V6ONLY + DUAL + DONE) - 1), st.integers(0, 255))
def test_one_wrong_byte_is_rows_or_a_refusal(position: int, byte: int) -> None:
    data = bytearray(V6ONLY + DUAL + DONE)
    data[position] = byte
    try:
        rows = parse_dump([bytes(data)], "tcp6")
    except (BrokenTable, OSError):
        return
    assert all(map(is_whole, rows))


def test_proc_tells_the_same_but_not_whether_ipv4_is_served() -> None:
    assert parse_proc(PROC_TCP6, "tcp6") == [
        Row("tcp6", "::", 51651, False, LISTEN, 1572927, None, 105),
        Row("tcp6", "::1", 44835, True, TIME_WAIT, 0, None, 0),
    ]


def test_proc_tells_which_udp_socket_has_a_peer() -> None:
    assert parse_proc(PROC_UDP, "udp4") == [
        Row("udp4", "127.0.0.1", 49440, False, CLOSE, 1570647, False, 0),
        Row("udp4", "127.0.0.1", 50607, True, ESTABLISHED, 1571967, False, 1000),
    ]


@pytest.mark.parametrize("content", [b"", b"heading only\n"])
def test_a_table_without_sockets_is_empty(content: bytes) -> None:
    assert parse_proc(content, "tcp4") == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (b"0100007F:C120 0", b"-100007F:C120 0"),
        (b":C120", b":1C120"),
        (b"0100007F:C120", b"0100007F0100007F:C120"),
        (b" 07 ", b" FF "),
        (b"1570647", b"-1"),
        (b"1570647 2 0000000020e6cfeb 0", b""),
        (b"0100007F", b"\xff\xfe\xfd\xfc\xff\xfe\xfd\xfc"),
    ],
)
def test_a_broken_line_is_refused(old: bytes, new: bytes) -> None:
    assert old in PROC_UDP
    with pytest.raises(BrokenTable):
        parse_proc(PROC_UDP.replace(old, new), "udp4")


@given(st.binary(max_size=400), st.sampled_from(KINDS))
def test_any_content_is_rows_or_a_broken_table(content: bytes, kind: Kind) -> None:
    try:
        rows = parse_proc(b"heading\n" + content, kind)
    except BrokenTable:
        return
    assert all(map(is_whole, rows))


@given(st.integers(0, len(PROC_TCP6) - 1), st.integers(0, 255))
def test_one_wrong_letter_is_rows_or_a_broken_table(position: int, byte: int) -> None:
    content = bytearray(PROC_TCP6)
    content[position] = byte
    try:
        rows = parse_proc(bytes(content), "tcp6")
    except BrokenTable:
        return
    assert all(map(is_whole, rows))


@pytest.fixture
def without_netlink(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Netlink is refused, as in a sandbox; the directory that is read in its stead."""
    monkeypatch.setattr(sock_diag, "_NETLINK_SOCK_DIAG", 1 << 20)
    monkeypatch.setattr(sock_diag, "_PROC_NET", tmp_path)
    return tmp_path


def test_where_netlink_is_refused_proc_is_read(without_netlink: Path) -> None:
    without_netlink.joinpath("tcp6").write_bytes(PROC_TCP6)
    assert [row.port for row in sock_diag.rows(["tcp6"], 1 << LISTEN)] == [51651]
    assert sock_diag.rows(["tcp6"], 1 << LISTEN, port=1) == []


def test_a_kernel_without_ipv6_has_no_such_sockets(without_netlink: Path) -> None:
    without_netlink.joinpath("udp").write_bytes(PROC_UDP)
    assert len(sock_diag.rows(["udp4", "udp6"])) == 2


def test_where_nothing_can_be_read_that_is_an_error_and_not_nobody(without_netlink: Path) -> None:
    with pytest.raises(CannotSeeSockets, match="No such file"):
        sock_diag.rows(["tcp4"])
