"""What the commands of a terminal promise to eyes and to pipes."""

from __future__ import annotations

import io

import pytest

from domogik.cli.terminal import (
    GREEN,
    Cell,
    Palette,
    age,
    printable,
    printable_log,
    table,
    wants_colours,
    width,
)

PLAIN = Palette(False)
COLOURED = Palette(True)


class Screen(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_table_has_columns_under_their_titles_and_no_blanks_at_its_ends() -> None:
    rows = [[Cell("plugin:a"), Cell("alive"), Cell("")], [Cell("b"), Cell("failed"), Cell("why")]]
    assert table(["COMPONENT", "STATE", "REASON"], rows, PLAIN) == (
        "COMPONENT  STATE   REASON\nplugin:a   alive\nb          failed  why\n"
    )


def test_colours_do_not_move_columns() -> None:
    rows = [[Cell("a", GREEN), Cell("x")], [Cell("bbb"), Cell("y")]]
    first, second = table(["N", "V"], rows, COLOURED).splitlines()[1:]
    assert first == "\x1b[32ma\x1b[0m    x"
    assert second == "bbb  y"


def test_wide_and_combining_characters_take_their_own_width() -> None:
    assert width("abc") == 3
    assert width("台所") == 4
    assert width("e\u0301") == 1
    lines = table(["N", "V"], [[Cell("台所"), Cell("x")], [Cell("Küche"), Cell("y")]], PLAIN)
    assert lines.splitlines()[1:] == ["台所   x", "Küche  y"]


@pytest.mark.parametrize(
    ("hostile", "shown"),
    [
        ("\x1b[2J\x1b[Hgone", r"\x1b[2J\x1b[Hgone"),
        ("two\nlines", r"two\nlines"),
        ("\x9b31m", r"\x9b31m"),
        ("a\u202eb", r"a\u202eb"),
        ("caf\udce9", r"caf\udce9"),
        ("Küche 台所", "Küche 台所"),
    ],
)
def test_nothing_from_outside_moves_the_cursor(hostile: str, shown: str) -> None:
    assert printable(hostile) == shown
    assert Cell(hostile).text == shown


def test_a_log_keeps_its_own_colours_and_tabs_and_nothing_else() -> None:
    assert printable_log("a\tb") == "a\tb"
    assert printable_log("\x1b[31mred") == "\x1b[31mred\x1b[0m"
    assert printable_log("\x1b]0;title\x07") == r"\x1b]0;title\x07"
    assert printable_log("over\rwritten") == r"over\rwritten"


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (-5, "0 s"),
        (0.4, "0 s"),
        (59.9, "59 s"),
        (60, "1 min"),
        (3599, "59 min"),
        (3600, "1 h"),
        (86399, "23 h"),
        (86400 * 400, "400 d"),
    ],
)
def test_how_long_ago_is_said_in_one_unit(seconds: float, words: str) -> None:
    assert age(seconds) == words


def test_colours_are_for_terminals_that_want_them() -> None:
    assert wants_colours(Screen(), {"TERM": "xterm"})
    assert not wants_colours(io.StringIO(), {"TERM": "xterm"})
    assert not wants_colours(Screen(), {"TERM": "dumb"})
    assert not wants_colours(Screen(), {"NO_COLOR": "1"})
    assert wants_colours(Screen(), {"NO_COLOR": ""})


TITLES = ["COMPONENT", "RESULT", "DESCRIPTION", "WHAT TO DO"]
LONG = [
    Cell("plugin:demo"),
    Cell("failed"),
    Cell("demo ended 3 times in 10 minutes, is tried again every 15 minutes: ValueError: nothere"),
    Cell("See what it wrote: dmg_ctl logs demo; Start it (dmg_ctl repair 3f2a91c07e)"),
]


def test_a_table_that_is_too_wide_tells_the_long_parts_below_and_breaks_no_word():
    text = table(TITLES, [LONG], Palette(False, 80), prose=2)
    assert text == (
        "COMPONENT    RESULT\n"
        "plugin:demo  failed\n"
        "    demo ended 3 times in 10 minutes, is tried again every 15 minutes:\n"
        "    ValueError: nothere\n"
        "    See what it wrote: dmg_ctl logs demo; Start it (dmg_ctl repair 3f2a91c07e)\n"
    )
    assert max(map(len, text.splitlines())) <= 80


def test_a_table_that_fits_is_one_and_so_is_what_a_program_reads():
    short = [Cell("a"), Cell("b"), Cell("c"), Cell("d")]
    assert len(table(TITLES, [short], Palette(False, 80), prose=2).splitlines()) == 2
    assert len(table(TITLES, [LONG], Palette(False), prose=2).splitlines()) == 2


def test_where_not_even_the_short_columns_fit_each_row_is_a_paragraph():
    row = [Cell("plugin:" + "x" * 40), Cell("not-responding"), Cell("it is ill"), Cell("")]
    assert table(TITLES, [row], Palette(False, 50), prose=2) == (
        "plugin:" + "x" * 40 + "\n    result not-responding\n    it is ill\n"
    )
