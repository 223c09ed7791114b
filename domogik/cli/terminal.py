"""What does text look like on a terminal? Tables, colours, and nothing that moves the cursor."""

from __future__ import annotations

import re
import textwrap
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
_INDENT = "    "


def wants_colours(stream: TextIO, environment: Mapping[str, str]) -> bool:
    """On a terminal that can, unless `NO_COLOR` says no (no-color.org)."""
    return stream.isatty() and not environment.get("NO_COLOR") and environment.get("TERM") != "dumb"


class Palette:
    """Paints, or leaves text as it is; `columns` there are, None where nothing is broken."""

    def __init__(self, coloured: bool, columns: int | None = None) -> None:
        self._coloured = coloured
        self.columns = columns

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


def table(
    titles: Sequence[str], rows: Sequence[Sequence[Cell]], palette: Palette, prose: int = 1
) -> str:
    """Left-aligned columns; every line ends in LF and none has blanks at its end.

    Where they do not fit the terminal, what the last `prose` of them hold stands below each line,
    and where the rest does not fit either, each row is a paragraph. No word is broken.
    """
    head = [Cell(title, BOLD) for title in titles]
    whole = _aligned([head, *rows], palette)
    if palette.columns is None or _fits(titles, rows, palette.columns):
        return "".join(f"{line}\n" for line in whole)
    short = len(titles) - prose
    cut = [line[:short] for line in rows]
    if _fits(titles[:short], cut, palette.columns):
        first, *lines = _aligned([head[:short], *cut], palette)
    else:
        first, lines = "", [_paragraph(titles, line, palette) for line in cut]
    text = f"{first}\n" if first else ""
    for line, row in zip(lines, rows, strict=True):
        below = "".join(_below(cell, palette) for cell in row[short:])
        text += f"{line}\n{below}"
    return text


def _fits(titles: Sequence[str], rows: Sequence[Sequence[Cell]], columns: int) -> bool:
    lines = [[Cell(title) for title in titles], *rows]
    widths = [max(width(line[place].text) for line in lines) for place in range(len(titles))]
    return sum(widths) + len(GAP) * (len(widths) - 1) <= columns


def _aligned(lines: Sequence[Sequence[Cell]], palette: Palette) -> list[str]:
    widths = [max(width(line[place].text) for line in lines) for place in range(len(lines[0]))]
    return [_line(line, widths, palette) for line in lines]


def _paragraph(titles: Sequence[str], row: Sequence[Cell], palette: Palette) -> str:
    """Its name, and below it the rest with the titles."""
    rest = zip(titles[1:], row[1:], strict=False)
    words = ", ".join(f"{title.lower()} {cell.text}" for title, cell in rest if cell.text)
    return f"{row[0].text}\n{_below(Cell(words), palette)}".removesuffix("\n")


def _below(cell: Cell, palette: Palette) -> str:
    """The text of a cell in lines of its own; nothing for nothing."""
    lines = textwrap.wrap(
        cell.text,
        palette.columns or 80,
        initial_indent=_INDENT,
        subsequent_indent=_INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "".join(
        f"{_INDENT}{palette.paint(line.removeprefix(_INDENT), cell.colour)}\n" for line in lines
    )


def _line(cells: Sequence[Cell], widths: Sequence[int], palette: Palette) -> str:
    while cells and not cells[-1].text:
        cells = cells[:-1]
    parts = []
    for place, cell in enumerate(cells):
        last = place == len(cells) - 1
        blanks = "" if last else " " * (widths[place] - width(cell.text))
        parts.append(palette.paint(cell.text, cell.colour) + blanks)
    return GAP.join(parts)


def size(size_bytes: float) -> str:
    """As people say it: `512M`, `3.4G`."""
    if size_bytes >= 10**9:
        return f"{size_bytes / 10**9:.1f}G"
    return f"{size_bytes / 10**6:.0f}M"


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
