"""Unmet dependencies of a package, found without processes or the network.

This is cheap enough to check every plugin daily; `dependencies.py` finds what could be installed,
with a process or two for each.
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
from domogik.packages.descriptor.requirements import (
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
    """A dependency as written, and why it is not met."""

    kind: str
    text: str
    reason: str

    def __str__(self) -> str:
        return f"{self.text} ({self.reason})"

    @property
    def words(self) -> str:
        """The part of a sentence, such as `pyfiglet >=3, which is not installed`."""
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
    """Return the unmet dependencies, in their order. Blocks: it reads directories.

    `environment` is the plugin's own, None if it uses the manager's; `release_of` returns the
    release of an installed plugin. The releases of Debian packages are not compared.
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
            reason = _python_reason(needed, paths)
        elif kind == PLUGIN:
            reason = _release_reason(needed, release_of(needed.name))
        else:
            reason = _system_reason(needed.name, debian)
        if reason:
            found.append(Unmet(kind, dependency.id, reason))
    return tuple(found)


def _paths(environment: Path | None) -> list[str]:
    """Return the directories of installed packages: the plugin's own first."""
    own = [] if environment is None else environment.glob("lib/python*/site-packages")
    return [*map(str, own), *(path for path in sys.path if path)]


def _python_reason(needed: Requirement, paths: Sequence[str]) -> str:
    if not needed.applies:
        return ""
    found = importlib.metadata.Distribution.discover(name=needed.name, path=list(paths))
    return _release_reason(needed, next(_releases(found), None))


def _releases(found: Iterable[importlib.metadata.Distribution]) -> Iterator[str]:
    """Yield the releases; the first is the one that would be imported.

    Only the head is read, since the description that follows is often long.
    """
    for distribution in found:
        text = distribution.read_text("METADATA") or distribution.read_text("PKG-INFO") or ""
        match = _VERSION.search(text.partition("\n\n")[0])
        if match is not None:
            yield match[1]


def _release_reason(needed: Requirement, release: str | None) -> str:
    if not release:
        return "not installed"
    return "" if needed.fits(release) else f"{release} is installed"


def _system_reason(name: str, debian: Path) -> str:
    if shutil.which(name) is not None:
        return ""
    # a name from a descriptor, which may hold anything
    if os.sep not in name and any(
        (debian / f"{name}{suffix}").exists() for suffix in (".list", f":{_architecture()}.list")
    ):
        return ""
    return "neither a command nor a package of this system"


def _architecture() -> str:
    words = {"x86_64": "amd64", "aarch64": "arm64", "armv7l": "armhf", "i686": "i386"}
    return words.get(os.uname().machine, os.uname().machine)
