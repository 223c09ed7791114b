"""`dmg_ctl config`: what a plugin is configured with; `check-config`: what is wrong in files."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

from domogik.cli.client import CHANGE_TIMEOUT_S, component_path
from domogik.cli.ctl.components import Document
from domogik.cli.program import FAILED, CommandFailed, configuration_files, home_of
from domogik.cli.session import Terminal
from domogik.cli.terminal import Cell, printable, table
from domogik.components.model import STARTUP_KEY
from domogik.config.home import Home
from domogik.config.load import BrokenConfiguration
from domogik.errors import did_you_mean

#: what is refused of the files, and what is odd, each a sentence with file and line
Findings = Callable[[Sequence[Path], Home], tuple[Sequence[BrokenConfiguration], Sequence[str]]]
_ACTIONS = ("list", "get", "set", "unset")
_WORDS = {"list": 0, "get": 1, "set": 2, "unset": 1}


def config(terminal: Terminal) -> int:
    """`config NAME list|get KEY|set KEY VALUE|unset KEY`; 1 where `get` finds nothing."""
    terminal.check_host()
    options, client = terminal.options, terminal.client
    path = component_path(options.component, "config")
    if options.action in ("get", "unset"):
        _check_key(client.get(path, host=options.host), options.words[0])
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


def _check_key(found: Document, key: str) -> None:
    """Raises `CommandFailed` for a key that is neither declared nor stored."""
    known = [STARTUP_KEY, "nb-int", *(one["key"] for one in found["keys"]), *found["values"]]
    numbered = re.sub(r"-[0-9]+$", "", key)  # of an interface, as device-2
    if found["keys"] and not {key, numbered} & {*known}:
        raise CommandFailed(f"There is no key {key}.{did_you_mean(key, known)}")


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


def check(options: argparse.Namespace, findings: Findings) -> int:
    """`check-config [FILE]`: what is wrong with the configuration; 1 where something is."""
    home = home_of(options, os.environ)
    options.config = options.file or options.config
    files = configuration_files(home, options, os.environ)
    refused, odd = findings(files, home)
    if options.json:
        document = [
            {
                "file": str(one.path),
                "line": one.line,
                "section": one.section,
                "key": one.key,
                "result": "failed",
                "message": one.sentence,
            }
            for one in refused
        ]
        document += [{"result": "warning", "message": sentence} for sentence in odd]
        sys.stdout.write(f"{json.dumps(document)}\n")
    else:
        lines = [*map(str, refused), *(f"warning: {sentence}" for sentence in odd)]
        named = " and ".join(str(file) for file in files if file.exists())
        named = f"{named}: in order" if named else f"{files[-1]} is not there: the defaults count"
        sys.stdout.write("".join(f"{printable(line)}\n" for line in lines) or f"{named}\n")
    return FAILED if refused or odd else 0


def add_commands(
    command: Callable[[str, str, Callable[[Terminal], int]], argparse.ArgumentParser],
    component: Callable[[str], str],
) -> None:
    """`command` makes one, with what all of them take; `component` reads the name of one."""
    one = command("config", "what a plugin is configured with, and change it", config)
    one.add_argument("component", type=component, metavar="NAME")
    one.add_argument("action", nargs="?", choices=_ACTIONS, default="list")
    one.add_argument("words", nargs="*", action=_Words, metavar="KEY [VALUE]")
    text = "what is wrong with the configuration, with file and line; no manager is asked"
    one = command("check-config", text, _not_asked)
    one.add_argument("file", nargs="?", metavar="FILE", help="instead of the one in force")


def _not_asked(terminal: Terminal) -> int:
    raise AssertionError("it needs no manager")
