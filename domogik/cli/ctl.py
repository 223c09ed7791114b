"""`dmg_ctl`: look at components and tell them what to do, through `/api/v1` and nothing else."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import attrs

from domogik.cli import components
from domogik.cli.client import (
    CHANGE_TIMEOUT_S,
    EVENTS,
    EVENTS_TIMEOUT_S,
    PLAIN,
    READ_TIMEOUT_S,
    Address,
    Answer,
    BrokenOff,
    Client,
    Refused,
    component_path,
    find_token,
)
from domogik.cli.program import (
    FAILED,
    CommandFailed,
    add_home,
    complain,
    configuration_files,
    parser,
    run,
)
from domogik.cli.terminal import Palette, now, printable_log, wants_colours
from domogik.config.home import Home

NAME = "dmg_ctl"
VERBS = {
    "start": "start components; returns once they are alive or running",
    "stop": "stop components; returns once no process of theirs is left",
    "restart": "stop them if they run, then start them",
    "enable": "have them started with the manager",
    "disable": "do not have them started with the manager; not while they run",
}
DEFAULT_LINES = 100
#: as `/api/v1` has it
MOST_LINES = 10_000
#: requests that are under way together
TOGETHER = 20

_CLEAR_SCREEN = "\x1b[H\x1b[J"


@attrs.define(eq=False)
class Terminal:
    """What a command needs: whom to ask, what was asked for, where to write."""

    client: Client
    options: argparse.Namespace
    palette: Palette
    is_terminal: bool

    def say(self, text: str) -> None:
        """A line, or lines that end in LF."""
        sys.stdout.write(text if text.endswith("\n") else f"{text}\n")
        sys.stdout.flush()

    def say_json(self, document: object) -> None:
        """One document, in one line."""
        self.say(json.dumps(document, ensure_ascii=True))

    def check_host(self) -> None:
        """Raises `CommandFailed` for a host that was never heard: to ask it would take a minute."""
        host = self.options.host
        if host is None:
            return
        document = self.client.get("/hosts")
        known = sorted({document["host"], *(entry["id"] for entry in document["hosts"])})
        if host not in known:
            raise CommandFailed(f"no host '{host}' was heard; known: {', '.join(known)}")

    def ask_all(self, begin: Callable[[str], Answer]) -> Iterator[tuple[str, Any]]:
        """Each component that was named, and its document; what is refused is complained about.

        Several are asked together, so that slow ones are slow together. Raises `Unreachable`.
        """
        names: Sequence[str] = self.options.components
        for first in range(0, len(names), TOGETHER):
            portion = names[first : first + TOGETHER]
            for name, answer in [(name, begin(name)) for name in portion]:
                try:
                    yield name, answer.document()
                except Refused as error:
                    complain(NAME, f"{name}: {error}" if name not in str(error) else str(error))
                    yield name, None


def status(terminal: Terminal) -> int:
    """`status`, once or for as long as somebody watches."""
    terminal.check_host()
    if not terminal.options.watch:
        return _show_status(terminal, "")
    clear = _CLEAR_SCREEN if terminal.is_terminal else ""
    for line in _endless(terminal.client.stream("/events", EVENTS, EVENTS_TIMEOUT_S)):
        # `retry:` comes first, when no event can be missed any more; a comment every 15 s
        is_time = line.startswith(":") and terminal.is_terminal
        if is_time or line.startswith(("retry:", "event:")):
            _show_status(terminal, clear)
    raise AssertionError("it has no end")


def _endless(lines: Iterator[str]) -> Iterator[str]:
    """Raises `CommandFailed` where the server ends what has no end."""
    with contextlib.suppress(BrokenOff):
        yield from lines
    raise CommandFailed("the manager ended it: it stopped, was upgraded, or we were too slow")


def _show_status(terminal: Terminal, before: str) -> int:
    client, host = terminal.client, terminal.options.host
    result = 0
    if terminal.options.components:
        found = []
        for _, document in terminal.ask_all(
            lambda name: client.begin("GET", component_path(name), READ_TIMEOUT_S, host=host)
        ):
            if document is None:
                result = FAILED
            else:
                found.append(document)
    else:
        found = client.get("/components", host=host)["components"]
    if terminal.options.json:
        terminal.say_json(found)
    elif found:
        terminal.say(before + components.table_of(found, now(), terminal.palette))
    return result


def change(terminal: Terminal) -> int:
    """`start` and the other verbs."""
    terminal.check_host()
    verb, host = terminal.options.command, terminal.options.host
    result, done = 0, []
    for _, document in terminal.ask_all(
        lambda name: terminal.client.begin(
            "POST", component_path(name, verb), CHANGE_TIMEOUT_S, host=host
        )
    ):
        if document is None:
            result = FAILED
            continue
        done.append(document)
        if not terminal.options.json:
            terminal.say(components.sentence(document, terminal.palette))
    if terminal.options.json:
        terminal.say_json(done)
    return result


def logs(terminal: Terminal) -> int:
    """`logs`, with `-f` until the manager ends it."""
    terminal.check_host()
    options = terminal.options
    lines = terminal.client.stream(
        component_path(options.component, "logs"),
        PLAIN,
        None if options.follow else READ_TIMEOUT_S,
        host=options.host,
        lines=str(options.lines),
        follow="true" if options.follow else None,
    )
    for line in _endless(lines) if options.follow else lines:
        if options.json:
            line = json.dumps({"line": line})
        elif terminal.is_terminal:
            line = printable_log(line)
        sys.stdout.write(f"{line}\n")
        if options.follow:
            sys.stdout.flush()
    return 0


def upgrade(terminal: Terminal) -> int:
    """`upgrade`: answered before the manager does it."""
    document = terminal.client.begin("POST", "/upgrade", READ_TIMEOUT_S).document()
    if terminal.options.json:
        terminal.say_json(document)
    else:
        terminal.say("The manager executes itself anew; what it has started goes on")
    return 0


def _options() -> argparse.ArgumentParser:
    made = parser(NAME, "Look at the components of Domogik and tell them what to do.")
    _add_common(made, None)
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, work: Callable[[Terminal], int]) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.set_defaults(work=work)
        # what is not given here must not hide what was given before the command
        _add_common(one, argparse.SUPPRESS)
        return one

    shown = command("status", "how components are; all, where none is named", status)
    shown.add_argument("components", nargs="*", type=_component, metavar="COMPONENT")
    shown.add_argument(
        "-w", "--watch", action="store_true", help="show it again whenever something changes"
    )
    for verb, text in VERBS.items():
        one = command(verb, text, change)
        one.add_argument("components", nargs="+", type=_component, metavar="COMPONENT")
    output = command("logs", "what a component wrote", logs)
    output.add_argument("component", type=_component, metavar="COMPONENT")
    output.add_argument(
        "-n",
        "--lines",
        type=_lines,
        default=DEFAULT_LINES,
        help=f"how many of the last lines, at most {MOST_LINES} (default {DEFAULT_LINES})",
    )
    output.add_argument("-f", "--follow", action="store_true", help="go on with every new line")
    command("upgrade", "execute the manager anew; what it has started goes on", upgrade)
    return made


def _add_common(options: argparse.ArgumentParser, default: Any) -> None:
    add_home(options, default)
    options.add_argument(
        "--url",
        default=default,
        help="where REST answers (default: $DOMOGIK_URL, else what the home's run/rest.port says)",
    )
    options.add_argument(
        "--token-file",
        metavar="FILE",
        default=default,
        help="holds the token (default: $DOMOGIK_TOKEN, else the home's admin.token)",
    )
    options.add_argument(
        "--host", default=default, help="the Domogik host that is meant (default: that of REST)"
    )
    options.add_argument(
        "--json", action="store_true", default=default or False, help="for programs"
    )


def _component(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a component has a name")
    return text


def _lines(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= MOST_LINES):
        raise argparse.ArgumentTypeError(f"a number from 0 to {MOST_LINES}, not '{text}'")
    return int(text)


def _client(options: argparse.Namespace) -> Client:
    home = Home.from_options(options.home, os.environ)
    url = options.url or os.environ.get("DOMOGIK_URL")
    if url:
        address = Address.parse(url)
    else:
        address = Address.of_home(home, configuration_files(home, options, os.environ))
    token = find_token(options.token_file, os.environ, home)
    return Client(address, token, f"{home.token} cannot be read, so give one with --token-file")


def _work(arguments: list[str]) -> int:
    options = _options().parse_args(arguments)
    palette = Palette(wants_colours(sys.stdout, os.environ))
    terminal = Terminal(_client(options), options, palette, sys.stdout.isatty())
    work: Callable[[Terminal], int] = options.work
    return work(terminal)


def main() -> int:
    """The command; its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
