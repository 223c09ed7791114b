"""Reads configuration files; every value knows its file and line."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import attrs

from domogik.config.files import read_bounded
from domogik.config.syntax import MAXIMUM_BYTES, Header, InvalidLine, statements
from domogik.errors import DomogikError

#: longer waits are mistakes, and timers do not accept every number
_A_YEAR_S = 366 * 24 * 3600.0
#: how many characters of a wrong value are quoted
_QUOTED = 60
_TRUE = frozenset({"yes", "true", "on", "1"})
_FALSE = frozenset({"no", "false", "off", "0"})
_SIZE = re.compile(r"([0-9]{1,15})\s*([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_NOTHING: Mapping[str, Setting] = MappingProxyType({})


class BrokenConfiguration(DomogikError):
    """A configuration file is not valid.

    `line` counts from 1 and is 0 for the whole file. `str()` names file and line. `section` and
    `key` are empty if the error is not about one.
    """

    def __init__(
        self, path: Path, line: int, sentence: str, section: str = "", key: str = ""
    ) -> None:
        place = f"{path}:{line}" if line else f"{path}"
        super().__init__(f"{place}: {sentence}")
        self.path = path
        self.line = line
        self.sentence = sentence
        self.section = section
        self.key = key


@attrs.frozen
class Setting:
    """A value with its file and line. Each reader raises `BrokenConfiguration`."""

    section: str
    key: str
    value: str
    path: Path
    line: int

    @property
    def place(self) -> str:
        """The position, `file:line`."""
        return f"{self.path}:{self.line}"

    def text(self) -> str:
        """Return the value; it is empty if nothing follows the `=`."""
        return self.value

    def integer(self, minimum: int | None = None, maximum: int | None = None) -> int:
        """Return a whole number between the limits, both included."""
        if not _INTEGER.fullmatch(self.value):
            raise self.broken("must be a whole number")
        number = int(self.value)
        if minimum is not None and number < minimum:
            raise self.broken(f"must be at least {minimum}")
        if maximum is not None and number > maximum:
            raise self.broken(f"must be at most {maximum}")
        return number

    def seconds(self, minimum: float = 0.0, maximum: float = _A_YEAR_S) -> float:
        """Return a time span in seconds, with fractions allowed."""
        number = float(self.value) if _NUMBER.fullmatch(self.value) else math.nan
        if not minimum <= number <= maximum:
            raise self.broken(f"must be a number of seconds from {minimum:g} to {maximum:.0f}")
        return number

    def boolean(self) -> bool:
        """Return True for yes, true, on, 1, False for no, false, off, 0, in any case."""
        word = self.value.lower()
        if word not in _TRUE | _FALSE:
            raise self.broken("must be yes or no")
        return word in _TRUE

    def size(self) -> int:
        """Return a number of bytes; `10M`, `512 KiB` and the like are powers of 1024."""
        match = _SIZE.fullmatch(self.value)
        if match is None:
            raise self.broken("must be a size such as 500000, 512K, 10M or 2G")
        return int(match[1]) * _UNITS[match[2].lower()]

    def words(self) -> tuple[str, ...]:
        """Return the words between commas or blanks."""
        return tuple(word for word in re.split(r"[,\s]+", self.value) if word)

    def choice(self, *words: str) -> str:
        """Return the one of `words` that the value equals, in any case."""
        for word in words:
            if word.lower() == self.value.lower():
                return word
        *others, last = words
        raise self.broken(f"must be {', '.join(others)} or {last}" if others else f"must be {last}")

    def broken(self, sentence: str) -> BrokenConfiguration:
        """Return the error that this value `sentence` (`must be ...`), with the value quoted."""
        shown = self.value if len(self.value) <= _QUOTED else f"{self.value[:_QUOTED]}..."
        return self.refused(f"{self.key} in [{self.section}] {sentence}, not '{shown}'")

    def refused(self, sentence: str) -> BrokenConfiguration:
        """Return the error with this sentence about the key; only its position is added."""
        return BrokenConfiguration(self.path, self.line, sentence, self.section, self.key)


@attrs.frozen
class Configuration:
    """The content of all files together. Section names are as written, keys in lower case.

    `notices` are sentences, with file and line, about keys given twice in one file.
    """

    _sections: Mapping[str, Mapping[str, Setting]] = MappingProxyType({})
    _headers: tuple[tuple[str, Path, int], ...] = ()
    notices: tuple[str, ...] = ()

    def get(self, section: str, key: str) -> Setting | None:
        """Return the effective setting, or None if no file has one."""
        return self.section(section).get(key)

    def section(self, name: str) -> Mapping[str, Setting]:
        """Return every setting of a section by its key."""
        return self._sections.get(name, _NOTHING)

    def sections(self, prefix: str = "") -> tuple[str, ...]:
        """Return the names of the sections that begin with `prefix`, in the order of the files."""
        return tuple(name for name in self._sections if name.startswith(prefix))

    def broken(self, section: str, sentence: str) -> BrokenConfiguration:
        """Return an error about a whole section, with the position of its first header."""
        for name, path, line in self._headers:
            if name == section:
                return BrokenConfiguration(path, line, f"[{section}] {sentence}", section)
        return BrokenConfiguration(Path(), 0, f"[{section}] {sentence}", section)

    def with_setting(self, setting: Setting) -> Configuration:
        """Return the configuration with this setting instead of that of the files."""
        section = {**self.section(setting.section), setting.key: setting}
        sections = {**self._sections, setting.section: MappingProxyType(section)}
        return attrs.evolve(self, sections=MappingProxyType(sections))

    def with_entry_of(self, section: str, key: str, other: Configuration) -> Configuration:
        """Return the configuration with the key, or without one the whole section, of `other`."""
        ours, theirs = dict(self.section(section)), other.section(section)
        if key:
            ours.pop(key, None)
            ours |= {key: theirs[key]} if key in theirs else {}
        sections = {**self._sections, section: MappingProxyType(ours)}
        if not key:
            del sections[section]
            sections |= {section: theirs} if section in other.sections() else {}
        return attrs.evolve(self, sections=MappingProxyType(sections))

    def unknown(self, known: Mapping[str, Collection[str] | None]) -> list[str]:
        """Return a sentence, with file and line, for each section and key that is not in `known`.

        `known` maps a section, or the beginning of its name up to a colon, to its keys; None allows
        every key.
        """
        sentences = [
            f"{path}:{line}: no section [{name}] is known; it is ignored"
            for name, path, line in self._headers
            if _entry(known, name) is None
        ]
        for name, settings in self._sections.items():
            entry = _entry(known, name)
            keys = None if entry is None else known[entry]
            sentences += [
                f"{setting.place}: no key '{key}' is known in [{name}]; it is ignored"
                for key, setting in settings.items()
                if keys is not None and key not in keys
            ]
        return sentences


def _entry(known: Mapping[str, Collection[str] | None], section: str) -> str | None:
    prefix, colon, rest = section.partition(":")
    name = prefix + colon if colon and rest else section
    return name if name in known and (rest or not colon) else None


def _refuse(error: BrokenConfiguration) -> None:
    raise error


def load(
    paths: Sequence[Path], on_broken: Callable[[BrokenConfiguration], None] = _refuse
) -> Configuration:
    """Read the files; each overrides those before it key by key, and a missing file counts as
    empty.

    Each file has at most 1 MiB. Blocks. Raises `BrokenConfiguration` for the first invalid line or
    unreadable file; if `on_broken` does not raise, that is skipped.
    """
    sections: dict[str, dict[str, Setting]] = {}
    headers: list[tuple[str, Path, int]] = []
    notices: list[str] = []
    for path in paths:
        content = _content(path, on_broken)
        if content is None:
            continue
        for name, settings in _parse(path, content, headers, notices, on_broken).items():
            sections.setdefault(name, {}).update(settings)
    frozen = {name: MappingProxyType(settings) for name, settings in sections.items()}
    return Configuration(MappingProxyType(frozen), tuple(headers), tuple(notices))


def _content(path: Path, on_broken: Callable[[BrokenConfiguration], None]) -> bytes | None:
    try:
        return read_bounded(path, MAXIMUM_BYTES)
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        on_broken(BrokenConfiguration(path, 0, f"cannot be read: {error.strerror}"))
        return None


def _parse(
    path: Path,
    content: bytes,
    headers: list[tuple[str, Path, int]],
    notices: list[str],
    on_broken: Callable[[BrokenConfiguration], None],
) -> dict[str, dict[str, Setting]]:
    sections: dict[str, dict[str, Setting]] = {}

    def invalid(error: InvalidLine) -> None:
        on_broken(BrokenConfiguration(path, error.line, str(error)))

    for statement in statements(content, invalid):
        if isinstance(statement, Header):
            headers.append((statement.section, path, statement.line))
            sections.setdefault(statement.section, {})
            continue
        setting = Setting(statement.section, statement.key, statement.value, path, statement.line)
        earlier = sections[setting.section].get(setting.key)
        if earlier is not None:
            notices.append(
                f"{setting.place}: {setting.key} in [{setting.section}] was given in line "
                f"{earlier.line} already; this line counts"
            )
        sections[setting.section][setting.key] = setting
    return sections
