"""Real sockets: who listens, whom they keep away, who has them."""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from domogik.supervisor.ports import sock_diag
from domogik.supervisor.ports.listeners import (
    Listener,
    described,
    holders,
    listeners,
    occupants,
    owners,
)
from domogik.supervisor.ports.reservation import PortTable, default_directory
from domogik.supervisor.processes.identity import ProcessIdentity

pytestmark = pytest.mark.integration


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6) as test:
            test.bind(("::1", 0))
    except OSError:
        return False
    return True


HAS_IPV6 = _has_ipv6()
V6ONLY = ":: only"  # `::` with IPV6_V6ONLY
IPV4 = ["127.0.0.1", "127.0.0.2", "0.0.0.0"]
IPV6 = ["::1", "::", V6ONLY, "::ffff:127.0.0.1"] if HAS_IPV6 else []


def need_ipv6() -> None:
    """End the test where this host has no IPv6: as a failure on CI, skipped elsewhere."""
    if HAS_IPV6:
        return
    if os.environ.get("CI") == "true":
        pytest.fail("this host has no IPv6")
    pytest.skip("this host has no IPv6")


def bound(address: str, port: int, kind: str = "tcp") -> socket.socket:
    """As servers make theirs."""
    tcp = kind == "tcp"
    sock = socket.socket(
        socket.AF_INET6 if ":" in address else socket.AF_INET,
        socket.SOCK_STREAM if tcp else socket.SOCK_DGRAM,
    )
    try:
        if tcp:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if sock.family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, address == V6ONLY)
        sock.bind((address.split()[0], port))
    except OSError:
        sock.close()
        raise
    return sock


def listening(address: str, port: int, kind: str = "tcp") -> socket.socket:
    sock = bound(address, port, kind)
    if kind == "tcp":
        sock.listen()
    return sock


def inode(sock: socket.socket) -> int:
    return os.fstat(sock.fileno()).st_ino


@pytest.fixture
def port() -> Iterator[int]:
    """Nobody else has it, at any address: what connects from somewhere never gets it."""
    table = PortTable(default_directory(), Random())
    reservation = table.reserve("::" if HAS_IPV6 else "0.0.0.0")
    yield reservation.port
    reservation.release()


@pytest.fixture(params=["netlink", "proc"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """The test is done twice: as usual, and where netlink is refused."""
    if request.param == "proc":
        monkeypatch.setattr(sock_diag, "_NETLINK_SOCK_DIAG", 1 << 20)
    name: str = request.param
    return name


def serves(port: int, kind: str) -> bool:
    return any(listener.serves(kind) for listener in listeners(port))


@pytest.mark.parametrize(
    ("address", "served"),
    [
        ("127.0.0.1", {"", "4"}),
        ("0.0.0.0", {"", "4"}),
        *([("::1", {"", "6"}), ("::", {"", "4", "6"})] if HAS_IPV6 else []),
    ],
)
@pytest.mark.parametrize("kind", ["tcp", "udp"])
@pytest.mark.usefixtures("way")
def test_which_kinds_a_listener_serves(
    port: int, address: str, served: set[str], kind: str
) -> None:
    with listening(address, port, kind) as sock:
        (found,) = listeners(port)
        assert (found.address, found.inode, found.uid) == (address, inode(sock), os.geteuid())
        other = "udp" if kind == "tcp" else "tcp"
        for version in ("", "4", "6"):
            assert serves(port, kind + version) == (version in served)
            assert not serves(port, other + version)
    assert listeners(port) == ()


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_a_socket_for_ipv6_only_does_not_serve_ipv4(port: int, kind: str) -> None:
    need_ipv6()
    with listening(V6ONLY, port, kind):
        (found,) = listeners(port)
        assert found.v6only is True
        assert not serves(port, f"{kind}4")
        assert serves(port, f"{kind}6")


@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_without_netlink_nobody_knows_and_ipv4_counts_as_served(
    port: int, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    need_ipv6()
    monkeypatch.setattr(sock_diag, "_NETLINK_SOCK_DIAG", 1 << 20)
    with listening(V6ONLY, port, kind):
        (found,) = listeners(port)
        assert found.v6only is None
        assert serves(port, f"{kind}4")


@pytest.mark.usefixtures("way")
def test_a_connection_is_no_listener(port: int) -> None:
    with (
        bound("127.0.0.1", port) as client,
        socket.create_server(("127.0.0.1", 0)) as server,
    ):
        client.connect(server.getsockname())
        assert listeners(port) == ()
        assert [one.inode for one in occupants("127.0.0.1", port)] == [inode(client)]
        assert occupants("127.0.0.2", port) == ()


@pytest.mark.usefixtures("way")
def test_a_udp_socket_with_a_peer_is_no_listener(port: int) -> None:
    with bound("127.0.0.1", port, "udp") as client:
        assert [one.inode for one in listeners(port)] == [inode(client)]
        assert occupants("127.0.0.1", port, "udp") == ()
        client.connect(("127.0.0.1", 9))
        assert listeners(port) == ()
        assert [one.inode for one in occupants("0.0.0.0", port, "udp")] == [inode(client)]


@pytest.mark.parametrize(("first", "second"), list(itertools.product(IPV4 + IPV6, repeat=2)))
@pytest.mark.parametrize("kind", ["tcp", "udp"])
def test_who_is_named_as_a_holder_is_who_the_kernel_finds_in_the_way(
    port: int, first: str, second: str, kind: str
) -> None:
    with listening(first, port, kind) as sock:
        found = holders(second.split()[0], port, kind, v6only=second == V6ONLY)
        try:
            bound(second, port, kind).close()
            refused = False
        except OSError as error:
            refused = error.errno == errno.EADDRINUSE
        assert [one.inode for one in found] == ([inode(sock)] if refused else [])


def test_everybody_is_in_one_list_and_in_order(port: int) -> None:
    with listening("127.0.0.1", port) as tcp, listening("127.0.0.1", port, "udp") as udp:
        ours = {inode(tcp), inode(udp)}
        every = listeners()
        assert [one.kind for one in every if one.inode in ours] == ["tcp4", "udp4"]
        kinds = [sock_diag.KINDS.index(one.kind) for one in every]
        assert kinds == sorted(kinds)
        with_numbers = {one for one in every if one.port == port}
        assert with_numbers == set(listeners(port))


HOLDER = """
import ctypes, socket, sys
server = socket.create_server(("127.0.0.1", int(sys.argv[1])))
if sys.argv[2] == "hidden":
    ctypes.CDLL(None).prctl(4, 0)  # PR_SET_DUMPABLE: /proc/PID/fd is root's alone
print("listening", flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def holder(port: int, manner: str = "open") -> Iterator[int]:
    """Another process that listens there; its number."""
    child = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(port), manner],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with child:
        assert child.stdout is not None
        try:
            assert child.stdout.readline() == b"listening\n"
            yield child.pid
        finally:
            child.kill()


def only(found: tuple[Listener, ...]) -> Listener:
    (one,) = found
    return one


def test_another_process_that_listens_is_named(port: int) -> None:
    with holder(port) as pid:
        found = only(holders("0.0.0.0", port))
        (owner,) = owners([found.inode])[found.inode]
        assert (owner.pid, owner.identity) == (pid, ProcessIdentity.of(pid))
        name = Path(f"/proc/{pid}/comm").read_text().strip()
        assert described([found]) == f"held by {name} (process {pid})"
        assert owners([found.inode], [os.getpid()]) == {found.inode: ()}
        assert owners([found.inode], [os.getpid(), pid]) == {found.inode: (owner,)}
    assert holders("0.0.0.0", port) == ()
    assert owners([found.inode]) == {found.inode: ()}


def test_a_socket_that_was_inherited_has_two_owners_and_the_elder_is_named(port: int) -> None:
    with listening("127.0.0.1", port) as sock:
        child = subprocess.Popen(
            [sys.executable, "-c", "print(flush=True); input()"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            pass_fds=[sock.fileno()],
        )
        with child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"\n"
            found = only(listeners(port))
            pids = [owner.pid for owner in owners([found.inode])[found.inode]]
            child.kill()
        assert pids == [os.getpid(), child.pid]


SEEN_BY_A_STRANGER = """
import os, sys
from domogik.supervisor.ports.listeners import described, listeners
if os.geteuid() == 0:
    os.seteuid(65534)
print(described(listeners(int(sys.argv[1]))))
"""


def test_an_owner_that_may_not_be_seen_is_told_by_its_user(port: int) -> None:
    with holder(port, "hidden"):
        seen = subprocess.run(
            [sys.executable, "-c", SEEN_BY_A_STRANGER, str(port)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        )
    assert seen.stdout == f"held by a process that may not be seen (user {os.geteuid()})\n"
