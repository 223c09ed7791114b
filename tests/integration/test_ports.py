"""Real ports: chosen, reserved, given back, and never given to two."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import IO

import pytest

from domogik.errors import DomogikError
from domogik.supervisor.ports.listeners import InvalidAddress
from domogik.supervisor.ports.reservation import (
    RANGE,
    CannotReserve,
    NoFreePort,
    PortTable,
    PortTaken,
    Reservation,
    UnsafeDirectory,
    default_directory,
)

pytestmark = pytest.mark.integration
LOOPBACK = "127.0.0.1"


# A table of a test's own excludes nobody else's: it is only asked for ports that the test has from
# the table that everybody uses.


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "ports"


@pytest.fixture
def table(directory: Path) -> PortTable:
    return PortTable(directory, Random())


@pytest.fixture
def port() -> Iterator[int]:
    """Nobody else has it: it is reserved in the table that everybody uses."""
    reservation = PortTable(default_directory(), Random()).reserve("0.0.0.0")
    yield reservation.port
    reservation.release()


def me() -> str:
    return f"{Path('/proc/self/comm').read_text().strip()} (process {os.getpid()})"


def test_a_free_port_is_given_out_and_can_be_bound() -> None:
    reservation = PortTable(default_directory(), Random()).reserve(LOOPBACK)
    assert reservation.port in RANGE
    socket.create_server((LOOPBACK, reservation.port)).close()
    reservation.release()


def test_a_reserved_port_is_refused_with_the_name_of_who_has_it(
    table: PortTable, directory: Path, port: int
) -> None:
    first = table.reserve(LOOPBACK, port)
    for other in (table, PortTable(directory, Random())):
        with pytest.raises(PortTaken) as caught:
            other.reserve(LOOPBACK, port)
        assert str(caught.value) == f"port {port} is reserved by {me()}"
    first.release()
    first.release()
    second = table.reserve(LOOPBACK, port)
    first.release()  # long given back: not the second's
    with pytest.raises(PortTaken):
        table.reserve(LOOPBACK, port)
    second.release()


def test_a_port_on_which_somebody_listens_is_refused_with_his_name(
    table: PortTable, port: int
) -> None:
    with socket.create_server(("0.0.0.0", port)):
        with pytest.raises(PortTaken) as caught:
            table.reserve(LOOPBACK, port)
        assert caught.value.held == f"held by {me()}"
    table.reserve(LOOPBACK, port).release()


def test_a_port_that_somebody_connects_from_is_refused_with_his_name(
    table: PortTable, port: int
) -> None:
    with socket.create_server((LOOPBACK, 0)) as server, socket.socket() as client:
        client.bind((LOOPBACK, port))
        client.connect(server.getsockname())
        with pytest.raises(PortTaken) as caught:
            table.reserve("0.0.0.0", port)
        assert caught.value.held == f"held by {me()}, which does not listen there"


def test_a_port_with_nothing_but_a_finished_connection_is_free_for_a_server(
    table: PortTable, port: int
) -> None:
    with socket.create_server((LOOPBACK, port)) as server:
        client = socket.create_connection(server.getsockname())
        accepted, _ = server.accept()
        accepted.close()  # the first to close is the one that waits, TIME_WAIT
        assert client.recv(1) == b""
        client.close()
    table.reserve(LOOPBACK, port).release()


def test_only_free_ports_are_chosen_and_when_none_is_left_that_is_told(
    directory: Path, port: int
) -> None:
    table = PortTable(directory, Random(), range(port, port + 1))
    reservation = table.reserve(LOOPBACK)
    assert reservation.port == port
    with pytest.raises(NoFreePort, match=f"from {port} to {port} are taken"):
        table.reserve(LOOPBACK)
    reservation.release()
    with socket.create_server((LOOPBACK, port)), pytest.raises(NoFreePort):
        table.reserve(LOOPBACK)
    table.reserve(LOOPBACK).release()


@pytest.mark.parametrize("wanted", [0, -1, 65536, 10**9])
def test_what_is_no_port_is_refused(table: PortTable, wanted: int) -> None:
    with pytest.raises(CannotReserve, match="is no port"):
        table.reserve(LOOPBACK, wanted)


@pytest.mark.parametrize("address", ["localhost", "", "127.1", "fe80::1%no-such", "../../x"])
def test_what_is_no_address_is_refused(table: PortTable, address: str) -> None:
    with pytest.raises(InvalidAddress):
        table.reserve(address)


def test_an_address_of_another_host_is_refused_with_the_kernels_words(table: PortTable) -> None:
    with pytest.raises(CannotReserve, match=r"of 192\.0\.2\.1: Cannot assign requested address"):
        table.reserve("192.0.2.1")


def test_ipv6_has_ports_or_says_why_not(table: PortTable, port: int) -> None:
    try:
        with socket.socket(socket.AF_INET6) as test:
            test.bind(("::1", 0))
    except OSError:
        with pytest.raises(CannotReserve):
            table.reserve("::1", port)
        return
    reservation = table.reserve("::1", port)
    with socket.create_server(("::1", port), family=socket.AF_INET6):
        reservation.release()
        for address in ("::1", "::"):
            with pytest.raises(PortTaken):
                table.reserve(address, port)


def test_the_directory_is_private_and_of_one_user() -> None:
    assert default_directory().name == f"domogik-ports-{os.geteuid()}"


def test_a_directory_that_is_missing_is_made_private(
    table: PortTable, directory: Path, port: int
) -> None:
    reservation = table.reserve(LOOPBACK, port)
    assert directory.stat().st_mode & 0o777 == 0o700
    assert (directory / str(port)).stat().st_mode & 0o777 == 0o600
    reservation.release()


def by_a_link(directory: Path) -> None:
    elsewhere = directory.with_name("elsewhere")
    elsewhere.mkdir(0o700)
    directory.symlink_to(elsewhere)


def by_a_file(directory: Path) -> None:
    directory.touch()


def by_an_open_directory(directory: Path) -> None:
    directory.mkdir()
    directory.chmod(0o777)


@pytest.mark.parametrize("spoil", [by_a_link, by_a_file, by_an_open_directory])
def test_an_unsafe_directory_is_refused(
    table: PortTable, directory: Path, spoil: Callable[[Path], None]
) -> None:
    spoil(directory)
    with pytest.raises(UnsafeDirectory, match="remove it"):
        table.reserve(LOOPBACK)
    assert directory.is_file() or not list(directory.iterdir())


VICTIM = "what nobody may change"


@pytest.mark.parametrize(
    "spoil",
    [
        lambda file, victim: file.symlink_to(victim),
        lambda file, victim: file.hardlink_to(victim),
        lambda file, victim: file.mkdir(),
        lambda file, victim: os.mkfifo(file),
    ],
    ids=["symbolic link", "hard link", "directory", "pipe"],
)
def test_what_is_no_file_of_the_table_is_left_alone(
    table: PortTable, directory: Path, port: int, spoil: Callable[[Path, Path], None]
) -> None:
    victim = directory.with_name("victim")
    victim.write_text(VICTIM)
    directory.mkdir(0o700)
    spoil(directory / str(port), victim)
    with pytest.raises(UnsafeDirectory):
        table.reserve(LOOPBACK, port)
    assert victim.read_text() == VICTIM


def test_a_file_that_was_left_behind_means_nothing(
    table: PortTable, directory: Path, port: int
) -> None:
    directory.mkdir(0o700)
    (directory / str(port)).write_text("somebody long gone, with a long name (process 99999)" * 9)
    reservation = table.reserve(LOOPBACK, port)
    with pytest.raises(PortTaken) as caught:
        table.reserve(LOOPBACK, port)
    assert caught.value.held == f"reserved by {me()}"
    reservation.release()


def test_every_error_is_one_of_ours() -> None:
    assert issubclass(CannotReserve, DomogikError)
    assert all(issubclass(one, CannotReserve) for one in (PortTaken, NoFreePort, UnsafeDirectory))


RESERVING = """
import sys
from pathlib import Path
from random import Random
from domogik.supervisor.ports.reservation import PortTable
table = PortTable(Path(sys.argv[1]), Random(7))  # the same ports in the same order in each program
wanted = [int(word) or None for word in sys.argv[2:]]
print("ready", flush=True)
sys.stdin.readline()
kept = [table.reserve("127.0.0.1", port) for port in wanted]
print(*(one.port for one in kept), flush=True)
sys.stdin.read()
"""


@contextlib.contextmanager
def reserving(directory: Path, *wanted: int) -> Iterator[subprocess.Popen[str]]:
    """Another program that waits for a line, reserves these (0 for any), says which, and waits."""
    child = subprocess.Popen(
        [sys.executable, "-c", RESERVING, str(directory), *map(str, wanted)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with child:
        try:
            assert _pipe(child.stdout).readline() == "ready\n"
            yield child
        finally:
            child.kill()


def _pipe(pipe: IO[str] | None) -> IO[str]:
    assert pipe is not None
    return pipe


def go(*children: subprocess.Popen[str]) -> list[list[int]]:
    for child in children:
        _pipe(child.stdin).write("\n")
        _pipe(child.stdin).flush()
    return [[int(word) for word in _pipe(child.stdout).readline().split()] for child in children]


def test_two_programs_that_reserve_at_the_same_time_never_get_the_same_port() -> None:
    directory = default_directory()
    with reserving(directory, *[0] * 100) as one, reserving(directory, *[0] * 100) as other:
        mine, theirs = go(one, other)
    assert len(set(mine)) == len(set(theirs)) == 100
    assert not set(mine) & set(theirs)


def test_a_program_that_is_killed_leaves_its_ports_to_others(
    table: PortTable, directory: Path, port: int
) -> None:
    with reserving(directory, port) as child:
        assert go(child) == [[port]]
        with pytest.raises(PortTaken, match=rf"reserved by \S+ \(process {child.pid}\)"):
            table.reserve(LOOPBACK, port)
    table.reserve(LOOPBACK, port).release()


def test_nothing_is_left_of_reservations_that_were_released_or_whose_program_was_killed(
    table: PortTable, directory: Path, port: int
) -> None:
    with reserving(directory, port, 0, 0) as child:
        go(child)
        assert len(list(directory.iterdir())) == 3
    one, other = table.reserve(LOOPBACK), table.reserve(LOOPBACK)
    assert sorted(directory.iterdir()) == sorted(directory / str(it.port) for it in (one, other))
    one.release()
    other.release()
    assert not directory.exists()


HURRYING = """
import sys
from pathlib import Path
from random import Random
from domogik.supervisor.ports.reservation import PortTable
table = PortTable(Path(sys.argv[1]), Random(7), range(20000, 20003))
print("ready", flush=True)
sys.stdin.readline()
seen = Path(sys.argv[1]).with_name("held")
for turn in range(300):
    held = table.reserve("127.0.0.1")
    mine = seen / str(held.port)
    mine.mkdir()  # fails where the other program holds it as well
    mine.rmdir()
    held.release()
print("done", flush=True)
"""


def test_programs_that_release_while_others_reserve_never_share_a_port(tmp_path: Path) -> None:
    (tmp_path / "held").mkdir()
    children = [
        subprocess.Popen(
            [sys.executable, "-c", HURRYING, str(tmp_path / "ports")],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for child in children:
        assert _pipe(child.stdout).readline() == "ready\n"
    for child in children:
        _pipe(child.stdin).write("\n")
        _pipe(child.stdin).flush()
    assert [child.communicate()[0] for child in children] == ["done\n"] * 2
    assert not (tmp_path / "ports").exists()


def test_a_server_that_is_started_does_not_keep_the_reservation(
    table: PortTable, port: int
) -> None:
    reservation = table.reserve(LOOPBACK, port)
    server = subprocess.Popen(
        [sys.executable, "-c", "print(flush=True); input()"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        close_fds=False,
    )
    with server:
        assert server.stdout is not None
        assert server.stdout.readline() == b"\n"
        reservation.release()
        again: Reservation = table.reserve(LOOPBACK, port)
        server.kill()
    again.release()
