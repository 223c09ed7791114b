"""How other computers are asked and woken."""

import socket
import struct

import pytest
from domogik_packages.xpl.lib.ping import (
    address_of,
    answers_tcp,
    checksum,
    connects,
    echo_request,
    mac_address,
    wake,
)


def listener(kind: socket.SocketKind) -> socket.socket:
    server = socket.socket(socket.AF_INET, kind)
    server.bind(("127.0.0.1", 0))
    if kind == socket.SOCK_STREAM:
        server.listen()
    return server


def test_an_echo_request_carries_its_own_checksum() -> None:
    message = echo_request(1, b"sixteen bytes of")
    assert struct.unpack("!BB", message[:2]) == (8, 0)
    assert checksum(message) == 0


def test_an_open_port_connects_and_a_closed_one_does_not() -> None:
    server = listener(socket.SOCK_STREAM)
    port = server.getsockname()[1]
    assert connects("127.0.0.1", port, 5)
    server.close()
    assert not connects("127.0.0.1", port, 5)


def test_a_computer_that_refuses_is_on_all_the_same() -> None:
    assert answers_tcp("127.0.0.1", 5)


@pytest.mark.parametrize("name", ["", "no such name", "x" * 300])
def test_what_has_no_address_has_none(name: str) -> None:
    assert address_of(name) in (None, "0.0.0.0")


@pytest.mark.parametrize("text", ["00:11:22:AA:bb:cc", "00-11-22-aa-bb-cc", " 001122aabbcc "])
def test_a_mac_address_may_be_written_as_people_do(text: str) -> None:
    assert mac_address(text) == bytes.fromhex("001122aabbcc")


@pytest.mark.parametrize("text", ["", "00:11:22:aa:bb", "00:11-22:aa:bb:cc", "00:11:22:aa:bb:gg"])
def test_what_is_no_mac_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="MAC address"):
        mac_address(text)


def test_the_magic_packet_is_six_ones_and_sixteen_times_the_address() -> None:
    sleeper = listener(socket.SOCK_DGRAM)
    sleeper.settimeout(10)
    mac = bytes.fromhex("001122aabbcc")
    wake(mac, *sleeper.getsockname())
    assert sleeper.recv(200) == b"\xff" * 6 + mac * 16
    sleeper.close()
