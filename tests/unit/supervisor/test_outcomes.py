"""How a process ended, in words that help."""

from __future__ import annotations

from pathlib import Path

import pytest

from domogik.supervisor.interfaces import Exit, Program
from domogik.supervisor.outcomes import ending, last_line, span

PROGRAM = Program(("x",), {}, Path("/"))
LIMITED = Program(("x",), {}, Path("/"), memory_max=1, memory_max_words="10M (domogik.cfg:77)")


@pytest.mark.parametrize(
    ("output", "line"),
    [
        (b"", ""),
        (b"\n \n", ""),
        (b"one\ntwo\n\n", "two"),
        (b"2026-01-31 12:00:00 error builtins.ValueError: no\n", "ValueError: no"),
        (b"\x1b[2Jgone\xff", "[2Jgone\ufffd"),
        (b"x" * 900, "x" * 200),
    ],
)
def test_the_last_line_that_says_something(output: bytes, line: str) -> None:
    assert last_line(output) == line


@pytest.mark.parametrize(
    ("exit", "line", "words"),
    [
        (Exit(code=1), "", "exit status 1"),
        (Exit(code=1), "ValueError", "ValueError (exit status 1)"),
        (Exit(code=0), "all done", "exit status 0"),
        (Exit(signal=9), "all well", "killed by SIGKILL"),
        (Exit(signal=6), "Aborted", "Aborted (killed by SIGABRT)"),
        (Exit(), "all well", "ended; its status could not be read"),
    ],
)
def test_who_failed_by_itself_says_why(exit: Exit, line: str, words: str) -> None:
    assert ending(exit, line, PROGRAM, was_ready=True) == words
    assert ending(exit, line, PROGRAM, was_ready=False) == f"ended before it was ready: {words}"


def test_a_limit_of_memory_that_is_too_small_is_named_with_its_place() -> None:
    line = "Fatal Python error: init_importlib_external"
    assert ending(Exit(code=1), line, LIMITED, was_ready=False) == (
        "ended before it was ready: its memory_max of 10M (domogik.cfg:77) may be too small: "
        "Fatal Python error: init_importlib_external (exit status 1)"
    )
    assert "memory_max" not in ending(Exit(code=1), "ValueError", LIMITED, was_ready=True)
    assert "memory_max" not in ending(Exit(code=1), line, PROGRAM, was_ready=True)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.83, "0.8 s"), (8.4, "8 s"), (60, "1 minute"), (600, "10 minutes"), (7200, "2 hours")],
)
def test_a_span_as_people_say_it(seconds: float, words: str) -> None:
    assert span(seconds) == words
