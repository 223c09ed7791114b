"""`dmg_send`: send one xPL message, and wait for what is answered where that is asked for."""

from __future__ import annotations

import argparse
import contextlib
import errno
import os
import re
import socket
import sys
from collections.abc import Generator
from datetime import datetime
from random import Random

from domogik.cli.program import (
    FAILED,
    CommandFailed,
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
from domogik.cli.xpl.messages import as_json, in_full
from domogik.cli.xpl.network import Network
from domogik.cli.xpl.station import Heard, Station
from domogik.xpl.codec.codec import encode
from domogik.xpl.codec.fragments import split
from domogik.xpl.codec.message import CMND, TYPES, InvalidMessage, Message, Pair

NAME = "dmg_send"

#: a comma that a name follows; any other belongs to the value before it
_COMMA = re.compile(r",(?=[A-Za-z0-9_-]+=)")
_IDENTIFIERS = 100_000
_LONGEST_WAIT_S = 3600
_START_A_HUB = "start the manager (dmg_manager) or a hub (dmg_hub)"


def read_body(arguments: list[str]) -> tuple[Pair, ...]:
    """The pairs of a body: one argument holds all of them, of several each holds one.

    Raises `InvalidMessage`.
    """
    if arguments == [""]:
        return ()
    pairs = _COMMA.split(arguments[0]) if len(arguments) == 1 else arguments
    body = []
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise InvalidMessage(f"'{pair}' is not name=value")
        body.append((name, value))
    return tuple(body)


def parts_of(message: Message) -> list[Message]:
    """What is sent for it, several where it is large; raises `InvalidMessage`."""
    encode(message)
    return split(message, Random().randrange(_IDENTIFIERS))


def send(network: Network, parts: list[Message]) -> None:
    """Out of a socket that is gone afterwards; raises `CommandFailed`.

    On loopback the kernel says at once whether a hub listens.
    """
    hub = network.hub()
    with network.open_socket() as sock:
        try:
            sock.connect(hub)
            for part in parts:
                sock.send(encode(part))
            number = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except OSError as error:
            number = error.errno or errno.EIO
    if number:
        ip, port = hub
        raise CommandFailed(f"not sent to {ip}:{port} ({os.strerror(number)}): {_START_A_HUB}")


def ask(station: Station, parts: list[Message], timeout_s: float) -> Generator[Heard, None, None]:
    """Send it as soon as the hub knows us; what is answered within `timeout_s`, as it comes.

    Raises `CommandFailed` where no hub answers. Have it closed: it says good-bye then.
    """
    sent: list[Message] = []

    def on_hub(found: bool) -> None:
        if not found:
            raise CommandFailed(f"no hub answers ({station.where}): {_START_A_HUB}")
        while len(sent) < len(parts):
            station.send(parts[len(sent)])
            sent.append(parts[len(sent)])

    station.on_hub = on_hub
    station.open()
    try:
        for heard in station.heard(timeout_s):
            if sent:
                yield heard
    finally:
        station.close()


def is_answer(sent: Message, heard: Heard) -> bool:
    """Return whether a message may be the answer: same schema, another source, no command."""
    message = heard.message
    return (
        message is not None
        and message.type != CMND
        and message.schema == sent.schema
        and message.source != sent.source
    )


def _print_answers(station: Station, message: Message, options: argparse.Namespace) -> int:
    """The exit status: 0 with at least one."""
    palette = Palette(wants_colours(sys.stdout, os.environ))
    printed = 0
    with contextlib.closing(ask(station, parts_of(message), options.wait)) as answers:
        for heard in answers:
            if not is_answer(message, heard):
                continue
            moment = datetime.now().astimezone()
            shown = as_json(heard, moment) if options.json else in_full(heard, moment, palette)
            sys.stdout.write(f"{shown}\n")
            sys.stdout.flush()
            printed += 1
            if printed == options.count:
                break
    if not printed:
        complain(NAME, f"no answer within {options.wait:g} s")
        return FAILED
    return 0


def _options() -> argparse.ArgumentParser:
    made = parser(NAME, "Send one xPL message.")
    made.epilog = (
        "Example: dmg_send xpl-cmnd domogik.system 'command=stop,plugin=diskfree,host=attic'. "
        "Pairs can be arguments of their own, and have to be where a value holds ',name='."
    )
    made.add_argument("type", metavar="TYPE", choices=sorted(TYPES), help="xpl-cmnd, ...")
    made.add_argument("schema", metavar="SCHEMA", help="such as sensor.basic")
    made.add_argument("body", metavar="BODY", nargs="*", help="'name=value,name=value'")
    add_home(made)
    made.add_argument("--target", default="*", help="vendor-device.instance (default: *)")
    made.add_argument("--source", help="default: domogik-send.<host>")
    made.add_argument(
        "--wait", type=_seconds, metavar="SECONDS", help="print what is answered in this schema"
    )
    made.add_argument(
        "-n", "--count", type=count, default=1, help="how many answers are enough (default 1)"
    )
    made.add_argument("--json", action="store_true", help="answers as one JSON object a line")
    return made


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1
    if not 0 < seconds <= _LONGEST_WAIT_S:
        raise argparse.ArgumentTypeError(f"seconds, at most {_LONGEST_WAIT_S}, not '{text}'")
    return seconds


def _work(arguments: list[str]) -> int:
    options = _options().parse_args(arguments)
    home = home_of(options, os.environ)
    network = Network.of_home(home, configuration_files(home, options, os.environ))
    source = options.source or f"domogik-send.{network.host}"
    message = Message(
        options.type, source, options.target, schema=options.schema, body=read_body(options.body)
    )
    if options.wait is None:
        send(network, parts_of(message))
        return 0
    stop_on_term()
    return _print_answers(Station(network, source), message, options)


def main() -> int:
    """The command; its exit status."""
    return run(NAME, _work)


if __name__ == "__main__":
    sys.exit(main())
