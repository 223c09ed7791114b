"""What `dmg_ctl daemon` and `dmg_ctl unit` have in common: one kind of component, by bare names."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from domogik.cli.client import CHANGE_TIMEOUT_S, component_path
from domogik.cli.ctl import components
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


def post(terminal: Terminal, verb: str, **query: str | None) -> Any:
    """What came of an order to it."""
    options = terminal.options
    path = component_path(options.component, verb)
    answer = terminal.client.begin("POST", path, CHANGE_TIMEOUT_S, host=options.host, **query)
    return answer.document()


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


def order(terminal: Terminal) -> int:
    """`start`, `stop` and whatever else needs no more words."""
    terminal.check_host()
    say(terminal, post(terminal, terminal.options.order))
    return 0


def say(terminal: Terminal, document: Document) -> None:
    """How it is now."""
    if terminal.options.json:
        terminal.say_json(document)
    else:
        terminal.say(components.sentence(document, terminal.palette))
