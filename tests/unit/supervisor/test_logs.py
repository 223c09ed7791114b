"""What becomes of a component's output?"""

from __future__ import annotations

import gzip
import os
import resource
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.python.failure import Failure

from domogik.supervisor.logs.lines import LineSplitter
from domogik.supervisor.logs.output import CannotCapture, OutputLog
from domogik.supervisor.logs.rotation import LINE_LIMIT, RotatingFile


class Threads:
    """A pool whose work is done when `work` is called."""

    def __init__(self) -> None:
        self.waiting: list[Callable[[], None]] = []

    def callInThreadWithCallback(
        self,
        tell: Callable[[bool, object], None],
        call: Callable[..., object],
        *args: Any,
        **kw: Any,
    ) -> None:
        def work() -> None:
            try:
                result = call(*args, **kw)
            except Exception:
                tell(False, Failure())
            else:
                tell(True, result)

        self.waiting.append(work)

    def work(self) -> None:
        while self.waiting:
            self.waiting.pop(0)()


class Reactor(Clock):
    """Time, readers and threads by hand."""

    def __init__(self) -> None:
        super().__init__()
        self.readers: list[Any] = []
        self.threads = Threads()

    def addReader(self, reader: Any) -> None:
        self.readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        if reader in self.readers:
            self.readers.remove(reader)

    def getThreadPool(self) -> Threads:
        return self.threads

    def callFromThread(self, call: Callable[..., object], *args: Any, **kw: Any) -> None:
        call(*args, **kw)

    def settle(self) -> None:
        """Let compression come to its end."""
        self.advance(10)
        self.threads.work()

    def turn(self) -> None:
        for reader in tuple(self.readers):
            reader.doRead()


def result_of(deferred: Deferred[list[str]]) -> list[str]:
    found: list[list[str]] = []
    deferred.addCallback(found.append)
    assert found, "has not fired"
    return found[0]


@attrs.define
class AllHosts:
    """A log in a directory of its own, with a child's end of it."""

    directory: Path
    reactor: Reactor = attrs.field(factory=Reactor)
    reasons: list[str] = attrs.field(factory=list)
    made: list[OutputLog] = attrs.field(factory=list)

    def log(self, *, max_size: int = 1000, files: int = 3, file: Path | None = None) -> OutputLog:
        log = OutputLog(
            self.reactor,  # type: ignore[arg-type]
            self.directory / "x.fifo",
            file or self.directory / "x.log",
            max_size=max_size,
            files=files,
            on_error=self.reasons.append,
        )
        log.open()
        self.made.append(log)
        return log

    def say(self, log: OutputLog, data: bytes) -> None:
        writer = log.writer()
        os.write(writer, data)
        os.close(writer)
        self.reactor.turn()

    def file(self, name: str = "x.log") -> Path:
        return self.directory / name

    def pieces(self) -> bytes:
        """All that is kept, oldest first."""
        data = b""
        for number in range(99, 0, -1):
            plain = self.file(f"x.log.{number}")
            packed = self.file(f"x.log.{number}.gz")
            assert not (plain.exists() and packed.exists())
            if plain.exists():
                data += plain.read_bytes()
            elif packed.exists():
                data += gzip.decompress(packed.read_bytes())
        return data + self.file().read_bytes()

    def tail(self, log: OutputLog, lines: int) -> list[str]:
        answer = log.tail(lines)
        self.reactor.threads.work()
        return result_of(answer)


@pytest.fixture
def all_hosts(tmp_path: Path) -> Iterator[AllHosts]:
    all_hosts = AllHosts(tmp_path)
    yield all_hosts
    for log in all_hosts.made:
        log.close()
    all_hosts.reactor.threads.work()


def numbered(begin: int, end: int) -> bytes:
    return b"".join(b"line %06d\n" % number for number in range(begin, end))


def test_output_lands_in_the_file(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    all_hosts.say(log, b"one\ntwo\nhal")
    all_hosts.say(log, b"f\n")
    assert all_hosts.file().read_bytes() == b"one\ntwo\nhalf\n"


def test_files_are_private(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    all_hosts.say(log, numbered(0, 300))
    all_hosts.reactor.settle()
    for name in ("x.fifo", "x.log", "x.log.1.gz"):
        assert stat.S_IMODE(all_hosts.file(name).stat().st_mode) == 0o600, name


def test_a_fifo_open_to_others_is_closed_to_them(all_hosts: AllHosts) -> None:
    os.mkfifo(all_hosts.file("x.fifo"))
    all_hosts.file("x.fifo").chmod(0o666)
    all_hosts.log()
    assert stat.S_IMODE(all_hosts.file("x.fifo").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "directory"])
def test_what_is_no_fifo_is_not_taken_for_one(all_hosts: AllHosts, kind: str) -> None:
    path = all_hosts.file("x.fifo")
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(all_hosts.file("elsewhere"))
        path.symlink_to("elsewhere" if kind == "link" else "nowhere")
    with pytest.raises(CannotCapture, match="FIFO"):
        all_hosts.log()


def test_the_child_writes_without_haste_and_into_the_fifo_we_read(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    all_hosts.file("x.fifo").rename(all_hosts.file("moved"))
    all_hosts.file("x.fifo").write_text("a trap")
    writer = log.writer()
    assert os.get_blocking(writer)
    assert not os.get_inheritable(writer)
    os.write(writer, b"hello\n")
    os.close(writer)
    all_hosts.reactor.turn()
    assert all_hosts.file().read_bytes() == b"hello\n"


def test_pieces_end_at_the_end_of_a_line_and_nothing_is_lost(all_hosts: AllHosts) -> None:
    log = all_hosts.log(files=50)
    for begin in range(0, 1000, 7):
        all_hosts.say(log, numbered(begin, min(begin + 7, 1000)))
    all_hosts.reactor.settle()
    assert all_hosts.pieces() == numbered(0, 1000)
    for piece in all_hosts.directory.glob("x.log.*.gz"):
        data = gzip.decompress(piece.read_bytes())
        assert data.endswith(b"\n")
        assert len(data) <= 1000


def test_the_oldest_pieces_go(all_hosts: AllHosts) -> None:
    log = all_hosts.log(files=3)
    all_hosts.say(log, numbered(0, 2000))
    all_hosts.reactor.settle()
    names = {path.name for path in all_hosts.directory.iterdir()}
    assert names == {"x.fifo", "x.log", "x.log.1.gz", "x.log.2.gz", "x.log.3.gz"}
    kept = all_hosts.pieces()
    assert numbered(0, 2000).endswith(kept)
    assert len(kept) > 3000


def test_no_older_piece_is_kept_if_none_is_wanted(all_hosts: AllHosts) -> None:
    log = all_hosts.log(files=0)
    all_hosts.say(log, numbered(0, 2000))
    all_hosts.reactor.settle()
    assert {path.name for path in all_hosts.directory.iterdir()} == {"x.fifo", "x.log"}
    assert all_hosts.file().stat().st_size <= 1000


def test_a_line_without_end_does_not_fill_the_disk(all_hosts: AllHosts) -> None:
    log = all_hosts.log(files=2)
    for _ in range(40):
        all_hosts.say(log, b"x" * 60_000)
    all_hosts.reactor.settle()
    for piece in all_hosts.directory.glob("x.log.*.gz"):
        assert len(gzip.decompress(piece.read_bytes())) <= 1000 + LINE_LIMIT
    assert all_hosts.file().stat().st_size <= 1000 + LINE_LIMIT


def test_while_output_floods_pieces_wait_uncompressed_and_bounded(all_hosts: AllHosts) -> None:
    log = all_hosts.log(files=3)
    all_hosts.say(log, numbered(0, 200))
    all_hosts.reactor.advance(10)
    assert len(all_hosts.reactor.threads.waiting) == 1  # and it takes its time
    for begin in range(200, 2000, 50):
        all_hosts.say(log, numbered(begin, begin + 50))
        all_hosts.reactor.advance(10)
    assert len(all_hosts.reactor.threads.waiting) == 1
    assert len(list(all_hosts.directory.iterdir())) <= 1 + 1 + 3 + 1
    all_hosts.reactor.settle()
    all_hosts.reactor.settle()
    assert numbered(0, 2000).endswith(all_hosts.pieces())
    assert {path.name for path in all_hosts.directory.glob("x.log.*")} == {
        "x.log.1.gz",
        "x.log.2.gz",
        "x.log.3.gz",
    }


def test_a_crash_in_the_middle_of_a_rotation_is_repaired(all_hosts: AllHosts) -> None:
    all_hosts.file("x.log").write_bytes(numbered(80, 90))
    all_hosts.file("x.log.2").write_bytes(numbered(60, 80))
    all_hosts.file("x.log.3.gz").write_bytes(gzip.compress(numbered(40, 60)))
    all_hosts.file("x.log.3").write_bytes(numbered(40, 60))
    all_hosts.file("x.log.gz.tmp").write_bytes(b"half")
    log = all_hosts.log(files=5)
    all_hosts.reactor.settle()
    all_hosts.say(log, numbered(90, 95))
    assert all_hosts.pieces() == numbered(40, 95)
    assert {path.name for path in all_hosts.directory.iterdir()} == {
        "x.fifo",
        "x.log",
        "x.log.1.gz",
        "x.log.2.gz",
    }


def test_a_log_that_somebody_removed_is_begun_again(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    all_hosts.say(log, b"one\n")
    all_hosts.file().unlink()
    all_hosts.say(log, b"two\n")
    assert all_hosts.file().read_bytes() == b"two\n"


def test_smaller_limits_hold_from_the_next_rotation(all_hosts: AllHosts) -> None:
    log = all_hosts.log(files=5)
    all_hosts.say(log, numbered(0, 500))
    log.limit(100, 1)
    all_hosts.say(log, numbered(500, 600))
    all_hosts.reactor.settle()
    assert len(list(all_hosts.directory.glob("x.log.*"))) == 1
    assert numbered(0, 600).endswith(all_hosts.pieces())


def test_nothing_stirs_while_a_child_is_quiet(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    all_hosts.say(log, b"hello\n")
    all_hosts.reactor.turn()
    assert not all_hosts.reactor.getDelayedCalls()
    assert all_hosts.file().read_bytes() == b"hello\n"


def test_one_turn_takes_a_bounded_bite(all_hosts: AllHosts) -> None:
    log = all_hosts.log(max_size=2**30)
    writer = os.open(all_hosts.file("x.fifo"), os.O_RDWR | os.O_NONBLOCK)
    written = 0
    for _ in range(40):
        while True:
            try:
                written += os.write(writer, b"x" * 4095 + b"\n")
            except BlockingIOError:
                break
        before = all_hosts.file().stat().st_size
        all_hosts.reactor.turn()
        assert 0 < all_hosts.file().stat().st_size - before <= 2**20
    os.close(writer)
    log.drain()
    assert all_hosts.file().stat().st_size == written


def test_the_last_words_of_a_child_are_taken(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    heard: list[str] = []
    log.follow(heard.append)
    writer = log.writer()
    os.write(writer, b"so long\nand tha")
    os.close(writer)
    log.drain()
    assert all_hosts.file().read_bytes() == b"so long\nand tha"
    assert heard == ["so long", "and tha"]


def test_a_log_ends_in_a_drain_and_leaves_the_fifo(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    writer = log.writer()
    os.write(writer, b"one\n")
    log.close()
    os.write(writer, b"two\n")  # a child that goes on
    all_hosts.say(all_hosts.log(), b"three\n")
    os.close(writer)
    assert all_hosts.file().read_bytes() == b"one\ntwo\nthree\n"


# A disk that is full


def test_a_full_disk_is_told_once_and_costs_the_child_nothing(all_hosts: AllHosts) -> None:
    log = all_hosts.log(file=Path("/dev/full"))
    for _ in range(3):
        all_hosts.say(log, b"x" * 99 + b"\n")
    assert log.lost_bytes == 300
    assert all_hosts.reasons == ["output cannot be written to /dev/full: No space left on device"]


def test_when_there_is_room_again_the_log_says_what_is_missing(all_hosts: AllHosts) -> None:
    log = all_hosts.log(max_size=10**6)
    all_hosts.say(log, b"before\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        all_hosts.say(log, numbered(0, 200))
        all_hosts.say(log, b"lost too\nand the begin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    all_hosts.say(log, b"ning\nafter\n")
    all_hosts.say(log, b"and on\n")
    text = all_hosts.file().read_bytes()
    kept, _, rest = text.partition(b"[")
    assert (b"before\n" + numbered(0, 200)).startswith(kept.rstrip(b"\n"))
    marker, _, after = rest.partition(b"\n")
    said = b"before\n" + numbered(0, 200) + b"lost too\nand the beginning\nafter\nand on\n"
    assert log.lost_bytes == len(said) - 1000 - len(b"after\nand on\n")
    assert marker == b"%d bytes of output are missing here: File too large]" % log.lost_bytes
    assert after == b"after\nand on\n"
    assert len(all_hosts.reasons) == 2
    assert all_hosts.reasons[0].endswith("File too large")
    assert all_hosts.reasons[1] == ""


def test_a_log_directory_that_comes_late_is_used_when_it_comes(all_hosts: AllHosts) -> None:
    log = all_hosts.log(file=all_hosts.directory / "later" / "x.log")
    assert len(all_hosts.reasons) == 1
    all_hosts.say(log, b"one\n")
    (all_hosts.directory / "later").mkdir()
    all_hosts.say(log, b"two\nthree\n")
    text = log.file.read_bytes()
    assert text == b"[8 bytes of output are missing here: No such file or directory]\nthree\n"
    assert all_hosts.reasons[1:] == [""]


# Reading it


def test_the_last_lines_are_found_across_pieces(all_hosts: AllHosts) -> None:
    log = all_hosts.log(files=20)
    all_hosts.say(log, numbered(0, 500))
    all_hosts.reactor.settle()
    all_hosts.say(log, numbered(500, 503))
    wanted = numbered(0, 503).decode().splitlines()
    for count in (1, 3, 4, 90, 91, 400, 503, 10_000):
        assert all_hosts.tail(log, count) == wanted[-count:], count
    assert all_hosts.tail(log, 0) == []


def test_the_tail_of_nothing_is_empty(all_hosts: AllHosts) -> None:
    log = OutputLog(
        all_hosts.reactor,  # type: ignore[arg-type]
        all_hosts.file("x.fifo"),
        all_hosts.file("x.log"),
        max_size=1000,
        files=3,
    )
    assert all_hosts.tail(log, 10) == []


def test_the_tail_of_many_blocks(all_hosts: AllHosts) -> None:
    all_hosts.file().write_bytes(b"".join(b"%d %s\n" % (n, b"x" * (n % 3000)) for n in range(500)))
    log = all_hosts.log(max_size=10**9)
    wanted = all_hosts.file().read_text().splitlines()
    for count in (1, 2, 100, 499, 500, 501):
        assert all_hosts.tail(log, count) == wanted[-count:]


def test_bytes_that_are_no_text_are_shown_as_such(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    all_hosts.say(log, b"caf\xc3\xa9 \xff\r\nunfinished")
    assert all_hosts.tail(log, 5) == ["café \ufffd", "unfinished"]


def test_a_damaged_piece_does_not_hide_the_others(all_hosts: AllHosts) -> None:
    all_hosts.file("x.log").write_bytes(b"new\n")
    all_hosts.file("x.log.1.gz").write_bytes(gzip.compress(b"old\n" * 1000)[:-9])
    all_hosts.file("x.log.2.gz").write_bytes(b"nonsense")
    assert all_hosts.tail(all_hosts.log(), 2)[-1] == "new"


def test_a_follower_gets_whole_lines_from_now_on(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    heard: list[str] = []
    all_hosts.say(log, b"before\nbegun ")
    unfollow = log.follow(heard.append)
    all_hosts.say(log, b"ended\none\ntw")
    assert heard == ["one"]
    all_hosts.say(log, b"o\nthree\n")
    assert heard == ["one", "two", "three"]
    unfollow()
    all_hosts.say(log, b"four\n")
    assert heard == ["one", "two", "three"]
    unfollow()


def test_a_follower_may_leave_while_it_hears(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    heard: list[str] = []

    def leave(line: str) -> None:
        heard.append(line)
        unfollow()

    unfollow = log.follow(leave)
    log.follow(heard.append)
    all_hosts.say(log, b"one\ntwo\n")
    assert heard == ["one", "one", "two"]


@given(st.lists(st.binary(max_size=40).map(lambda data: data.replace(b"x", b"\n"))))
def test_lines_do_not_depend_on_how_bytes_arrive(parts: list[bytes]) -> None:
    splitter = LineSplitter()
    lines = [line for part in parts for line in splitter.feed(part)] + splitter.flush()
    whole = LineSplitter()
    assert lines == whole.feed(b"".join(parts)) + whole.flush()


def test_an_endless_line_comes_in_pieces() -> None:
    splitter = LineSplitter()
    lines = [line for _ in range(10) for line in splitter.feed(b"x" * 50_000)]
    lines += splitter.flush()
    assert "".join(lines) == "x" * 500_000
    assert max(map(len, lines)) <= LINE_LIMIT


@settings(max_examples=30)
@given(
    parts=st.lists(
        st.binary(min_size=1, max_size=100).map(lambda d: d.replace(b"a", b"\n")), max_size=20
    ),
    max_size=st.integers(30, 300),
)
def test_whatever_is_written_is_kept_in_order(
    tmp_path_factory: pytest.TempPathFactory, parts: list[bytes], max_size: int
) -> None:
    all_hosts = AllHosts(tmp_path_factory.mktemp("log"))
    rotating = RotatingFile(all_hosts.reactor, all_hosts.file(), max_size, 100)  # type: ignore[arg-type]
    rotating.open()
    for part in parts:
        rotating.write(part)
        all_hosts.reactor.advance(0.5)
        all_hosts.reactor.threads.work()
    all_hosts.reactor.settle()
    rotating.close()
    found = b""
    for number in range(len(list(all_hosts.directory.iterdir())), 0, -1):
        plain, packed = all_hosts.file(f"x.log.{number}"), all_hosts.file(f"x.log.{number}.gz")
        found += plain.read_bytes() if plain.exists() else b""
        found += gzip.decompress(packed.read_bytes()) if packed.exists() else b""
    assert found + all_hosts.file().read_bytes() == b"".join(parts)


def test_the_last_line_of_a_child_is_known_before_anybody_read_it(all_hosts: AllHosts) -> None:
    log = all_hosts.log()
    assert log.last_line() == ""
    writer = log.writer()
    os.write(writer, b"Traceback:\n  File x\nValueError: redis://me:secret@there\n\n")
    os.close(writer)
    assert log.last_line() == "ValueError: redis://***@there"
    writer = log.writer()
    fatal = (
        b"Fatal Python error: init_import_site: Failed to import the site module\n"
        b"Python runtime state: initialized\nMemoryError: \n\n"
        b"Current thread 0x00007f8e (most recent call first):\n  <no Python frame>\n"
    )
    os.write(writer, fatal)
    os.close(writer)
    assert log.last_line() == "MemoryError:"
    os.close(log.writer())
    assert log.last_line() == ""
