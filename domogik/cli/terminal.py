"""What does text look like on a terminal? Tables, colours, and nothing that moves the cursor."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final, TextIO

#: Control characters, lone surrogates, and what turns the direction of text round: all of it comes
#: from outside and could rewrite what the screen already says.
_UNSAFE = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")
#: of a program's log, tabs and colours are left as they are
_UNSAFE_IN_LOG = re.compile(
    "(\x1b\\[[0-9;]{0,32}m|\t)|[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]"
)

BOLD: Final = "1"
DIM: Final = "2"
RED: Final = "31"
GREEN: Final = "32"
YELLOW: Final = "33"
BLUE: Final = "34"
MAGENTA: Final = "35"

GAP = "  "


def wants_colours(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """On a terminal that can, unless `NO_COLOR` says no (no-color.org)."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


class Palette:
    """Paints, or leaves text as it is."""

    def __init__(self, coloured: bool) -> None:
        self._coloured = coloured

    def paint(self, text: str, colour: str) -> str:
        """`text` in a colour; as it is where there are none, or the colour is empty."""
        return f"\x1b[{colour}m{text}\x1b[0m" if self._coloured and colour and text else text


def printable(text: str) -> str:
    """One line without anything that a terminal would obey: `\\x1b` and the like are spelled."""
    return text if text.isascii() and text.isprintable() else _UNSAFE.sub(_spelled, text)


def printable_log(line: str) -> str:
    """A line of a log: its colours and tabs stay, and colours end with the line."""
    if line.isascii() and line.isprintable():
        return line
    safe = _UNSAFE_IN_LOG.sub(lambda match: match[1] or _spelled(match), line)
    return f"{safe}\x1b[0m" if "\x1b" in safe else safe


def _spelled(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode("ascii")


def width(text: str) -> int:
    """In columns: wide characters take two, those that combine none."""
    if text.isascii():
        return len(text)
    columns = 0
    for character in text:
        if unicodedata.combining(character) or unicodedata.category(character) in (
            "Mn",
            "Me",
            "Cf",
        ):
            continue
        columns += 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
    return columns


class Cell:
    """Text and its colour."""

    __slots__ = ("colour", "text")

    def __init__(self, text: object, colour: str = "") -> None:
        self.text = printable(str(text))
        self.colour = colour


def table(titles: Sequence[str], rows: Sequence[Sequence[Cell]], palette: Palette) -> str:
    """Left-aligned columns; every line ends in LF and none has blanks at its end."""
    lines = [[Cell(title, BOLD) for title in titles], *rows]
    widths = [max(width(line[column].text) for line in lines) for column in range(len(titles))]
    return "".join(f"{_line(line, widths, palette)}\n" for line in lines)


def _line(cells: Sequence[Cell], widths: Sequence[int], palette: Palette) -> str:
    while cells and not cells[-1].text:
        cells = cells[:-1]
    parts = []
    for place, cell in enumerate(cells):
        last = place == len(cells) - 1
        blanks = "" if last else " " * (widths[place] - width(cell.text))
        parts.append(palette.paint(cell.text, cell.colour) + blanks)
    return GAP.join(parts)


def now() -> datetime:
    """In UTC."""
    return datetime.now(UTC)


def since(text: str | None, now: datetime) -> str:
    """How long ago a time of `/api/v1` was; `-` for none."""
    if text is None:
        return "-"
    try:
        return age((now - datetime.fromisoformat(text)).total_seconds())
    except (ValueError, TypeError):
        return "-"


def age(seconds: float) -> str:
    """A span for people: `12 s`, `3 min`, `5 h`, `6 d`. What lies ahead is `0 s`."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(0, int(seconds))} s"
