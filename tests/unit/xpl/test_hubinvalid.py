"""The log of datagrams that are no messages: useful, and no way to fill a disk."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from domogik.xpl.hub.invalid import FILE_BYTES, InvalidLog

SENDER = ("10.9.8.7", 3865)


class Desk:
    def __init__(self, path: Path) -> None:
        self.clock = Clock()
        self.path = path
        self.log = InvalidLog(self.clock, path, lambda: 1_700_000_000.25)

    @property
    def lines(self) -> list[str]:
        return self.path.read_text(encoding="ascii").splitlines()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    return Desk(tmp_path / "invalid.log")


def test_a_line_says_when_who_and_what_with_line_feeds_escaped(desk: Desk) -> None:
    desk.log.record(b"xpl-stat\n{\n\x00\xe9\\", SENDER, "it is cut off")
    desk.clock.advance(1)
    assert desk.lines == [
        r"2023-11-14T22:13:20.250+00:00 10.9.8.7:3865 it is cut off: xpl-stat\n{\n\x00\xe9\\"
    ]


def test_a_reason_cannot_forge_a_line(desk: Desk) -> None:
    desk.log.record(b"x", SENDER, "no\nsuch é")
    desk.clock.advance(1)
    assert len(desk.lines) == 1


def test_a_long_datagram_is_shortened_and_its_size_said(desk: Desk) -> None:
    desk.log.record(b"a" * 60_000, SENDER, "long")
    desk.clock.advance(1)
    assert desk.lines[0].endswith("aaa (60000 bytes)")
    assert len(desk.lines[0]) < 400


def test_a_flood_costs_a_hundred_lines_a_second_and_a_count(desk: Desk) -> None:
    for _ in range(5000):
        desk.log.record(b"x", SENDER, "junk")
    assert not desk.path.exists()
    desk.clock.advance(1)
    assert len(desk.lines) == 101
    assert desk.lines[-1] == "... and 4900 more"


def test_nothing_is_scheduled_when_nothing_waits(desk: Desk) -> None:
    desk.log.record(b"x", SENDER, "junk")
    desk.clock.advance(1)
    assert desk.clock.getDelayedCalls() == []


def test_two_files_are_the_most_there_ever_is(desk: Desk) -> None:
    for _ in range(120):
        for _ in range(100):
            desk.log.record(b"\xff" * 300, SENDER, "junk")
        desk.clock.advance(1)
    files = sorted(desk.path.parent.iterdir())
    assert [file.name for file in files] == ["invalid.log", "invalid.log.1"]
    assert all(file.stat().st_size <= FILE_BYTES for file in files)
    assert all(file.stat().st_mode & 0o777 == 0o600 for file in files)


def test_a_disk_that_refuses_is_said_and_survived(tmp_path: Path) -> None:
    desk = Desk(tmp_path / "missing" / "invalid.log")
    with capturedLogs() as events:
        desk.log.record(b"x", SENDER, "junk")
        desk.clock.advance(1)
    assert len(events) == 1
    desk.path.parent.mkdir()
    desk.log.record(b"y", SENDER, "junk")
    desk.clock.advance(1)
    assert len(desk.lines) == 1
