"""`dmg_ctl config`: what a plugin is configured with."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from urllib.parse import quote

from domogik.cli.client import CHANGE_TIMEOUT_S, component_path
from domogik.cli.program import FAILED
from domogik.cli.session import Terminal
from domogik.cli.terminal import Cell, printable, table
from domogik.components.model import STARTUP_KEY

_ACTIONS = ("list", "get", "set", "unset")
_WORDS = {"list": 0, "get": 1, "set": 2, "unset": 1}


def config(terminal: Terminal) -> int:
    """`config NAME list|get KEY|set KEY VALUE|unset KEY`; 1 where `get` finds nothing."""
    terminal.check_host()
    options, client = terminal.options, terminal.client
    path = component_path(options.component, "config")
    if options.action in ("set", "unset"):
        key = quote(options.words[0], safe="", errors="surrogateescape")
        value = options.words[1] if options.action == "set" else ""
        stored = client.send(
            f"{path}/{key}", {"value": value}, CHANGE_TIMEOUT_S, "PUT", host=options.host
        )
        if options.json:
            terminal.say_json(stored)
        else:
            said = f" = {printable(stored['value'])}" if stored["value"] else " is not set any more"
            terminal.say(f"{printable(stored['key'])}{said}")
        return 0
    found = client.get(path, host=options.host)
    declared = (
        key for key in found["keys"] if key["key"] != STARTUP_KEY
    )  # its default never counts
    values = {key["key"]: key["default"] or "" for key in declared} | found["values"]
    if options.action == "get":
        return _get(terminal, values)
    if options.json:
        terminal.say_json(values)
    elif values:
        rows = [
            [
                Cell(key),
                Cell(printable(value)),
                Cell("set" if key in found["values"] else "default"),
            ]
            for key, value in values.items()
        ]
        terminal.say(table(["KEY", "VALUE", "FROM"], rows, terminal.palette))
    return 0


def _get(terminal: Terminal, values: dict[str, str]) -> int:
    value = values.get(terminal.options.words[0], "")
    if terminal.options.json:
        terminal.say_json(value or None)
    elif value:
        terminal.say(value)
    return 0 if value else FAILED


class _Words(argparse.Action):
    """As many as the action takes."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: object,
        option_string: str | None = None,
    ) -> None:
        assert isinstance(values, list)
        wanted = _WORDS[namespace.action]
        if len(values) != wanted:
            parser.error(f"'{namespace.action}' takes {wanted} words: KEY, and for 'set' VALUE")
        namespace.words = values


def add_command(
    command: Callable[[str, str, Callable[[Terminal], int]], argparse.ArgumentParser],
    component: Callable[[str], str],
) -> None:
    """`command` makes one, with what all of them take; `component` reads the name of one."""
    one = command("config", "what a plugin is configured with, and change it", config)
    one.add_argument("component", type=component, metavar="NAME")
    one.add_argument("action", nargs="?", choices=_ACTIONS, default="list")
    one.add_argument("words", nargs="*", action=_Words, metavar="KEY [VALUE]")
