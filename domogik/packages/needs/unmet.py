"""Which of a package's needs are not met here? Without asking anybody what could meet them.

That makes it cheap enough to be asked of every plugin every day, and needs no network;
`dependencies.py` says what could be installed, and starts a process or two for each answer.
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import attrs

from domogik.packages.descriptor.package import Dependency
from domogik.packages.needs.requirements import (
    PLUGIN,
    PYTHON,
    BadRequirement,
    Requirement,
    parse_requirement,
)

#: where Debian keeps the lists of the files that its packages brought
DEBIAN = Path("/var/lib/dpkg/info")
_VERSION = re.compile(r"^Version:\s*(\S+)", re.MULTILINE | re.IGNORECASE)


@attrs.frozen
class Unmet:
    """A need as it was written, and why it is not met."""

    kind: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.text} ({self.reason})"

    @property
    def words(self) -> str:
        """For a sentence: `pyfiglet >=3, which is not installed`."""
        text = re.sub(r"\((.*?)\)", r"\1", self.text)
        if self.reason.endswith("is installed"):
            return f"{text} ({self.reason})"
        return f"{text}, which is {self.reason}"


def unmet(
    dependencies: Iterable[Dependency],
    environment: Path | None,
    release_of: Callable[[str], str | None],
    *,
    debian: Path = DEBIAN,
) -> tuple[Unmet, ...]:
    """Those that are not met, in their order. Blocks: it reads directories.

    `environment` is the plugin's own, None where it runs with ours; `release_of` gives the release
    of an installed plugin. Which release of a Debian package is there is not looked at.
    """
    paths = None
    found = []
    for dependency in dependencies:
        kind = dependency.type
        try:
            needed = parse_requirement(dependency.id, kind)
        except BadRequirement as error:
            found.append(Unmet(kind, dependency.id, str(error)))
            continue
        if kind == PYTHON:
            if paths is None:
                paths = _paths(environment)
            reason = _of_python(needed, paths)
        elif kind == PLUGIN:
            reason = _judged(needed, release_of(needed.name))
        else:
            reason = _of_system(needed.name, debian)
        if reason:
            found.append(Unmet(kind, dependency.id, reason))
    return tuple(found)


def _paths(environment: Path | None) -> list[str]:
    """Where what is installed lies: in the plugin's own environment first, then in ours."""
    own = [] if environment is None else environment.glob("lib/python*/site-packages")
    return [*map(str, own), *(path for path in sys.path if path)]


def _of_python(needed: Requirement, paths: Sequence[str]) -> str:
    if not needed.applies:
        return ""
    found = importlib.metadata.Distribution.discover(name=needed.name, path=list(paths))
    return _judged(needed, next(_releases(found), None))


def _releases(found: Iterable[importlib.metadata.Distribution]) -> Iterator[str]:
    """The first is the one that would be imported; the rest of a removal has none.

    Only the head is read: what follows is a description, often long, that `metadata` would parse.
    """
    for distribution in found:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        match = _VERSION.search(text.partition("\n\n")[0])
        if match is not None:
            yield match[1]


def _judged(needed: Requirement, release: str | None) -> str:
    if not release:
        return "not installed"
    return "" if needed.fits(release) else f"{release} is installed"


def _of_system(name: str, debian: Path) -> str:
    if shutil.which(name) is not None:
        return ""
    # a name from a descriptor, which may hold anything
    if os.sep not in name and any(
        (debian / f"{name}{suffix}").exists() for suffix in (".list", f":{_architecture()}.list")
    ):
        return ""
    return "neither a command nor a package of this system"


def _architecture() -> str:
    """Debian's word for it; names of a foreign one are left alone."""
    words = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386"}
    return words.get(os.uname().machine, os.uname().machine)
