"""Which ports are chosen from, and in which order."""

from __future__ import annotations

from pathlib import Path
from random import Random

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.supervisor.ports.reservation import (
    PortTable,
    PortTaken,
    in_random_order,
    parse_ephemeral,
    parse_ranges,
)


@given(st.integers(1, 400), st.integers(0, 65000), st.randoms(use_true_random=False))
def test_every_port_has_its_turn_once(count: int, first: int, random: Random) -> None:
    ports = range(first, first + count)
    assert sorted(in_random_order(ports, random)) == list(ports)


@pytest.mark.parametrize(
    ("text", "ranges"),
    [
        ("\n", []),
        ("", []),
        ("8080\n", [range(8080, 8081)]),
        ("8080,9148,10000-10002\n", [range(8080, 8081), range(9148, 9149), range(10000, 10003)]),
        ("x,5-,-5,7", [range(5, 6), range(7, 8)]),
    ],
)
def test_reserved_ports_as_the_kernel_writes_them(text: str, ranges: list[range]) -> None:
    assert parse_ranges(text) == ranges


@pytest.mark.parametrize(
    ("text", "ephemeral"),
    [
        ("1024\t65535\n", range(1024, 65536)),
        ("32768 60999", range(32768, 61000)),
        ("", range(32768, 61000)),
        ("1 2 3", range(32768, 61000)),
        ("a b", range(32768, 61000)),
    ],
)
def test_ephemeral_ports_as_the_kernel_writes_them(text: str, ephemeral: range) -> None:
    assert parse_ephemeral(text) == ephemeral


@attrs.define
class Kernel:
    settings: Path

    def candidates(self, ephemeral: str, reserved: str) -> list[int]:
        """Of the ports 100 to 109."""
        (self.settings / "ip_local_port_range").write_text(ephemeral)
        (self.settings / "ip_local_reserved_ports").write_text(reserved)
        table = PortTable(self.settings / "table", Random(1), range(100, 110), self.settings)
        return sorted(table.candidates())


@pytest.fixture
def kernel(tmp_path: Path) -> Kernel:
    return Kernel(tmp_path)


def test_what_the_kernel_connects_from_and_what_it_has_reserved_is_not_chosen(
    kernel: Kernel,
) -> None:
    assert kernel.candidates("32768 60999", "\n") == list(range(100, 110))
    assert kernel.candidates("105 60999", "\n") == [100, 101, 102, 103, 104]
    assert kernel.candidates("105 60999", "1,99-101,104\n") == [102, 103]


def test_a_host_that_connects_from_every_port_has_servers_too(kernel: Kernel) -> None:
    assert kernel.candidates("1 65535", "100-107\n") == [108, 109]


def test_a_port_that_is_taken_names_its_holder() -> None:
    taken = PortTaken(6379, "held by redis-server (process 12)")
    assert str(taken) == "port 6379 is held by redis-server (process 12)"
    assert (taken.port, taken.held) == (6379, "held by redis-server (process 12)")
