"""The syntax of a line of a configuration file, for `load` and `edit`.

- `[section]` opens a section; a section may be opened again further down and is continued there;
- `key = value` is split at the first `=`; blanks around key and value do not count; keys are folded
  to lower case, section names are not;
- a line whose first non-blank is `#` or `;` is a comment; there are no comments after a value,
  because a password may contain either character;
- nothing is interpolated or quoted, and no value continues in the next line;
- UTF-8, with or without a byte order mark; lines end in LF or CRLF.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Callable, Iterator

import attrs

from domogik.errors import DomogikError

#: a larger configuration file is a mistake
MAXIMUM_BYTES = 1024 * 1024

_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class InvalidLine(DomogikError):
    """Line `line`, counted from 1, is not valid."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line = line


@attrs.frozen
class Header:
    """A line `[section]`."""

    line: int
    section: str


@attrs.frozen
class Assignment:
    """A line `key = value` in the section that was opened last."""

    line: int
    section: str
    key: str
    value: str


def _refuse(error: InvalidLine) -> None:
    raise error


def statements(
    content: bytes, on_invalid: Callable[[InvalidLine], None] = _refuse
) -> Iterator[Header | Assignment]:
    """Yield the statements of the file in their order; raise `InvalidLine` at the first invalid
    line.

    If `on_invalid` does not raise, the line is skipped, and after an invalid `[section]` all lines
    up to the next. `line` counts from 1.
    """
    section: str | None = None
    is_lost = False
    for number, raw in enumerate(split_lines(content), start=1):
        try:
            statement = _statement(raw, number, section)
        except InvalidLine as error:
            is_header = raw.lstrip().startswith(b"[")
            if is_header or section is not None or not is_lost:
                on_invalid(error)
            if is_header:
                section, is_lost = None, True
            continue
        if isinstance(statement, Header):
            section = statement.section
        if statement is not None:
            yield statement


def _statement(raw: bytes, number: int, section: str | None) -> Header | Assignment | None:
    text = _text(raw, number)
    if not text or text[0] in "#;":
        return None
    if text[0] == "[":
        return Header(number, _section(text, number))
    key, equals, value = text.partition("=")
    key = fold(key)
    if not equals or not key:
        raise InvalidLine(number, "expected [section] or key = value")
    if section is None:
        raise InvalidLine(number, f"'{key}' comes before the first [section]")
    return Assignment(number, section, key, value.strip())


def split_lines(content: bytes) -> list[bytes]:
    """Return the lines with their ends; only LF ends a line."""
    return re.findall(rb"[^\n]*\n|[^\n]+", content)


def fold(key: str) -> str:
    """Return the form of a key that is compared."""
    return key.strip().lower()


def has_control_characters(text: str) -> bool:
    """Return whether the text has control characters other than tabs."""
    return _CONTROL.search(text) is not None


def _text(raw: bytes, number: int) -> str:
    if number == 1:
        raw = raw.removeprefix(codecs.BOM_UTF8)
    try:
        text = raw.decode("utf-8").strip()
    except UnicodeDecodeError:
        raise InvalidLine(number, "not UTF-8") from None
    if has_control_characters(text):
        raise InvalidLine(number, "contains a control character")
    return text


def _section(text: str, number: int) -> str:
    name = text[1:-1].strip()
    if not text.endswith("]") or not name or "[" in name or "]" in name:
        raise InvalidLine(number, "expected [section], and nothing else on the line")
    return name
