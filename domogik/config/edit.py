"""Changes one value in a configuration file that users edit too.

The rest of the file stays as it is, byte for byte, with its permissions and owner. Writers exclude
each other with a lock file beside the configuration file; readers see the old or the new file.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from domogik.config.files import Ownership, read_bounded, unlock, write_atomically
from domogik.config.load import BrokenConfiguration
from domogik.config.syntax import (
    MAXIMUM_BYTES,
    Assignment,
    Header,
    InvalidLine,
    fold,
    has_control_characters,
    split_lines,
    statements,
)
from domogik.errors import DomogikError

#: how often, and how long apart in seconds, the lock is asked for: 5 s
_ATTEMPTS, _PAUSE_S = 250, 0.02
_KEY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


class InvalidValue(DomogikError):
    """A section, key or value could not be read back from the file."""


class ConfigurationBusy(DomogikError):
    """Another process has locked the configuration file."""


def set_value(path: Path, section: str, key: str, value: str) -> bool:
    """Set `[section] key` to `value`; return whether the file had to be changed.

    If the key is given several times the last one, which counts, is changed. A new key is inserted
    after the header of its section, a new section at the end; a missing file is created (0600). A
    link is followed. Waits up to 5 s for the lock, so it blocks. Raises `InvalidValue`,
    `BrokenConfiguration` (an invalid file is not changed), `ConfigurationBusy` or `OSError`.
    """
    _check(section, key, value)
    return _edit(path, lambda content: _with_value(content, section, fold(key), value))


def remove_value(path: Path, section: str, key: str) -> bool:
    """Remove every line that sets `[section] key`; return whether there was one.

    Comments stay. Waits and raises as `set_value` does.
    """
    _check(section, key, "")
    return _edit(path, lambda content: _without_value(content, section, fold(key)))


def _check(section: str, key: str, value: str) -> None:
    if (
        not section
        or section != section.strip()
        or any(character in section for character in "[]\t")
        or has_control_characters(section)
    ):
        raise InvalidValue(f"'{section}' cannot be the name of a section")
    if not _KEY.fullmatch(key):
        raise InvalidValue(f"'{key}' cannot be a key: letters, digits, '_', '-' and '.' only")
    if value != value.strip() or has_control_characters(value):
        raise InvalidValue(f"a value of '{key}' is one line without blanks at its ends")
    try:
        f"{section}{value}".encode()
    except UnicodeEncodeError:
        raise InvalidValue(f"[{section}] {key} holds what UTF-8 cannot say") from None


def _edit(path: Path, change: Callable[[bytes], bytes]) -> bool:
    path = path.resolve()
    with _locked(path):
        try:
            content = read_bounded(path, MAXIMUM_BYTES)
            ownership = Ownership.of(path)
        except FileNotFoundError:
            content, ownership = b"", None
        try:
            changed = change(content)
        except InvalidLine as error:
            raise BrokenConfiguration(path, error.line, str(error)) from error
        if changed == content:
            return False
        if len(changed) > MAXIMUM_BYTES:
            raise InvalidValue(f"{path} would become larger than {MAXIMUM_BYTES} bytes")
        write_atomically(path, changed, ownership)
        return True


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    lock = path.with_name(f".{path.name}.lock")
    descriptor = os.open(lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        for _ in range(_ATTEMPTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                threading.Event().wait(_PAUSE_S)
        else:
            raise ConfigurationBusy(f"{path} is locked by another program ({lock})")
        yield
    finally:
        unlock(descriptor)


def _with_value(content: bytes, section: str, key: str, value: str) -> bytes:
    found = list(statements(content))
    lines = split_lines(content)
    given = _assignments(found, section, key)
    if given:
        last = given[-1]
        if last.value != value:
            lines[last.line - 1] = _replaced(lines[last.line - 1], value)
        return b"".join(lines)
    end = _line_end(lines)
    if lines and not lines[-1].endswith(b"\n"):
        lines[-1] += end
    line = f"{key} = {value}".rstrip().encode() + end
    headers = [one for one in found if isinstance(one, Header) and one.section == section]
    if headers:
        lines.insert(headers[0].line, line)
    else:
        separator = [end] if lines and lines[-1].strip() else []
        lines += [*separator, f"[{section}]".encode() + end, line]
    return b"".join(lines)


def _without_value(content: bytes, section: str, key: str) -> bytes:
    lines = split_lines(content)
    gone = {one.line for one in _assignments(statements(content), section, key)}
    return b"".join(line for number, line in enumerate(lines, start=1) if number not in gone)


def _assignments(found: Iterable[Header | Assignment], section: str, key: str) -> list[Assignment]:
    return [
        one
        for one in found
        if isinstance(one, Assignment) and one.section == section and one.key == key
    ]


def _replaced(line: bytes, value: str) -> bytes:
    """Return the line with another value; key, blanks and line end are kept."""
    body = line.rstrip(b"\r\n")
    end = line[len(body) :]
    before, equals, after = body.partition(b"=")
    blanks = after[: len(after) - len(after.lstrip())]
    if not after.strip():
        blanks = b" " if before.endswith((b" ", b"\t")) else b""
    return before + equals + blanks + value.encode() + end


def _line_end(lines: list[bytes]) -> bytes:
    return b"\r\n" if lines and lines[0].endswith(b"\r\n") else b"\n"
