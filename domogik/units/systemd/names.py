"""Full names of units: `nginx` is `nginx.service`."""

from __future__ import annotations

import re

from domogik.errors import DomogikError

_SUFFIXES = (
    "service socket timer path target mount automount swap device slice scope".split()  # noqa: SIM905
)
_LONGEST = 255  # UNIT_NAME_MAX
#: the characters of systemd.unit(5), "String Escaping for Inclusion in Unit Names"
_NAME = re.compile(r"[A-Za-z0-9:_.\\][A-Za-z0-9:_.\\@-]*", re.ASCII)


class InvalidUnitName(DomogikError):
    """The value is not the name of a unit."""


def unit_name(text: object) -> str:
    """Return the name with its suffix; raises `InvalidUnitName`.

    Patterns and templates, which stand for several units, are refused. So are names that begin with
    a hyphen (`-.mount`), as systemctl takes them for options.
    """
    if not isinstance(text, str):
        raise InvalidUnitName(f"{repr(text)[:80]} is not the name of a systemd unit")
    stem, dot, suffix = text.rpartition(".")
    name = text if dot and suffix in _SUFFIXES else f"{text}.service"
    stem = name.rpartition(".")[0]
    if not _NAME.fullmatch(name) or len(name) > _LONGEST or not stem or stem.startswith("@"):
        raise InvalidUnitName(f"{text[:80]!r} is not the name of a systemd unit")
    if stem.endswith("@"):
        raise InvalidUnitName(f"'{text}' is a template: name one of its units, such as {stem}1")
    return name


def with_suffix(name: str, suffix: str) -> str:
    """Return the name with another suffix: `x.service` of `x.socket`."""
    return f"{name.rpartition('.')[0]}.{suffix}"
