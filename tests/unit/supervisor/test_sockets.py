"""What a listener serves, what it stands in the way of, and how its owner is named."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.supervisor.ports.listeners import InvalidAddress, Listener, Owner, Reach, owners, words
from domogik.supervisor.ports.sock_diag import Kind
from domogik.supervisor.processes.identity import ProcessIdentity, current_boot

LINE = "%d (%s) S 1 7 7 0 -1 4194304 120 0 0 0 5 6 0 0 20 0 1 0 %d 5000 600 1 1 1 0 0\n"


def listener(kind: Kind, address: str, v6only: bool | None = False) -> Listener:
    return Listener(kind=kind, address=address, port=1234, inode=99, v6only=v6only, uid=105)


@pytest.mark.parametrize(
    ("one", "kind", "served"),
    [
        (listener("tcp4", "0.0.0.0"), "tcp", True),
        (listener("tcp4", "0.0.0.0"), "tcp4", True),
        (listener("tcp4", "0.0.0.0"), "tcp6", False),
        (listener("tcp4", "0.0.0.0"), "udp4", False),
        (listener("tcp6", "::1"), "tcp", True),
        (listener("tcp6", "::1"), "tcp4", False),
        (listener("tcp6", "::1"), "tcp6", True),
        (listener("tcp6", "::"), "tcp4", True),
        (listener("tcp6", "::"), "tcp6", True),
        (listener("tcp6", "::", v6only=True), "tcp", True),
        (listener("tcp6", "::", v6only=True), "tcp4", False),
        (listener("tcp6", "::", v6only=True), "tcp6", True),
        (listener("tcp6", "::", v6only=None), "tcp4", True),
        (listener("tcp6", "::ffff:127.0.0.1"), "tcp4", True),
        (listener("tcp6", "::ffff:127.0.0.1"), "tcp6", False),
        (listener("udp6", "::"), "udp4", True),
        (listener("udp6", "::", v6only=True), "udp4", False),
        (listener("udp6", "::1"), "udp4", False),
        (listener("udp4", "127.0.0.1"), "udp", True),
        (listener("udp4", "127.0.0.1"), "tcp", False),
    ],
)
def test_what_a_listener_serves(one: Listener, kind: str, served: bool) -> None:
    assert one.serves(kind) is served


@pytest.mark.parametrize(
    ("one", "address", "served"),
    [
        (listener("tcp4", "0.0.0.0"), "127.0.0.1", True),
        (listener("tcp4", "0.0.0.0"), "0.0.0.0", True),
        (listener("tcp4", "0.0.0.0"), "::1", False),
        (listener("tcp4", "127.0.0.1"), "127.0.0.2", False),
        (listener("tcp4", "127.0.0.1"), "0.0.0.0", False),
        (listener("tcp6", "::"), "127.0.0.1", True),
        (listener("tcp6", "::"), "::1", True),
        (listener("tcp6", "::", v6only=True), "127.0.0.1", False),
        (listener("tcp6", "::", v6only=True), "0:0:0:0:0:0:0:1", True),
        (listener("tcp6", "fe80::1"), "fe80::1%eth0", True),
    ],
)
def test_which_addresses_a_listener_serves(one: Listener, address: str, served: bool) -> None:
    assert one.serves("tcp", address) is served


@pytest.mark.parametrize("text", ["", "localhost", "*", "127.1", "1.2.3.4:80", "[::1]", "::1 "])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidAddress):
        listener("tcp4", "0.0.0.0").serves("tcp", text)


REACHES = st.builds(
    lambda address, v6only: Reach.of(str(address), v6only=v6only),
    st.one_of(st.ip_addresses(), st.sampled_from(["::", "0.0.0.0", "::1", "::ffff:1.2.3.4"])),
    st.booleans(),
)


@given(REACHES, REACHES)
def test_who_is_in_the_way_of_another_has_the_other_in_its_way(one: Reach, other: Reach) -> None:
    assert one.meets(other) == other.meets(one)


@given(REACHES, REACHES)
def test_who_gets_all_that_is_sent_to_an_address_is_in_its_way(one: Reach, other: Reach) -> None:
    assert one.meets(one)
    assert one.includes(one)
    assert one.meets(other) or not one.includes(other)


def test_an_owner_is_named_with_its_number() -> None:
    owner = Owner(1234, "redis-server", None)
    assert words(owner, listener("tcp4", "::")) == "held by redis-server (process 1234)"


def test_an_owner_that_may_not_be_seen_is_told_by_its_user() -> None:
    assert (
        words(None, listener("tcp4", "::")) == "held by a process that may not be seen (user 105)"
    )


def process(
    proc: Path, pid: int, name: str, started: int, inodes: list[int], line: str = LINE
) -> None:
    """One in a directory that looks like /proc."""
    directory = proc / str(pid)
    (directory / "fd").mkdir(parents=True)
    content = line % (pid, name, started) if "%" in line else line
    (directory / "stat").write_text(content, encoding="utf-8", errors="surrogateescape")
    for number, inode in enumerate(inodes):
        (directory / "fd" / str(number)).symlink_to(f"socket:[{inode}]")


def test_a_socket_may_have_several_owners_and_the_oldest_comes_first(tmp_path: Path) -> None:
    process(tmp_path, 10, "nginx", 500, [7, 8, 7])
    process(tmp_path, 20, "nginx", 400, [3, 7])
    process(tmp_path, 30, "nginx", 600, [7])
    (tmp_path / "40").mkdir()  # one whose descriptors are not shown
    (tmp_path / "self").symlink_to("10")
    (tmp_path / "20" / "fd" / "9").symlink_to("/dev/null")
    found = owners([7, 8, 9, 0], proc=str(tmp_path))
    assert {inode: [owner.pid for owner in them] for inode, them in found.items()} == {
        7: [20, 10, 30],
        8: [10],
        9: [],
        0: [],
    }
    assert found[8] == (Owner(10, "nginx", ProcessIdentity(10, 500, current_boot())),)


def test_owners_may_be_looked_for_among_some_processes_only(tmp_path: Path) -> None:
    process(tmp_path, 10, "nginx", 500, [7])
    process(tmp_path, 20, "nginx", 400, [7])
    found = owners([7], [10, 10, 99], proc=str(tmp_path))
    assert [owner.pid for owner in found[7]] == [10]


def test_a_process_that_calls_itself_something_odd_writes_nothing_odd(tmp_path: Path) -> None:
    process(tmp_path, 10, "a) \x1b[31m\n(b\udcff", 500, [7])
    (owner,) = owners([7], proc=str(tmp_path))[7]
    assert owner.name == "a) ?[31m?(b\ufffd"
    assert owner.identity == ProcessIdentity(10, 500, current_boot())


def test_an_owner_of_whom_the_kernel_says_nothing_has_no_identity(tmp_path: Path) -> None:
    process(tmp_path, 10, "", 0, [7], line="nonsense")
    process(tmp_path, 20, "x", 1, [7])
    assert [
        (owner.pid, owner.identity is None) for owner in owners([7], proc=str(tmp_path))[7]
    ] == [
        (20, False),
        (10, True),
    ]
