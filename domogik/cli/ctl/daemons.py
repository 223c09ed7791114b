"""`dmg_ctl daemon`: managed daemons, through `/api/v1`."""

from __future__ import annotations

import argparse
from collections.abc import Callable

from domogik.cli.ctl.kinds import Commands, detail, get, list_of, order, post, say
from domogik.cli.session import Terminal
from domogik.cli.terminal import Cell, table

_ORDERS = {
    "start": "start it; returns once it answers",
    "stop": "stop who needs it, then it; returns once no process is left",
    "restart": "stop it if it runs, then start it, with who needs it",
    "reload": "have it read its configuration again",
}


def credentials(terminal: Terminal) -> int:
    """`credentials`: the URL alone, for programs to take."""
    document = get(terminal, "credentials")
    if terminal.options.json:
        terminal.say_json(document)
    else:
        terminal.say(document["url"])
    return 0


def backup(terminal: Terminal) -> int:
    """`backup`: says the name of the file."""
    document = post(terminal, "backup", file=terminal.options.file)
    if terminal.options.json:
        terminal.say_json(document)
    else:
        terminal.say(f"{document['file']}: {document['size_bytes']} bytes")
    return 0


def backups(terminal: Terminal) -> int:
    """`backups`: the newest first."""
    found = get(terminal, "backups")["backups"]
    if terminal.options.json:
        terminal.say_json(found)
        return 0
    rows = [[Cell(one["file"]), Cell(one["size_bytes"]), Cell(one["written"])] for one in found]
    if rows:
        terminal.say(table(["FILE", "BYTES", "WRITTEN"], rows, terminal.palette))
    return 0


def restore(terminal: Terminal) -> int:
    """`restore`."""
    say(terminal, post(terminal, "restore", file=terminal.options.file))
    return 0


def add_commands(
    made: argparse.ArgumentParser,
    common: Callable[[argparse.ArgumentParser], None],
    logs: Callable[[argparse.ArgumentParser], None],
) -> None:
    """The commands of `dmg_ctl daemon`; `common` and `logs` add what all, and `logs`, take."""
    commands = Commands(made, "daemon", common)
    commands.add("list", "the daemons there are", list_of("daemon"))
    commands.named("detail", "how it is, and what it was configured with; no secrets", detail)
    for name, text in _ORDERS.items():
        commands.named(name, text, order)
    logs(commands.add("logs", "what it wrote"))
    commands.named("credentials", "where it is reached, with its password", credentials)
    saved = commands.named(
        "backup", "write all its data into a new file of the home's backups", backup
    )
    saved.add_argument(
        "file", nargs="?", metavar="FILE", help="by default of its name and the time"
    )
    commands.named("backups", "the files that backups wrote", backups)
    put_back = commands.named("restore", "put a backup in place of its data", restore)
    put_back.add_argument("file", metavar="FILE")
