"""`dmg_ctl`: look at components and tell them what to do, through `/api/v1` and nothing else."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from domogik.cli.client import (
    EVENTS,
    EVENTS_TIMEOUT_S,
    PLAIN,
    READ_TIMEOUT_S,
    ApiAnswer,
    BrokenOff,
    RequestRefused,
    component_path,
)
from domogik.cli.ctl import components, configuration, health, kinds
from domogik.cli.ctl.configuration import Findings
from domogik.cli.ctl.kinds import id_of
from domogik.cli.operations import add_parameters, begin, commands_of, component_after
from domogik.cli.pkgmgr.tables import missing_there
from domogik.cli.program import (
    FAILED,
    CommandFailed,
    complain,
    parser,
    run,
)
from domogik.cli.session import Terminal, add_common, open_terminal
from domogik.cli.terminal import now, printable, printable_log

NAME = "dmg_ctl"
DEFAULT_LINES = 100
#: as `/api/v1` has it
MOST_LINES = 10_000
#: requests that are under way together
TOGETHER = 20
#: seconds between two looks whether the new manager has made its socket
LOOK_PAUSE_S = 0.05

_CLEAR_SCREEN = "\x1b[H\x1b[J"


def ask_all(terminal: Terminal, begin: Callable[[str], ApiAnswer]) -> Iterator[tuple[str, Any]]:
    """Each component that was named, and its document; what is refused is complained about.

    Several are asked together, so that slow ones are slow together. Raises `Unreachable`.
    """
    names: Sequence[str] = terminal.options.components
    for first in range(0, len(names), TOGETHER):
        portion = names[first : first + TOGETHER]
        for name, answer in [(name, begin(name)) for name in portion]:
            try:
                yield name, answer.document()
            except RequestRefused as error:
                complain(NAME, f"{name}: {error}" if name not in str(error) else str(error))
                yield name, None


def status(terminal: Terminal) -> int:
    """`status`, once or until it is interrupted."""
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
        for _, document in ask_all(
            terminal,
            lambda name: client.begin("GET", component_path(name), READ_TIMEOUT_S, host=host),
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
    elif not result:
        terminal.say(f"{before}No component is known on {host}\n" if host else before)
    return result


def change(terminal: Terminal) -> int:
    """`start` and the other orders, each to several components."""
    is_elsewhere = terminal.check_host()
    verb, host = terminal.options.operation.verb, terminal.options.host
    result, done = 0, []
    for name, document in ask_all(terminal, lambda name: begin(terminal, id=name)):
        if document is not None:
            document = _end_of(terminal, name, document)
        if is_elsewhere and verb in ("start", "restart", "enable"):
            for sentence in missing_there(terminal.client, host, name):
                complain(NAME, sentence)
        if document is None:
            result = FAILED
            continue
        done.append(document)
        if not terminal.options.json:
            terminal.say(components.said(terminal, document))
        for warning in document.get("warnings", ()):
            complain(NAME, printable(warning))
    if terminal.options.json:
        terminal.say_json(done)
    return result


def _end_of(terminal: Terminal, name: str, document: Any) -> Any:
    """The component when its order is done, None where that failed after all."""
    try:
        return component_after(terminal, name, document)
    except CommandFailed as error:
        complain(NAME, f"{name}: {error}")
        return None


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
    is_silent = True
    for line in _endless(lines) if options.follow else lines:
        is_silent = False
        if options.json:
            line = json.dumps({"line": line})
        elif terminal.is_terminal:
            line = printable_log(line)
        sys.stdout.write(f"{line}\n")
        if options.follow:
            sys.stdout.flush()
    if is_silent and options.lines and not options.json:
        since = terminal.client.get(component_path(options.component), host=options.host)["since"]
        when = f" since {since}" if since else ""
        complain(NAME, f"{options.component} has written nothing{when}")
    return 0


def upgrade(terminal: Terminal) -> int:
    """`upgrade`: answered before the manager does it; on its own socket the new one is awaited."""
    path = terminal.client.address.socket
    before = None if path is None else _made_at(path)
    document = terminal.client.begin("POST", "/upgrade", READ_TIMEOUT_S).document()
    end = time.monotonic() + READ_TIMEOUT_S
    while path is not None and _made_at(path) in (None, before):
        if time.monotonic() > end:
            raise CommandFailed(f"the manager does not answer yet: {path} was not made anew")
        time.sleep(LOOK_PAUSE_S)  # noqa: TID251 - nothing else happens in this program
    if terminal.options.json:
        terminal.say_json(document)
    else:
        terminal.say("The manager executes itself anew; what it has started goes on")
    return 0


def _made_at(path: Path) -> int | None:
    try:
        return path.stat().st_ctime_ns
    except OSError:
        return None


def _options() -> argparse.ArgumentParser:
    made = parser(NAME, "Look at the components of Domogik and tell them what to do.")
    add_common(made, None)
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, work: Callable[[Terminal], int]) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.set_defaults(work=work)
        # what is not given here must not hide what was given before the command
        add_common(one, argparse.SUPPRESS)
        return one

    shown = command("status", "how components are; all, where none is named", status)
    shown.add_argument("components", nargs="*", type=_component, metavar="COMPONENT")
    shown.add_argument(
        "-w", "--watch", action="store_true", help="show it again whenever something changes"
    )
    for operation in commands_of(NAME):
        one = command(operation.name, operation.help, change)
        one.add_argument("components", nargs="+", type=_component, metavar="COMPONENT")
        add_parameters(one, operation)
    _add_logs(command("logs", "what a component wrote", logs), "COMPONENT", _component)
    for kind, text in (
        ("daemon", "servers that Domogik runs itself"),
        ("unit", "units of systemd that the configuration declares"),
    ):
        one = commands.add_parser(kind, help=text, allow_abbrev=False)
        add_common(one, argparse.SUPPRESS)
        common = partial(add_common, default=argparse.SUPPRESS)
        kinds.add_commands(one, kind, common, partial(_add_logs_of, kind))
    configuration.add_commands(command, _component)
    health.add_commands(command, _component)
    command("upgrade", "execute the manager anew; what it has started goes on", upgrade)
    return made


def _add_logs_of(kind: str, one: argparse.ArgumentParser) -> None:
    _add_logs(one, "NAME", lambda text: id_of(kind, _component(text)))


def _add_logs(one: argparse.ArgumentParser, metavar: str, name: Callable[[str], str]) -> None:
    one.set_defaults(work=logs)
    one.add_argument("component", type=name, metavar=metavar)
    one.add_argument(
        "-n",
        "--lines",
        type=_lines,
        default=DEFAULT_LINES,
        help=f"how many of the last lines, at most {MOST_LINES} (default {DEFAULT_LINES})",
    )
    one.add_argument("-f", "--follow", action="store_true", help="go on with every new line")


def _component(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("a component has a name")
    return text


def _lines(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text[:9]) <= MOST_LINES):
        raise argparse.ArgumentTypeError(f"a number from 0 to {MOST_LINES}, not '{text}'")
    return int(text)


def _work(arguments: list[str], findings: Findings | None = None) -> int:
    options = _options().parse_args(arguments)
    if options.command == "check-config":
        assert findings is not None
        return configuration.check(options, findings)
    terminal = open_terminal(options)
    work: Callable[[Terminal], int] = options.work
    return work(terminal)


def main(findings: Findings | None = None) -> int:
    """The command; its exit status. `findings` is what `check-config` asks."""
    return run(NAME, lambda arguments: _work(arguments, findings))


if __name__ == "__main__":
    sys.exit(main())
