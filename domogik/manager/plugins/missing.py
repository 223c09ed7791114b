"""What an installed package needs and this host does not have, and the command for each."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable

from domogik.packages.descriptor.requirements import (
    OTHER,
    PLUGIN,
    BadRequirement,
    parse_requirement,
)
from domogik.packages.needs.environment import ENVIRONMENT, interpreter
from domogik.packages.needs.unmet import Unmet, unmet
from domogik.packages.store.installed import Installed

ReleaseOf = Callable[[str], str | None]
_DEBIAN = re.compile(r"[a-z0-9][a-z0-9.+-]+")


def missing(installed: Installed, release_of: ReleaseOf) -> tuple[Unmet, ...]:
    """Its needs that are not met, in their order. Blocks: it reads directories.

    `release_of` gives the release of an installed plugin.
    """
    own = installed.directory / ENVIRONMENT if installed.directory is not None else None
    has_own = own is not None and interpreter(own) is not None
    return unmet(installed.package.dependencies, own if has_own else None, release_of)


def remedy(installed: Installed, need: Unmet, *, managed: bool = True) -> str:
    """The command that installs what is missing; empty where no command can.

    `managed`: packages are installed here, and not only listed as in development mode.
    """
    package = installed.package
    try:
        needed = parse_requirement(need.text, need.kind)
    except BadRequirement:
        return ""
    if need.kind == OTHER:
        return f"sudo apt-get install {needed.name}" if _DEBIAN.fullmatch(needed.name) else ""
    if not managed:
        if need.kind == PLUGIN:
            return ""
        return shlex.join([sys.executable, "-m", "pip", "install", needed.for_pip])
    if need.kind == PLUGIN and need.reason.endswith("is installed"):
        return f"dmg_pkgmgr update {needed.name}"
    return f"dmg_pkgmgr install {package.id} {package.release} --with-dependencies"


def warnings(
    installed: Installed, release_of: ReleaseOf, *, managed: bool = True
) -> tuple[str, ...]:
    """A sentence for each need that is not met; blocks."""
    found = []
    for need in missing(installed, release_of):
        command = remedy(installed, need, managed=managed)
        end = f": {command}" if command else ""
        found.append(f"{installed.package.id} needs {need.words}{end}")
    return tuple(found)
