"""`dmg_ctl unit`: declared units of systemd, through `/api/v1`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from domogik.cli.ctl import health
from domogik.cli.ctl.kinds import Commands, detail, list_of, order
from domogik.cli.program import CommandFailed
from domogik.cli.session import Terminal

_ORDERS = {
    "start": "start it; returns once systemd says that it runs",
    "stop": "stop it; returns once systemd says that it has stopped",
    "restart": "stop it if it runs, then start it",
    "enable": "have it started with the host, and start it",
    "disable": "do not have it started with the host, and stop it; not while others need it",
}


def diagnose(terminal: Terminal) -> int:
    """`diagnose`: as `dmg_ctl diagnose unit:NAME`."""
    terminal.options.components = [terminal.options.component]
    return health.diagnose(terminal)


def rule(terminal: Terminal) -> int:
    """`rule`: for a manager that is not root; of the host whose REST is asked."""
    options = terminal.options
    if options.host is not None and options.host != terminal.client.get("/hosts")["host"]:
        raise CommandFailed("Not available from another host: ask REST there with --url")
    document = terminal.client.get("/units/rule", user=options.user)
    if options.json:
        terminal.say_json(document)
    else:
        terminal.say(document["rule"])
    return 0


def add_commands(
    made: argparse.ArgumentParser,
    common: Callable[[argparse.ArgumentParser], None],
    logs: Callable[[argparse.ArgumentParser], None],
) -> None:
    """The commands of `dmg_ctl unit`; `common` and `logs` add what all, and `logs`, take."""
    commands = Commands(made, "unit", common)
    commands.add("list", "the units that are declared", list_of("unit"))
    commands.named("detail", "how it is, and what its section says", detail)
    for name, text in _ORDERS.items():
        commands.named(name, text, order)
    logs(commands.add("logs", "the end of its journal"))
    looked = commands.named("diagnose", "whether it is well, and what can be done", diagnose)
    looked.set_defaults(problems=False)
    ruled = commands.add("rule", "print what lets a manager without root manage them", rule)
    ruled.add_argument("--user", help="who may (default: the user the manager runs as)")
