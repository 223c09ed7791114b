"""The daemons by name: their options, their services, and what they print when they are ready."""

from __future__ import annotations

import os
import shlex
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import attrs
from twisted.application.service import IService

from domogik import __version__
from domogik.app.commands.options import DbmgrOptions, HubOptions, ManagerOptions, RestOptions
from domogik.app.commands.runner import DaemonRun, catch_signals
from domogik.app.parts.foundation import Foundation
from domogik.app.parts.manager import ManagerDaemon
from domogik.app.parts.single import DbmgrDaemon, HubDaemon, RestDaemon, SingleDaemon
from domogik.app.roles import ManagerRoles
from domogik.config.home import Home

Options = Mapping[str, Any]


def _manager(options: Options, run: DaemonRun, foundation: Foundation) -> IService:
    daemon = ManagerDaemon(
        run.reactor,
        foundation,
        ManagerRoles.from_options(options),
        progress=run.progress,
        on_failure=run.fail,
        on_upgrade=run.upgrade,
    )
    if options["foreground"]:
        run.progress.on_ready.append(lambda: _banner(daemon, foundation))
    else:
        run.progress.words = lambda: _words(daemon, foundation)
    catch_signals(
        run.reactor,
        reload=daemon.reload_soon,
        upgrade=daemon.upgrade,
        terminal=sys.stdin is not None and sys.stdin.isatty(),
    )
    return daemon


def _single(daemon: type[SingleDaemon]) -> Callable[[Options, DaemonRun, Foundation], IService]:
    def make(options: Options, run: DaemonRun, foundation: Foundation) -> IService:
        catch_signals(run.reactor)
        return daemon(run.reactor, foundation, run.progress, run.fail)

    return make


@attrs.frozen
class DaemonKind:
    """A daemon that can be started. `make` raises `CannotStart`; the log file has its `name`."""

    name: str
    description: str
    options: type[Any]
    make: Callable[[Options, DaemonRun, Foundation], IService]


KINDS = {
    kind.name: kind
    for kind in (
        DaemonKind("manager", "The manager of this host's plugins.", ManagerOptions, _manager),
        DaemonKind("hub", "The xPL hub alone.", HubOptions, _single(HubDaemon)),
        DaemonKind("dbmgr", "The database manager alone.", DbmgrOptions, _single(DbmgrDaemon)),
        DaemonKind("rest", "The REST server alone.", RestOptions, _single(RestDaemon)),
    )
}


def upgrade_command(name: str, options: Options) -> list[str]:
    """Return the command that an upgrade executes: the same daemon in the foreground."""
    command = [sys.executable, "-m", "domogik.app", name, "--foreground"]
    for option, value in options.items():
        if option in ("foreground", "wait") or value in (None, 0, False):
            continue
        command += [f"--{option}"] if value in (1, True) else [f"--{option}", str(value)]
    return command


_COLUMNS = 80
#: where packages are managed, what is tried has to be installed first
_INSTALLING = ("dmg_pkgmgr update-cache", "dmg_pkgmgr install diskfree")


def _words(daemon: ManagerDaemon, foundation: Foundation) -> tuple[str, ...]:
    """Return the lines that say where it answers, where its log is, and how to stop it."""
    rest = daemon.core.rest
    address = str(foundation.home.socket) if rest is None else rest.address
    log = foundation.log_directory / "manager.log"
    return (f"address: {address}", f"log:     {log}", f"to stop: kill {os.getpid()}")


def _shell_setup(foundation: Foundation) -> list[str]:
    """Return the commands that another terminal needs to use this installation and this home."""
    directory, path = Path(sys.argv[0]).absolute().parent, foundation.home.path
    lines = []
    if (directory / "activate").exists():
        if directory.is_relative_to(Path.cwd()):
            lines.append(f"cd {shlex.quote(str(Path.cwd()))}")
            directory = directory.relative_to(Path.cwd())
        lines.append(f". {shlex.quote(str(directory / 'activate'))}")
    if path != Home.from_options(None, {}).path:
        lines.append(f"export DOMOGIK_HOME={shlex.quote(str(path))}")
    one = " && ".join(lines)
    return [one] if 0 < len(one) <= _COLUMNS - 2 else lines


def _banner(daemon: ManagerDaemon, foundation: Foundation) -> None:
    """Print the addresses and the commands to try next."""
    lines = [f"Domogik {__version__} on {foundation.settings.hostname} is ready"]
    if daemon.core.rest is not None:
        lines.append(f"  API   {daemon.core.rest.address}/api/v1/components")
    lines += [
        f"  home  {foundation.home.path}",
        "Try in a second terminal:",
        *(f"  {line}" for line in _shell_setup(foundation)),
        "  dmg_ctl status",
        *(f"  {line}" for line in _INSTALLING if foundation.settings.package_mode),
        "  dmg_ctl enable diskfree",
        "  dmg_ctl start diskfree",
        "  dmg_dump",
    ]
    sys.stdout.write("\n".join(lines) + "\n")
    sys.stdout.flush()
