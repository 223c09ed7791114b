"""The log of a plugin, as its manager keeps it."""

from __future__ import annotations

from io import StringIO

from twisted.logger import Logger, LogLevel

from domogik.plugin.log import LineObserver

TIME = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d"


def lines_of(level: LogLevel, text: str) -> list[str]:
    out = StringIO()
    Logger(namespace="test", observer=LineObserver(out)).emit(level, "{text}", text=text)
    return out.getvalue().splitlines()


def test_an_event_is_a_line_with_time_and_level() -> None:
    (line,) = lines_of(LogLevel.warn, "it rains")
    assert line[19:] == " warn it rains"


def test_what_follows_the_first_line_is_indented() -> None:
    assert lines_of(LogLevel.info, "one\ntwo\r\nthree")[1:] == ["    two", "    three"]


def test_text_from_the_network_cannot_move_the_cursor_of_a_reader() -> None:
    (line,) = lines_of(LogLevel.info, "\x1b[2J\x07 \udcff bell")
    assert line.endswith(r" info \x1b[2J\x07 \udcff bell")


def test_an_empty_event_is_still_a_line() -> None:
    assert len(lines_of(LogLevel.info, "")) == 1


def test_what_twisted_says_of_its_own_end_is_not_the_last_word_of_a_plugin() -> None:
    out = StringIO()
    lines = LineObserver(out)
    lines({"log_time": 0.0, "log_format": "Main loop terminated."})
    assert out.getvalue() == ""
