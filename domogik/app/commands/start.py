"""The entry points `dmg_manager`, `dmg_hub`, `dmg_dbmgr`, `dmg_rest`, `dmg_pkgmgr` and
`dmg_daemon`.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn

from domogik.app.progress import StartProgress
from domogik.config.home import Home


def _main(name: str, arguments: list[str]) -> NoReturn:
    # imported here: the background needs a fork before any reactor is made
    from domogik.app.commands.options import DbmgrOptions, HubOptions, ManagerOptions, RestOptions
    from domogik.app.commands.runner import run_background

    kinds = {
        "manager": ManagerOptions,
        "hub": HubOptions,
        "dbmgr": DbmgrOptions,
        "rest": RestOptions,
    }
    options = kinds[name]()
    options.parseOptions(arguments)
    _make_absolute(options)
    if options["foreground"]:
        _foreground(name, options, StartProgress.from_environment(os.environ))
    run_background(
        lambda progress: _foreground(name, options, progress), wait=bool(options.get("wait"))
    )


def _make_absolute(options: Any) -> None:
    """Make the paths absolute, since the background changes to `/`."""
    options["home"] = str(Home.from_options(options["home"], os.environ).path)
    if options["config"]:
        options["config"] = str(Path(options["config"]).absolute())


def _foreground(name: str, options: Any, progress: StartProgress) -> NoReturn:
    from domogik.app.commands.daemons import KINDS, upgrade_command
    from domogik.app.commands.runner import run_foreground
    from domogik.app.parts import logs
    from domogik.app.parts.foundation import CannotStart, Foundation

    try:
        foundation = Foundation.load(options, os.environ)
        logs.begin(
            foundation.log_directory,
            name,
            foundation.settings.log_level,
            terminal=bool(options["foreground"]),
        )
    except CannotStart as error:
        progress.failed(str(error))
        sys.stderr.write(f"{error}\n")
        sys.exit(1)
    if options.get("packages-only"):
        foundation = foundation.for_packages_only()
    run_foreground(
        lambda run: KINDS[name].make(options, run, foundation),
        progress,
        upgrade_command(name, options),
    )


@contextlib.contextmanager
def _manager_for_packages(home: str | None, config: str | None) -> Iterator[None]:
    """Run a manager on that home for one `dmg_pkgmgr` command; it starts no plugin."""
    from domogik.app.commands.options import ManagerOptions
    from domogik.app.commands.runner import start_background

    words = ["--rest", "--keep-children"]
    for name, value in (("--home", home), ("--config", config)):
        words += [name, value] if value else []
    options = ManagerOptions()
    options.parseOptions(words)
    _make_absolute(options)
    options["packages-only"] = True
    stop = start_background(lambda progress: _foreground("manager", options, progress))
    try:
        yield
    finally:
        stop()


def pkgmgr() -> int:
    """Run `dmg_pkgmgr`; return its exit status."""
    from domogik.cli.pkgmgr.commands import main

    return main(_manager_for_packages)


def daemon() -> int:
    """Run `dmg_daemon`; return its exit status."""
    from domogik.app.commands.run_daemons import run

    return run(sys.argv[1:])


def manager() -> NoReturn:
    """Run `dmg_manager`."""
    _main("manager", sys.argv[1:])


def hub() -> NoReturn:
    """Run `dmg_hub`."""
    _main("hub", sys.argv[1:])


def dbmgr() -> NoReturn:
    """Run `dmg_dbmgr`."""
    _main("dbmgr", sys.argv[1:])


def rest() -> NoReturn:
    """Run `dmg_rest`."""
    _main("rest", sys.argv[1:])


def by_name() -> NoReturn:
    """Run `python -m domogik.app NAME ...`, which an upgrade executes."""
    _main(sys.argv[1], sys.argv[2:])
