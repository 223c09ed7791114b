"""`dmg_dump`: print every message that passes on the network."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from datetime import datetime
from fnmatch import fnmatchcase

import attrs

from domogik.cli.program import (
    add_home,
    complain,
    configuration_files,
    count,
    home_of,
    parser,
    run,
    stop_on_term,
)
from domogik.cli.terminal import Palette, wants_colours
from domogik.cli.xpl.messages import as_json, in_a_line, in_full
from domogik.cli.xpl.network import Network
from domogik.cli.xpl.station import Heard, Station
from domogik.xpl.codec.message import TYPES

NAME = "dmg_dump"

Form = Callable[[Heard, datetime], str]


@attrs.frozen
class Filter:
    """What is printed: of each kind any of the patterns will do, an empty one lets all pass."""

    types: tuple[str, ...] = ()
    schemas: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()

    def wants(self, heard: Heard) -> bool:
        """What is no message has no schema to ask for: it is seen by who asks for nothing."""
        message = heard.message
        if message is None:
            return not (self.types or self.schemas or self.sources)
        return (
            (not self.types or message.type in self.types)
            and _matches(message.schema, self.schemas)
            and _matches(message.source, self.sources)
        )


def _matches(text: str, patterns: tuple[str, ...]) -> bool:
    return not patterns or any(fnmatchcase(text, pattern) for pattern in patterns)


@attrs.define(eq=False)
class Dump:
    """Prints messages until it is interrupted, or `count` of them are printed."""

    _station: Station
    _filter: Filter
    _form: Form
    _count: int | None = None
    _is_lost: bool = False
    _told_incomplete: int = 0

    def run(self) -> int:
        """The exit status."""
        self._station.on_hub = self._hub
        self._station.open()
        try:
            self._print()
        finally:
            self._station.close()
        return 0

    def _print(self) -> None:
        printed = 0
        for heard in self._station.heard():
            self._tell_incomplete()
            if not self._filter.wants(heard):
                continue
            sys.stdout.write(f"{self._form(heard, datetime.now().astimezone())}\n")
            sys.stdout.flush()
            printed += 1
            if printed == self._count:
                return

    def _hub(self, found: bool) -> None:
        if not found:
            complain(
                NAME,
                f"no hub answers ({self._station.where}): start the manager (dmg_manager) or a "
                "hub (dmg_hub); still trying",
            )
        elif self._is_lost:
            complain(NAME, "the hub answers now")
        self._is_lost = not found

    def _tell_incomplete(self) -> None:
        if self._station.incomplete > self._told_incomplete:
            self._told_incomplete = self._station.incomplete
            complain(NAME, "a message in parts never became whole; --raw shows parts")


def _options() -> argparse.ArgumentParser:
    made = parser(NAME, "Print every xPL message that passes on the network. Ctrl-C ends it.")
    add_home(made)
    form = made.add_mutually_exclusive_group()
    form.add_argument("-f", "--full", action="store_true", help="as on the network, line by line")
    form.add_argument("--json", action="store_true", help="one JSON object a line")
    made.add_argument(
        "-t", "--type", action="append", choices=sorted(TYPES), default=[], help="only this type"
    )
    made.add_argument(
        "-s", "--schema", action="append", default=[], help="only this one, such as 'hbeat.*'"
    )
    made.add_argument(
        "--source", action="append", default=[], help="only from there, such as 'domogik-*.attic'"
    )
    made.add_argument("-n", "--count", type=count, help="end after so many messages")
    made.add_argument(
        "--raw", action="store_true", help="show messages in fragments part by part, not joined"
    )
    return made


def _form(options: argparse.Namespace) -> Form:
    if options.json:
        return as_json
    palette = Palette(wants_colours(sys.stdout, os.environ))
    write = in_full if options.full else in_a_line
    return lambda heard, moment: write(heard, moment, palette)


def _work(arguments: list[str]) -> int:
    options = _options().parse_args(arguments)
    stop_on_term()
    home = home_of(options, os.environ)
    network = Network.of_home(home, configuration_files(home, options, os.environ))
    station = Station(network, f"domogik-dump.{network.host}", join=not options.raw)
    wanted = Filter(
        tuple(options.type),
        tuple(pattern.lower() for pattern in options.schema),
        tuple(pattern.lower() for pattern in options.source),
    )
    return Dump(station, wanted, _form(options), options.count).run()


def main() -> int:
    """The command; its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
