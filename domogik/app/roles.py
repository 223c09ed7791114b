"""The options that a manager was started with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class ManagerRoles:
    """The options of the manager; times in seconds.

    With `packages_only` it starts and stops no plugin: it serves one `dmg_pkgmgr` command.
    """

    dbmgr: bool = False
    rest: bool = False
    ping: bool = False
    external: bool = False
    ping_duration: float = 10.0
    wait_between_pings: float = 15.0
    keep_children: bool = False
    packages_only: bool = False

    @property
    def core(self) -> tuple[str, ...]:
        """The names of the core services that the options ask for."""
        wanted = {"dbmgr": self.dbmgr, "rest": self.rest}
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> ManagerRoles:
        """Return the roles that the command line asks for."""
        return cls(
            dbmgr=bool(options["dbmgr"]),
            rest=bool(options["rest"]),
            ping=bool(options["ping"]),
            external=bool(options["external"]),
            ping_duration=options["ping-duration"],
            wait_between_pings=options["wait-between-pings"],
            keep_children=bool(options["keep-children"]),
            packages_only=bool(options.get("packages-only")),
        )
