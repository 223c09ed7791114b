"""Commands that are operations of `/api/v1` and nothing more: made from `commands_table`."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any, NamedTuple
from urllib.parse import quote

from domogik.cli import commands_table
from domogik.cli.client import CHANGE_TIMEOUT_S, ApiAnswer, ApiClient, component_path
from domogik.cli.program import CommandFailed
from domogik.cli.session import Terminal

#: seconds between two looks at a job of another host
JOB_PAUSE_S = 0.5
#: how a job is when nothing comes of it any more
ENDED = ("done", "failed")


class Command(NamedTuple):
    """A row of the table; `words` are what is typed, such as `dmg_ctl daemon start`."""

    words: str
    help: str
    method: str
    path: str
    says: str
    parameters: tuple[tuple[str, str, str, bool], ...]

    @property
    def name(self) -> str:
        """The last of its words."""
        return self.words.rpartition(" ")[2]

    @property
    def verb(self) -> str:
        """What stands in the path behind the names."""
        return self.path.rpartition("/")[2]


def commands_of(program: str) -> Iterator[Command]:
    """Those of a program, or of a group of its commands (`dmg_ctl daemon`)."""
    for row in commands_table.COMMANDS:
        command = Command(*row)
        if command.words.rpartition(" ")[0] == program:
            yield command


def add_parameters(options: argparse.ArgumentParser, command: Command) -> None:
    """What the command takes beside the names of what it acts on."""
    options.set_defaults(operation=command)
    for name, text, kind, is_required in command.parameters:
        text = text[:1].lower() + text[1:].rstrip(".")
        if kind == "word":
            nargs = None if is_required else "?"
            options.add_argument(name, nargs=nargs, metavar=name.upper(), help=text)
        elif kind == "flag":
            options.add_argument(f"--{name.replace('_', '-')}", action="store_true", help=text)
        else:
            options.add_argument(f"--{name.replace('_', '-')}", help=text)


def given(options: argparse.Namespace) -> dict[str, str | None]:
    """The parameters as the query of a request has them."""
    query: dict[str, str | None] = {}
    for name, _, kind, _ in options.operation.parameters:
        value = getattr(options, name)
        query[name] = ("yes" if value else None) if kind == "flag" else value
    return query


def begin(terminal: Terminal, **names: str) -> ApiAnswer:
    """Ask for the operation; `names` fill those of its path, and one that is not there the host."""
    options, command = terminal.options, terminal.options.operation
    path: str = command.path
    for name, text in names.items():
        path = path.replace(f"{{{name}}}", quote(text, safe=":", errors="surrogateescape"))
    host = options.host if names else None
    return terminal.client.begin(
        command.method, path, CHANGE_TIMEOUT_S, host=host, **given(options)
    )


def finished(client: ApiClient, document: Any) -> Any:
    """The document, or where it is a job, that job when it is done; raises `CommandFailed`."""
    is_job = "subject" in document
    while is_job and document["state"] not in ENDED:
        time.sleep(JOB_PAUSE_S)  # noqa: TID251 - nothing else happens in this program
        document = client.get(f"/jobs/{document['id']}")
    if is_job and document["state"] == "failed":
        raise CommandFailed(document["error"])
    return document


def component_after(terminal: Terminal, name: str, document: Any) -> Any:
    """What an order to a component came to, also where another host takes its time for it."""
    if "subject" not in finished(terminal.client, document):
        return document
    return terminal.client.get(component_path(name), host=terminal.options.host)
