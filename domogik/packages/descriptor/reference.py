"""References to releases of packages: words from outside that become file names."""

from __future__ import annotations

import re

import attrs
from packaging.version import InvalidVersion, Version

from domogik.errors import DomogikError
from domogik.packages.descriptor.package import Package

TYPES = ("plugin", "external")

#: an id is half of an xPL address (`domogik-<id>`), which limits it to 8 characters; the
#: underscore is not xPL's, but packages have it
ID = re.compile(r"[a-z0-9_]{1,8}")
#: names of Domogik's programs, most of which use `domogik-<name>` on xPL; some are commands only
RESERVED_NAMES = frozenset(
    {"manager", "rest", "dbmgr", "hub", "send", "dump", "ctl", "daemon", "plugin", "pkgmgr"}
)
#: a release is the name of a directory too
RELEASE = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+!_-]{0,63}")
#: what no release written as PEP 440 has it comes after
_LOWEST = Version("0.dev0")


class InvalidReference(DomogikError):
    """The type, id or release is not valid."""


def _check_type(_instance: object, _attribute: object, value: str) -> None:
    if value not in TYPES:
        raise InvalidReference(f"'{value}' is no type of package: {' or '.join(TYPES)}")


def _check_id(_instance: object, _attribute: object, value: str) -> None:
    if not ID.fullmatch(value):
        raise InvalidReference(f"'{value}' is no package's id: 1 to 8 of a-z, 0-9 and '_'")


def _check_release(_instance: object, _attribute: object, value: str) -> None:
    if not RELEASE.fullmatch(value):
        raise InvalidReference(
            f"'{value}' is no release: at most 64 of A-Z, a-z, 0-9 and '.+!_-', a letter or digit "
            "first"
        )


@attrs.frozen
class PackageRef:
    """A release of a package; none of its fields can be a path. Raises `InvalidReference`."""

    type: str = attrs.field(validator=_check_type)
    id: str = attrs.field(validator=_check_id)
    release: str = attrs.field(validator=_check_release)

    @classmethod
    def of(cls, package: Package) -> PackageRef:
        """Return the reference of a package."""
        return cls(package.type, package.id, package.release)

    @property
    def fullname(self) -> str:
        """The name `<type>-<id>`."""
        return f"{self.type}-{self.id}"

    @property
    def file_stem(self) -> str:
        """The stem of its archive, `<type>-<id>-<release>`."""
        return f"{self.type}-{self.id}-{self.release}"

    @property
    def version(self) -> Version:
        """The version for comparisons; one that PEP 440 does not allow is the lowest."""
        try:
            return Version(self.release)
        except InvalidVersion:
            return _LOWEST

    def __str__(self) -> str:
        return f"{self.fullname} {self.release}"


def refusal(id: str) -> str:
    """Return why no package may have that id, or an empty text."""
    if id in RESERVED_NAMES:
        return f"'{id}' is the name of a program of Domogik's own: choose another id"
    return ""


def fullname(type: str, id: str) -> str:
    """Return `<type>-<id>`; raises `InvalidReference`."""
    _check_type(None, None, type)
    _check_id(None, None, id)
    return f"{type}-{id}"


def parse_fullname(text: str) -> tuple[str, str]:
    """Return type and id of `plugin-diskfree`; raises `InvalidReference`."""
    type, _, id = text.partition("-")
    fullname(type, id)
    return type, id
