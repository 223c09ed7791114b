"""What the configuration files say, with file and line for every word."""

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

#: longer waits are mistakes, and timers do not take every number
_A_YEAR_S = 366 * 24 * 3600.0
#: of a wrong value so much is quoted
_SHOWN = 60
_TRUE = frozenset({"yes", "true", "on", "1"})
_FALSE = frozenset({"no", "false", "off", "0"})
_SIZE = re.compile(r"([0-9]{1,15})\s*([kmgt]?)(?:i?b)?", re.IGNORECASE | re.ASCII)
_INTEGER = re.compile(r"[+-]?[0-9]{1,18}", re.ASCII)
_NUMBER = re.compile(r"[0-9]{1,18}(?:\.[0-9]{1,18})?", re.ASCII)
_UNITS = {"": 1, "k": 1024, "m": 1024**2, "g": 1024**3, "t": 1024**4}
_NOTHING: Mapping[str, Setting] = MappingProxyType({})


class BrokenConfiguration(DomogikError):
    """A configuration file says something that cannot be meant.

    `line` counts from 1; it is 0 where the whole file is meant. `str()` names file and line.
    `section` and `key` are empty where the error is not about one.
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
    """One value as somebody wrote it, and where. Each reader raises `BrokenConfiguration`."""

    section: str
    key: str
    value: str
    path: Path
    line: int

    @property
    def place(self) -> str:
        """`file:line`"""
        return f"{self.path}:{self.line}"

    def text(self) -> str:
        """As it is; empty when nothing stands behind the `=`."""
        return self.value

    def integer(self, minimum: int | None = None, maximum: int | None = None) -> int:
        """A whole number between the two, both included."""
        if not _INTEGER.fullmatch(self.value):
            raise self.broken("must be a whole number")
        number = int(self.value)
        if minimum is not None and number < minimum:
            raise self.broken(f"must be at least {minimum}")
        if maximum is not None and number > maximum:
            raise self.broken(f"must be at most {maximum}")
        return number

    def seconds(self, minimum: float = 0.0, maximum: float = _A_YEAR_S) -> float:
        """A time span: a number of seconds, fractions allowed."""
        number = float(self.value) if _NUMBER.fullmatch(self.value) else math.nan
        if not minimum <= number <= maximum:
            raise self.broken(f"must be a number of seconds from {minimum:g} to {maximum:.0f}")
        return number

    def boolean(self) -> bool:
        """yes, true, on, 1 or no, false, off, 0, in upper or lower case."""
        word = self.value.lower()
        if word not in _TRUE | _FALSE:
            raise self.broken("must be yes or no")
        return word in _TRUE

    def size(self) -> int:
        """Bytes; `10M`, `512 KiB` and the like count in powers of 1024."""
        match = _SIZE.fullmatch(self.value)
        if match is None:
            raise self.broken("must be a size such as 500000, 512K, 10M or 2G")
        return int(match[1]) * _UNITS[match[2].lower()]

    def words(self) -> tuple[str, ...]:
        """The words between commas or blanks."""
        return tuple(word for word in re.split(r"[,\s]+", self.value) if word)

    def choice(self, *words: str) -> str:
        """The one of `words` that it is, in upper or lower case."""
        for word in words:
            if word.lower() == self.value.lower():
                return word
        *others, last = words
        raise self.broken(f"must be {', '.join(others)} or {last}" if others else f"must be {last}")

    def broken(self, sentence: str) -> BrokenConfiguration:
        """The error that this value `sentence` (`must be ...`); the value itself is quoted."""
        shown = self.value if len(self.value) <= _SHOWN else f"{self.value[:_SHOWN]}..."
        return self.refused(f"{self.key} in [{self.section}] {sentence}, not '{shown}'")

    def refused(self, sentence: str) -> BrokenConfiguration:
        """Return the error with that sentence about this key; nothing is added but the place."""
        return BrokenConfiguration(self.path, self.line, sentence, self.section, self.key)


@attrs.frozen
class Configuration:
    """What all files together say. Section names are as written, keys in lower case.

    `notices` are sentences, each with file and line, about keys given twice in one file.
    """

    _sections: Mapping[str, Mapping[str, Setting]] = MappingProxyType({})
    _headers: tuple[tuple[str, Path, int], ...] = ()
    notices: tuple[str, ...] = ()

    def get(self, section: str, key: str) -> Setting | None:
        """The value in force, None where no file gives one."""
        return self.section(section).get(key)

    def section(self, name: str) -> Mapping[str, Setting]:
        """Every key of a section that some file gives."""
        return self._sections.get(name, _NOTHING)

    def sections(self, prefix: str = "") -> tuple[str, ...]:
        """The full names of the sections that begin with `prefix`, in the order of the files."""
        return tuple(name for name in self._sections if name.startswith(prefix))

    def broken(self, section: str, sentence: str) -> BrokenConfiguration:
        """The error about a section as a whole, with the place where it is opened first."""
        for name, path, line in self._headers:
            if name == section:
                return BrokenConfiguration(path, line, f"[{section}] {sentence}", section)
        return BrokenConfiguration(Path(), 0, f"[{section}] {sentence}", section)

    def over(self, setting: Setting) -> Configuration:
        """The same, with this value in force instead of what the files give."""
        section = {**self.section(setting.section), setting.key: setting}
        sections = {**self._sections, setting.section: MappingProxyType(section)}
        return attrs.evolve(self, sections=MappingProxyType(sections))

    def instead(self, section: str, key: str, other: Configuration) -> Configuration:
        """The same, but for a key, or without one a whole section, with what `other` says of it."""
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
        """A sentence, with file and line, for each section and key that `known` does not list.

        `known` maps a section, or with a colon at its end the beginning of a section's name, to
        its keys; None allows every key.
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
    """What `known` calls the section; None when it does not list it."""
    prefix, colon, rest = section.partition(":")
    name = prefix + colon if colon and rest else section
    return name if name in known and (rest or not colon) else None


def _refuse(error: BrokenConfiguration) -> None:
    raise error


def load(
    paths: Sequence[Path], on_broken: Callable[[BrokenConfiguration], None] = _refuse
) -> Configuration:
    """Read the files, each over the ones before it, key by key; a missing file says nothing.

    Reads files (each at most 1 MiB), so it is quick but blocks. Raises `BrokenConfiguration` for
    the first line that cannot be understood, or a file that cannot be read; where `on_broken` does
    not raise, that is left out.
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
