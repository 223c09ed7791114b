"""What is the full name of a unit? `nginx` is `nginx.service`."""

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
    """No unit can be called so."""


def unit_name(text: object) -> str:
    """The name with its suffix; raises `InvalidUnitName`.

    A pattern, which systemctl would take for several units, and a template, of which there are as
    many units as one likes, are no names of a unit. A name that begins with a hyphen (`-.mount`)
    would be an option, and is nothing that anybody starts.
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
    """The unit of the same name and another kind: `x.service` of `x.socket`."""
    return f"{name.rpartition('.')[0]}.{suffix}"
