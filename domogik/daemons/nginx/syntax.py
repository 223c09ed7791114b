"""The language of nginx's configuration: how a text is written in it, and what a text says.

As `ngx_conf_read_token` reads it: words are separated by white space, `;`, `{` and `}` end a
directive; a quote or `#` counts only where a word begins, a backslash keeps the next character from
meaning anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import attrs

_SPACES = " \t\r\n"
_ENDS = ";{}"
#: what a backslash makes of the next character; of any other it stays where it is
_ESCAPED = {'"': '"', "'": "'", "\\": "\\", "t": "\t", "r": "\r", "n": "\n"}


@attrs.frozen
class Directive:
    """One directive: its words, within which blocks it is, and where it ends in the text.

    `end` is behind its `;`, or behind the `{` of its block.
    """

    words: tuple[str, ...]
    within: tuple[str, ...]
    end: int

    @property
    def name(self) -> str:
        """Its first word."""
        return self.words[0]


def quoted(text: str) -> str:
    """`text` as one word. (A `$` still means a variable where a directive knows variables.)"""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def directives(text: str) -> Iterator[Directive]:
    """All that can be told; what nginx itself would refuse is passed over."""
    words: list[str] = []
    within: list[str] = []
    position = 0
    while position < len(text):
        letter = text[position]
        if letter in _SPACES:
            position += 1
        elif letter == "#":
            line_end = text.find("\n", position)
            position = len(text) if line_end == -1 else line_end
        elif letter in _ENDS:
            position += 1
            if words and letter != "}":
                yield Directive(tuple(words), tuple(within), position)
            if letter == "{":
                within.append(words[0] if words else "")
            elif letter == "}" and within:
                within.pop()
            words = []
        else:
            word, position = _word(text, position)
            words.append(word)


def _word(text: str, position: int) -> tuple[str, int]:
    """The word that begins there, and where it ends."""
    quote = text[position] if text[position] in "\"'" else ""
    position += len(quote)
    found: list[str] = []
    while position < len(text):
        letter = text[position]
        if letter == "\\" and position + 1 < len(text):
            found.append(_ESCAPED.get(text[position + 1], text[position : position + 2]))
            position += 2
        elif quote and letter == quote:
            return "".join(found), position + 1
        elif not quote and letter in _SPACES + ";{" and [*found[-1:], letter] != ["$", "{"]:
            break
        else:
            found.append(letter)
            position += 1
    return "".join(found), position


def completed(text: str, main: Mapping[str, str], http: Mapping[str, str]) -> str:
    """`text` with the directives that it leaves out: `main` outside of blocks, `http` in `http`.

    Both are whole directives by their names. The numbers of its lines stay what they are, so that
    nginx's complaints name the line that its author sees.
    """
    found = list(directives(text))
    given = {one.name for one in found if not one.within}
    given_http = {one.name for one in found if one.within == ("http",)}
    blocks = [one.end for one in found if one.words == ("http",) and text[one.end - 1] == "{"]
    added = [line for name, line in main.items() if name not in given]
    if blocks:
        lines = "".join(f" {line}" for name, line in http.items() if name not in given_http)
        text = text[: blocks[0]] + lines + text[blocks[0] :]
    return "".join(f"{line} " for line in added) + text
