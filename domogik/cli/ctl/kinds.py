"""`dmg_ctl daemon` and `dmg_ctl unit`: one kind of component, by bare names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from domogik.cli.client import component_path
from domogik.cli.ctl import components, health
from domogik.cli.operations import add_parameters, begin, commands_of, component_after
from domogik.cli.session import Terminal
from domogik.cli.terminal import Cell, now, printable, table

Document = Mapping[str, Any]
Work = Callable[[Terminal], int]


def id_of(kind: str, name: str) -> str:
    """The id that a person means who says `cache` or `daemon:cache`."""
    return name if name.startswith(f"{kind}:") else f"{kind}:{name}"


@attrs.define(eq=False)
class Commands:
    """The commands of `dmg_ctl <kind>`; `common` adds what all commands take."""

    _made: argparse.ArgumentParser
    _kind: str
    _common: Callable[[argparse.ArgumentParser], None]
    _all: Any = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self._all = self._made.add_subparsers(dest="order", required=True, metavar="COMMAND")

    def add(self, name: str, text: str, work: Work | None = None) -> argparse.ArgumentParser:
        """One more."""
        one: argparse.ArgumentParser = self._all.add_parser(
            name, help=text, description=text, allow_abbrev=False
        )
        if work is not None:
            one.set_defaults(work=work)
        self._common(one)
        return one

    def named(self, name: str, text: str, work: Work) -> argparse.ArgumentParser:
        """One that is about a component, which is `options.component` then."""
        one = self.add(name, text, work)
        one.add_argument("component", type=self._name, metavar="NAME")
        return one

    def _name(self, text: str) -> str:
        if not text.removeprefix(f"{self._kind}:"):
            raise argparse.ArgumentTypeError(f"a {self._kind} has a name")
        return id_of(self._kind, text)


def get(terminal: Terminal, verb: str = "") -> Any:
    """What is said of the component."""
    options = terminal.options
    return terminal.client.get(component_path(options.component, verb), host=options.host)


def list_of(kind: str) -> Work:
    """`list`."""

    def work(terminal: Terminal) -> int:
        terminal.check_host()
        found = terminal.client.get("/components", kind=kind, host=terminal.options.host)
        if terminal.options.json:
            terminal.say_json(found["components"])
        elif found["components"]:
            terminal.say(components.table_of(found["components"], now(), terminal.palette))
        else:
            terminal.say(f"No {kind} is declared; see dmg_ctl {kind} --help")
        return 0

    return work


def detail(terminal: Terminal) -> int:
    """`detail`: how it is, and what it was configured with."""
    terminal.check_host()
    shown, values = get(terminal), get(terminal, "config")["values"]
    if terminal.options.json:
        terminal.say_json({**shown, "values": values})
        return 0
    terminal.say(components.sentence(shown, terminal.palette))
    rows = [[Cell(key), Cell(printable(value))] for key, value in values.items()]
    terminal.say(table(["KEY", "VALUE"], rows, terminal.palette))
    return 0


def carry_out(terminal: Terminal) -> int:
    """An operation on one component, or on none."""
    if "{id}" in terminal.options.operation.path:
        terminal.check_host()
        name = terminal.options.component
        document = component_after(terminal, name, begin(terminal, id=name).document())
    else:
        health.refuse_other_hosts(terminal)
        document = begin(terminal).document()
    if terminal.options.json:
        terminal.say_json(document)
        return 0
    terminal.say(components.said(terminal, document))
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


def diagnose(terminal: Terminal) -> int:
    """`diagnose`: as `dmg_ctl diagnose unit:NAME`."""
    terminal.options.components = [terminal.options.component]
    return health.diagnose(terminal)


def add_commands(
    made: argparse.ArgumentParser,
    kind: str,
    common: Callable[[argparse.ArgumentParser], None],
    logs: Callable[[argparse.ArgumentParser], None],
) -> None:
    """The commands of `dmg_ctl <kind>`; `common` and `logs` add what all, and `logs`, take."""
    commands = Commands(made, kind, common)
    commands.add("list", f"the {kind}s that are declared", list_of(kind))
    commands.named("detail", "how it is, and what its section says; no secrets", detail)
    for command in commands_of(f"dmg_ctl {kind}"):
        add = commands.named if "{id}" in command.path else commands.add
        add_parameters(add(command.name, command.help, carry_out), command)
    logs(commands.add("logs", "the end of what it wrote"))
    if kind == "daemon":
        commands.named("backups", "the files that backups wrote", backups)
    else:
        looked = commands.named("diagnose", "whether it is well, and what can be done", diagnose)
        looked.set_defaults(problems=False)
