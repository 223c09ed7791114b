"""The options of the commands that start daemons, for twistd and for `dmg_*` alike."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import NoReturn

from twisted.python import usage

from domogik import __version__


class _Options(usage.Options):
    """Options of which wrong usage ends with status 2, under twistd as well."""

    def parseOptions(self, options: Sequence[str] | None = None) -> None:
        try:
            super().parseOptions(options)
        except usage.UsageError as error:
            sys.stderr.write(f"{self._called}: {error}\n")
            sys.stderr.write(f"Try '{self._called} --help'.\n")
            raise SystemExit(2) from None

    synopsis = "[options]"
    #: the command's name without `dmg_` or `domogik-`
    command = ""

    @property
    def _called(self) -> str:
        return f"twistd domogik-{self.command}" if self.parent else f"dmg_{self.command}"

    def getSynopsis(self) -> str:
        return f"Usage: {self._called} {self.synopsis}"

    def opt_help(self) -> NoReturn:
        """Display this help and exit."""
        sys.stdout.write(f"{self}\n")
        raise SystemExit(0)

    opt_h = opt_help

    def opt_version(self) -> NoReturn:
        """Print the version and exit."""
        sys.stdout.write(f"{__version__}\n")
        raise SystemExit(0)

    opt_V = opt_version

    def parseArgs(self, *args: str) -> None:
        if args:
            raise usage.UsageError(f"'{args[0]}' is one argument too many")


_HOME = ["home", None, None, "Directory of everything (default $DOMOGIK_HOME, else ~/.domogik)."]
_CONFIG = ["config", None, None, "Read this file instead of the home's domogik.cfg."]
_FOREGROUND = ["foreground", "f", "Stay in the foreground (dmg_* commands only)."]


class HomeOptions(_Options):
    """The options of the separate hub, dbmgr and rest."""

    optFlags = [_FOREGROUND]
    optParameters = [_HOME, _CONFIG]


class HubOptions(HomeOptions):
    command = "hub"
    longdesc = "The xPL hub alone."


class DbmgrOptions(HomeOptions):
    command = "dbmgr"
    longdesc = "The database manager alone, on this or another host than the manager."


class RestOptions(HomeOptions):
    command = "rest"
    longdesc = "The REST server alone, on this or another host than the manager."


class ManagerOptions(_Options):
    """The options of the manager."""

    command = "manager"
    longdesc = (
        "Starts, stops and watches the plugins of this host. On the main host give -d -r -p -E; on "
        "the others -p."
    )
    optFlags = [
        ["dbmgr", "d", "Start database manager if not already running."],
        ["rest", "r", "Start REST if not already running."],
        ["ping", "p", "Activate background ping for all plugins."],
        ["external", "E", "This manager is the one who looks for external members."],
        _FOREGROUND,
        ["wait", None, "Return only when it is ready, telling what it does (dmg_manager only)."],
        ["keep-children", None, "A stop leaves the children running for the next manager."],
    ]
    optParameters = [
        ["ping-duration", "t", 10.0, "Time for an xPL ping, in seconds.", None],
        ["wait-between-pings", "w", 15.0, "Time between two xPL pings, in seconds.", None],
        _HOME,
        _CONFIG,
    ]

    def opt_H(self) -> None:
        self["external"] = True

    opt_H.__doc__ = None

    def postOptions(self) -> None:
        for name in ("ping-duration", "wait-between-pings"):
            try:
                seconds = float(self[name])
            except ValueError:
                raise usage.UsageError(f"--{name} takes seconds, not '{self[name]}'") from None
            if not 0 < seconds <= 3600:
                raise usage.UsageError(f"--{name} is more than 0 and at most 3600 seconds")
            self[name] = seconds
