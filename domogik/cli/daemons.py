"""`dmg_ctl daemon`: managed daemons, through `/api/v1`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

from domogik.cli import components
from domogik.cli.client import CHANGE_TIMEOUT_S, component_path
from domogik.cli.session import Terminal
from domogik.cli.terminal import Cell, now, printable, table

Document = Mapping[str, Any]
Work = Callable[[Terminal], int]

_ORDERS = {
    "start": "start it; returns once it answers",
    "stop": "stop who needs it, then it; returns once no process is left",
    "restart": "stop it if it runs, then start it, with who needs it",
    "reload": "have it read its configuration again",
}


def daemon_id(name: str) -> str:
    """The id that a person means who says `cache` or `daemon:cache`."""
    return name if name.startswith("daemon:") else f"daemon:{name}"


def _get(terminal: Terminal, verb: str = "") -> Any:
    options = terminal.options
    return terminal.client.get(component_path(options.daemon, verb), host=options.host)


def _post(terminal: Terminal, verb: str, **query: str | None) -> Any:
    options = terminal.options
    answer = terminal.client.begin(
        "POST", component_path(options.daemon, verb), CHANGE_TIMEOUT_S, host=options.host, **query
    )
    return answer.document()


def list_all(terminal: Terminal) -> int:
    """`list`."""
    terminal.check_host()
    found = terminal.client.get("/components", kind="daemon", host=terminal.options.host)
    if terminal.options.json:
        terminal.say_json(found["components"])
    elif found["components"]:
        terminal.say(components.table_of(found["components"], now(), terminal.palette))
    return 0


def detail(terminal: Terminal) -> int:
    """`detail`: how it is, and what it was configured with."""
    terminal.check_host()
    shown, values = _get(terminal), _get(terminal, "config")["values"]
    if terminal.options.json:
        terminal.say_json({**shown, "values": values})
        return 0
    terminal.say(components.sentence(shown, terminal.palette))
    rows = [[Cell(key), Cell(printable(value))] for key, value in values.items()]
    terminal.say(table(["KEY", "VALUE"], rows, terminal.palette))
    return 0


def order(terminal: Terminal) -> int:
    """`start`, `stop`, `restart`, `reload`."""
    terminal.check_host()
    _say(terminal, _post(terminal, terminal.options.daemon_command))
    return 0


def credentials(terminal: Terminal) -> int:
    """`credentials`: the URL alone, for programs to take."""
    document = _get(terminal, "credentials")
    if terminal.options.json:
        terminal.say_json(document)
    else:
        terminal.say(document["url"])
    return 0


def backup(terminal: Terminal) -> int:
    """`backup`: says the name of the file."""
    document = _post(terminal, "backup", file=terminal.options.file)
    if terminal.options.json:
        terminal.say_json(document)
    else:
        terminal.say(f"{document['file']}: {document['size_bytes']} bytes")
    return 0


def backups(terminal: Terminal) -> int:
    """`backups`: the newest first."""
    found = _get(terminal, "backups")["backups"]
    if terminal.options.json:
        terminal.say_json(found)
        return 0
    rows = [[Cell(one["file"]), Cell(one["size_bytes"]), Cell(one["written"])] for one in found]
    if rows:
        terminal.say(table(["FILE", "BYTES", "WRITTEN"], rows, terminal.palette))
    return 0


def restore(terminal: Terminal) -> int:
    """`restore`."""
    _say(terminal, _post(terminal, "restore", file=terminal.options.file))
    return 0


def _say(terminal: Terminal, document: Document) -> None:
    if terminal.options.json:
        terminal.say_json(document)
    else:
        terminal.say(components.sentence(document, terminal.palette))


def add_commands(
    made: argparse.ArgumentParser,
    common: Callable[[argparse.ArgumentParser], None],
    logs: Callable[[argparse.ArgumentParser], None],
) -> None:
    """The commands of `dmg_ctl daemon`; `common` and `logs` add what all, and `logs`, take."""
    commands = made.add_subparsers(dest="daemon_command", required=True, metavar="COMMAND")

    def command(name: str, text: str, work: Work | None) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        if work is not None:
            one.set_defaults(work=work)
        common(one)
        return one

    def named(name: str, text: str, work: Work) -> argparse.ArgumentParser:
        one = command(name, text, work)
        one.add_argument("daemon", type=_name, metavar="NAME")
        return one

    command("list", "the daemons there are", list_all)
    named("detail", "how it is, and what it was configured with; no secrets", detail)
    for name, text in _ORDERS.items():
        named(name, text, order)
    logs(command("logs", "what it wrote", None))
    named("credentials", "where it is reached, with its password", credentials)
    saved = named("backup", "write all its data into a new file of the home's backups", backup)
    saved.add_argument(
        "file", nargs="?", metavar="FILE", help="by default of its name and the time"
    )
    named("backups", "the files that backups wrote", backups)
    put_back = named("restore", "put a backup in place of its data", restore)
    put_back.add_argument("file", metavar="FILE")


def _name(text: str) -> str:
    if not text.removeprefix("daemon:"):
        raise argparse.ArgumentTypeError("a daemon has a name")
    return daemon_id(text)
