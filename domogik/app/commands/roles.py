"""What a manager was asked to do on its command line."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs


@attrs.frozen
class ManagerRoles:
    """The options of the manager; times in seconds.

    With `packages_only` it starts and stops nobody by itself: it is there for one command about
    packages, where no manager runs.
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
        """The core services that are asked for, by their names."""
        wanted = {"dbmgr": self.dbmgr, "rest": self.rest}
        return tuple(name for name, is_wanted in wanted.items() if is_wanted)

    @classmethod
    def from_options(cls, options: Mapping[str, Any]) -> ManagerRoles:
        """What was given on the command line."""
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
