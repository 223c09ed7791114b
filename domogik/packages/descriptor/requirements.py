"""Requirements of packages, as descriptors and messages write them.

Both the form of Domogik's packages, `foo (>=1.0, <1.8)`, and PEP 508 (`foo>=1.0,<1.8`, `foo`) are
understood. Versions compare by PEP 440.
"""

from __future__ import annotations

import re

import attrs
from packaging.markers import Marker, UndefinedComparison, UndefinedEnvironmentName
from packaging.requirements import InvalidRequirement
from packaging.requirements import Requirement as PythonRequirement
from packaging.specifiers import InvalidSpecifier, SpecifierSet
from packaging.version import InvalidVersion, Version

from domogik.errors import DomogikError

PYTHON, PLUGIN, OTHER = "python", "plugin", "other"

#: longer than any that makes sense; what comes from the network is judged by patterns
_MAXIMUM = 200
_PARENTHESISED = re.compile(
    r"\s*(?P<name>[A-Za-z0-9_](?:[A-Za-z0-9._+-]*[A-Za-z0-9_+])?)\s*"
    r"(?P<extras>\[[A-Za-z0-9._, -]*\])?\s*\(\s*(?P<versions>[^()]+?)\s*\)\s*"
)
_NAME = re.compile(r"\s*[A-Za-z0-9_](?:[A-Za-z0-9._+-]*[A-Za-z0-9_+])?\s*")
_BARE_VERSION = re.compile(r"[0-9]")


class BadRequirement(DomogikError):
    """A dependency is not valid; `str()` is the text that Domogik's clients know."""


@attrs.frozen
class Requirement:
    """A required project, plugin, command or Debian package.

    `kind` is python, plugin or other; `text` is as written; an empty `specifier` allows any
    release. Extras and marker are those of PEP 508.
    """

    kind: str
    text: str
    name: str
    specifier: SpecifierSet
    extras: tuple[str, ...] = ()
    marker: Marker | None = None

    @property
    def applies(self) -> bool:
        """Whether its marker, if it has one, matches this machine and Python."""
        if self.marker is None:
            return True
        try:
            return self.marker.evaluate({"extra": ""})
        except (InvalidVersion, UndefinedComparison, UndefinedEnvironmentName):
            return True

    def fits(self, release: str) -> bool:
        """Return whether that release is suitable; an invalid version is only if any is."""
        if not str(self.specifier):
            return True
        try:
            return self.specifier.contains(Version(release), prereleases=True)
        except InvalidVersion:
            return False

    @property
    def for_pip(self) -> str:
        """The requirement in pip's syntax."""
        extras = f"[{','.join(self.extras)}]" if self.extras else ""
        marker = f"; {self.marker}" if self.marker is not None else ""
        return f"{self.name}{extras}{self.specifier}{marker}"


def parse_requirement(text: str, kind: str = PYTHON) -> Requirement:
    """Return the requirement; raises `BadRequirement` with the texts of Domogik's messages."""
    if len(text) > _MAXIMUM:
        raise _wrong_format(f"{text[:_MAXIMUM]}...")
    old = _PARENTHESISED.fullmatch(text)
    if old is not None:
        extras = (old["extras"] or "[]")[1:-1].split(",")
        names = tuple(name.strip() for name in extras if name.strip())
        return Requirement(kind, text, old["name"], _specifier(text, old["versions"]), names)
    if kind != PYTHON and _NAME.fullmatch(text):
        # a Debian package may be called what no Python project is
        return Requirement(kind, text, text.strip(), SpecifierSet())
    try:
        parsed = PythonRequirement(text)
    except InvalidRequirement as error:
        raise _wrong_format(text) from error
    if parsed.url is not None:
        # where a package comes from is what the person's pip is configured with
        raise _wrong_format(text)
    return Requirement(
        kind,
        text,
        parsed.name,
        specifier=parsed.specifier,
        extras=tuple(sorted(parsed.extras)),
        marker=parsed.marker,
    )


def _specifier(text: str, versions: str) -> SpecifierSet:
    """Parse `>=1.0, <1.8`; a bare version means exactly that (PEP 345)."""
    parts = [part.strip() for part in versions.split(",")]
    written = ",".join(f"=={part}" if _BARE_VERSION.match(part) else part for part in parts)
    try:
        return SpecifierSet(written)
    except InvalidSpecifier as error:
        raise BadRequirement(f"Irrational version for dependency {text}") from error


def _wrong_format(text: str) -> BadRequirement:
    return BadRequirement(f"Wrong version format for '{text}' : should be 'foo (...)'")
