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
class House:
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
def house(tmp_path: Path) -> Iterator[House]:
    house = House(tmp_path)
    yield house
    for log in house.made:
        log.close()
    house.reactor.threads.work()


def numbered(begin: int, end: int) -> bytes:
    return b"".join(b"line %06d\n" % number for number in range(begin, end))


def test_output_lands_in_the_file(house: House) -> None:
    log = house.log()
    house.say(log, b"one\ntwo\nhal")
    house.say(log, b"f\n")
    assert house.file().read_bytes() == b"one\ntwo\nhalf\n"


def test_files_are_private(house: House) -> None:
    log = house.log()
    house.say(log, numbered(0, 300))
    house.reactor.settle()
    for name in ("x.fifo", "x.log", "x.log.1.gz"):
        assert stat.S_IMODE(house.file(name).stat().st_mode) == 0o600, name


def test_a_fifo_open_to_others_is_closed_to_them(house: House) -> None:
    os.mkfifo(house.file("x.fifo"))
    house.file("x.fifo").chmod(0o666)
    house.log()
    assert stat.S_IMODE(house.file("x.fifo").stat().st_mode) == 0o600


@pytest.mark.parametrize("kind", ["file", "link", "dangling", "directory"])
def test_what_is_no_fifo_is_not_taken_for_one(house: House, kind: str) -> None:
    path = house.file("x.fifo")
    if kind == "file":
        path.write_text("mine")
    elif kind == "directory":
        path.mkdir()
    else:
        os.mkfifo(house.file("elsewhere"))
        path.symlink_to("elsewhere" if kind == "link" else "nowhere")
    with pytest.raises(CannotCapture, match="FIFO"):
        house.log()


def test_the_child_writes_without_haste_and_into_the_fifo_we_read(house: House) -> None:
    log = house.log()
    house.file("x.fifo").rename(house.file("moved"))
    house.file("x.fifo").write_text("a trap")
    writer = log.writer()
    assert os.get_blocking(writer)
    assert not os.get_inheritable(writer)
    os.write(writer, b"hello\n")
    os.close(writer)
    house.reactor.turn()
    assert house.file().read_bytes() == b"hello\n"


def test_pieces_end_at_the_end_of_a_line_and_nothing_is_lost(house: House) -> None:
    log = house.log(files=50)
    for begin in range(0, 1000, 7):
        house.say(log, numbered(begin, min(begin + 7, 1000)))
    house.reactor.settle()
    assert house.pieces() == numbered(0, 1000)
    for piece in house.directory.glob("x.log.*.gz"):
        data = gzip.decompress(piece.read_bytes())
        assert data.endswith(b"\n")
        assert len(data) <= 1000


def test_the_oldest_pieces_go(house: House) -> None:
    log = house.log(files=3)
    house.say(log, numbered(0, 2000))
    house.reactor.settle()
    names = {path.name for path in house.directory.iterdir()}
    assert names == {"x.fifo", "x.log", "x.log.1.gz", "x.log.2.gz", "x.log.3.gz"}
    kept = house.pieces()
    assert numbered(0, 2000).endswith(kept)
    assert len(kept) > 3000


def test_no_older_piece_is_kept_if_none_is_wanted(house: House) -> None:
    log = house.log(files=0)
    house.say(log, numbered(0, 2000))
    house.reactor.settle()
    assert {path.name for path in house.directory.iterdir()} == {"x.fifo", "x.log"}
    assert house.file().stat().st_size <= 1000


def test_a_line_without_end_does_not_fill_the_disk(house: House) -> None:
    log = house.log(files=2)
    for _ in range(40):
        house.say(log, b"x" * 60_000)
    house.reactor.settle()
    for piece in house.directory.glob("x.log.*.gz"):
        assert len(gzip.decompress(piece.read_bytes())) <= 1000 + LINE_LIMIT
    assert house.file().stat().st_size <= 1000 + LINE_LIMIT


def test_while_output_floods_pieces_wait_uncompressed_and_bounded(house: House) -> None:
    log = house.log(files=3)
    house.say(log, numbered(0, 200))
    house.reactor.advance(10)
    assert len(house.reactor.threads.waiting) == 1  # and it takes its time
    for begin in range(200, 2000, 50):
        house.say(log, numbered(begin, begin + 50))
        house.reactor.advance(10)
    assert len(house.reactor.threads.waiting) == 1
    assert len(list(house.directory.iterdir())) <= 1 + 1 + 3 + 1
    house.reactor.settle()
    house.reactor.settle()
    assert numbered(0, 2000).endswith(house.pieces())
    assert {path.name for path in house.directory.glob("x.log.*")} == {
        "x.log.1.gz",
        "x.log.2.gz",
        "x.log.3.gz",
    }


def test_a_crash_in_the_middle_of_a_rotation_is_repaired(house: House) -> None:
    house.file("x.log").write_bytes(numbered(80, 90))
    house.file("x.log.2").write_bytes(numbered(60, 80))
    house.file("x.log.3.gz").write_bytes(gzip.compress(numbered(40, 60)))
    house.file("x.log.3").write_bytes(numbered(40, 60))
    house.file("x.log.gz.tmp").write_bytes(b"half")
    log = house.log(files=5)
    house.reactor.settle()
    house.say(log, numbered(90, 95))
    assert house.pieces() == numbered(40, 95)
    assert {path.name for path in house.directory.iterdir()} == {
        "x.fifo",
        "x.log",
        "x.log.1.gz",
        "x.log.2.gz",
    }


def test_a_log_that_somebody_removed_is_begun_again(house: House) -> None:
    log = house.log()
    house.say(log, b"one\n")
    house.file().unlink()
    house.say(log, b"two\n")
    assert house.file().read_bytes() == b"two\n"


def test_smaller_limits_hold_from_the_next_rotation(house: House) -> None:
    log = house.log(files=5)
    house.say(log, numbered(0, 500))
    log.limit(100, 1)
    house.say(log, numbered(500, 600))
    house.reactor.settle()
    assert len(list(house.directory.glob("x.log.*"))) == 1
    assert numbered(0, 600).endswith(house.pieces())


def test_nothing_stirs_while_a_child_is_quiet(house: House) -> None:
    log = house.log()
    house.say(log, b"hello\n")
    house.reactor.turn()
    assert not house.reactor.getDelayedCalls()
    assert house.file().read_bytes() == b"hello\n"


def test_one_turn_takes_a_bounded_bite(house: House) -> None:
    log = house.log(max_size=2**30)
    writer = os.open(house.file("x.fifo"), os.O_RDWR | os.O_NONBLOCK)
    written = 0
    for _ in range(40):
        while True:
            try:
                written += os.write(writer, b"x" * 4095 + b"\n")
            except BlockingIOError:
                break
        before = house.file().stat().st_size
        house.reactor.turn()
        assert 0 < house.file().stat().st_size - before <= 2**20
    os.close(writer)
    log.drain()
    assert house.file().stat().st_size == written


def test_the_last_words_of_a_child_are_taken(house: House) -> None:
    log = house.log()
    heard: list[str] = []
    log.follow(heard.append)
    writer = log.writer()
    os.write(writer, b"so long\nand tha")
    os.close(writer)
    log.drain()
    assert house.file().read_bytes() == b"so long\nand tha"
    assert heard == ["so long", "and tha"]


def test_a_log_ends_in_a_drain_and_leaves_the_fifo(house: House) -> None:
    log = house.log()
    writer = log.writer()
    os.write(writer, b"one\n")
    log.close()
    os.write(writer, b"two\n")  # a child that goes on
    house.say(house.log(), b"three\n")
    os.close(writer)
    assert house.file().read_bytes() == b"one\ntwo\nthree\n"


# A disk that is full


def test_a_full_disk_is_told_once_and_costs_the_child_nothing(house: House) -> None:
    log = house.log(file=Path("/dev/full"))
    for _ in range(3):
        house.say(log, b"x" * 99 + b"\n")
    assert log.lost_bytes == 300
    assert house.reasons == ["output cannot be written to /dev/full: No space left on device"]


def test_when_there_is_room_again_the_log_says_what_is_missing(house: House) -> None:
    log = house.log(max_size=10**6)
    house.say(log, b"before\n")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        house.say(log, numbered(0, 200))
        house.say(log, b"lost too\nand the begin")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    house.say(log, b"ning\nafter\n")
    house.say(log, b"and on\n")
    text = house.file().read_bytes()
    kept, _, rest = text.partition(b"[")
    assert (b"before\n" + numbered(0, 200)).startswith(kept.rstrip(b"\n"))
    marker, _, after = rest.partition(b"\n")
    said = b"before\n" + numbered(0, 200) + b"lost too\nand the beginning\nafter\nand on\n"
    assert log.lost_bytes == len(said) - 1000 - len(b"after\nand on\n")
    assert marker == b"%d bytes of output are missing here: File too large]" % log.lost_bytes
    assert after == b"after\nand on\n"
    assert len(house.reasons) == 2
    assert house.reasons[0].endswith("File too large")
    assert house.reasons[1] == ""


def test_a_log_directory_that_comes_late_is_used_when_it_comes(house: House) -> None:
    log = house.log(file=house.directory / "later" / "x.log")
    assert len(house.reasons) == 1
    house.say(log, b"one\n")
    (house.directory / "later").mkdir()
    house.say(log, b"two\nthree\n")
    text = log.file.read_bytes()
    assert text == b"[8 bytes of output are missing here: No such file or directory]\nthree\n"
    assert house.reasons[1:] == [""]


# Reading it


def test_the_last_lines_are_found_across_pieces(house: House) -> None:
    log = house.log(files=20)
    house.say(log, numbered(0, 500))
    house.reactor.settle()
    house.say(log, numbered(500, 503))
    wanted = numbered(0, 503).decode().splitlines()
    for count in (1, 3, 4, 90, 91, 400, 503, 10_000):
        assert house.tail(log, count) == wanted[-count:], count
    assert house.tail(log, 0) == []


def test_the_tail_of_nothing_is_empty(house: House) -> None:
    log = OutputLog(
        house.reactor,  # type: ignore[arg-type]
        house.file("x.fifo"),
        house.file("x.log"),
        max_size=1000,
        files=3,
    )
    assert house.tail(log, 10) == []


def test_the_tail_of_many_blocks(house: House) -> None:
    house.file().write_bytes(b"".join(b"%d %s\n" % (n, b"x" * (n % 3000)) for n in range(500)))
    log = house.log(max_size=10**9)
    wanted = house.file().read_text().splitlines()
    for count in (1, 2, 100, 499, 500, 501):
        assert house.tail(log, count) == wanted[-count:]


def test_bytes_that_are_no_text_are_shown_as_such(house: House) -> None:
    log = house.log()
    house.say(log, b"caf\xc3\xa9 \xff\r\nunfinished")
    assert house.tail(log, 5) == ["café \ufffd", "unfinished"]


def test_a_damaged_piece_does_not_hide_the_others(house: House) -> None:
    house.file("x.log").write_bytes(b"new\n")
    house.file("x.log.1.gz").write_bytes(gzip.compress(b"old\n" * 1000)[:-9])
    house.file("x.log.2.gz").write_bytes(b"nonsense")
    assert house.tail(house.log(), 2)[-1] == "new"


def test_a_follower_gets_whole_lines_from_now_on(house: House) -> None:
    log = house.log()
    heard: list[str] = []
    house.say(log, b"before\nbegun ")
    unfollow = log.follow(heard.append)
    house.say(log, b"ended\none\ntw")
    assert heard == ["one"]
    house.say(log, b"o\nthree\n")
    assert heard == ["one", "two", "three"]
    unfollow()
    house.say(log, b"four\n")
    assert heard == ["one", "two", "three"]
    unfollow()


def test_a_follower_may_leave_while_it_hears(house: House) -> None:
    log = house.log()
    heard: list[str] = []

    def leave(line: str) -> None:
        heard.append(line)
        unfollow()

    unfollow = log.follow(leave)
    log.follow(heard.append)
    house.say(log, b"one\ntwo\n")
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
    house = House(tmp_path_factory.mktemp("log"))
    rotating = RotatingFile(house.reactor, house.file(), max_size, 100)  # type: ignore[arg-type]
    rotating.open()
    for part in parts:
        rotating.write(part)
        house.reactor.advance(0.5)
        house.reactor.threads.work()
    house.reactor.settle()
    rotating.close()
    found = b""
    for number in range(len(list(house.directory.iterdir())), 0, -1):
        plain, packed = house.file(f"x.log.{number}"), house.file(f"x.log.{number}.gz")
        found += plain.read_bytes() if plain.exists() else b""
        found += gzip.decompress(packed.read_bytes()) if packed.exists() else b""
    assert found + house.file().read_bytes() == b"".join(parts)


def test_the_last_line_of_a_child_is_known_before_anybody_read_it(house: House) -> None:
    log = house.log()
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
