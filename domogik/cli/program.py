"""How does a command end? One line and 1 for an error, silence for Ctrl-C and closed pipes."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from types import FrameType
from typing import NoReturn

from domogik import __version__
from domogik.config.home import SYSTEM_FILE, Home
from domogik.config.load import BrokenConfiguration, load
from domogik.errors import DomogikError, did_you_mean

FAILED = 1
INTERRUPTED = 128 + signal.SIGINT
PIPE_CLOSED = 128 + signal.SIGPIPE


class CommandFailed(DomogikError):
    """What was asked for cannot be done; the text says why, and what to do."""


def run(name: str, work: Callable[[list[str]], int]) -> int:
    """The exit status of `work`, which gets the arguments of the command line.

    Its `DomogikError` and `OSError` become one line on standard error.
    """
    for stream in (sys.stdout, sys.stderr):
        # what the terminal's encoding cannot say is spelled, not a reason to end
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        status = work(sys.argv[1:])
        sys.stdout.flush()
    except BrokenPipeError:
        forget_output()
        return PIPE_CLOSED
    except KeyboardInterrupt:
        _forget_output_if_closed()
        return INTERRUPTED
    except (DomogikError, OSError) as error:
        _forget_output_if_closed()
        complain(name, error.words if isinstance(error, DomogikError) else _sentence(error))
        return FAILED
    return status


def _sentence(error: OSError) -> str:
    """What the system refused, without its number."""
    why = error.strerror or str(error) or type(error).__name__
    if error.filename is None:
        return why
    path = os.fsdecode(error.filename)
    if isinstance(error, FileNotFoundError):
        return f"there is no file {path}"
    return f"{path}: {why}"


def complain(name: str, sentence: str) -> None:
    """One line on standard error."""
    sys.stderr.write(f"{name}: {sentence}\n")
    sys.stderr.flush()


def warn(error: BrokenConfiguration) -> None:
    """A line of the configuration cannot be read: it is left out."""
    sys.stderr.write(f"Warning: {error}; dmg_ctl check-config says more\n")


def stop_on_term() -> None:
    """Have SIGTERM and SIGHUP unwind the program, so that it says good-bye; 143 or 129 then."""

    def stop(signum: int, frame: FrameType | None) -> NoReturn:
        sys.exit(128 + signum)

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGHUP, stop)


#: how argparse says that a word is none of those that can stand there
_WRONG_CHOICE = re.compile(r"argument (.+): invalid choice: '(.*)' \(choose from (.*)\)")


class _Parser(argparse.ArgumentParser):
    """Names a word or option that it does not know, and the nearest that it knows."""

    def error(self, message: str) -> NoReturn:
        wrong = _WRONG_CHOICE.fullmatch(message)
        if wrong is not None:
            what, word, known = wrong.groups()
            choices = re.findall(r"[^\s',]+", known)
            near = did_you_mean(word, choices) or f" Known are {', '.join(choices)}"
            message = f"Unknown {what.lower()} {word}.{near}"
        unknown = message.removeprefix("unrecognized arguments: ")
        options = [word for word in unknown.split() if word.startswith("-")]
        if unknown != message and options:
            near = did_you_mean(options[0], self._option_string_actions)
            message = f"Unknown option {options[0]}" + (near and f".{near}")
        super().error(message)


def parser(name: str, description: str) -> argparse.ArgumentParser:
    """With `--version`; wrong usage ends with 2."""
    made = _Parser(prog=name, description=description, allow_abbrev=False)
    made.add_argument("-V", "--version", action="version", version=__version__)
    return made


def add_home(options: argparse.ArgumentParser, default: str | None = None) -> None:
    """`--home` and `--config`; `default` is what argparse puts where they are not given."""
    options.add_argument(
        "--home",
        metavar="DIR",
        default=default,
        help="the manager's home (default: $DOMOGIK_HOME, else ~/.domogik, else the system's)",
    )
    options.add_argument(
        "--config",
        metavar="FILE",
        default=default,
        help="the configuration file in force (default: domogik.cfg in the home)",
    )


def home_of(options: argparse.Namespace, environment: Mapping[str, str]) -> Home:
    """The one that a tool means: as a daemon has it, or what the system's file names with `home`.

    The latter counts only where this user has none of its own.
    """
    home = Home.from_options(options.home, environment)
    if options.home or environment.get("DOMOGIK_HOME") or home.path.is_dir():
        return home
    try:
        named = load((SYSTEM_FILE,)).get("domogik", "home")
    except DomogikError:
        return home
    return home if named is None else Home.from_options(named.text(), {})


def configuration_files(
    home: Home, options: argparse.Namespace, environment: Mapping[str, str]
) -> tuple[Path, Path]:
    """The system's and the one that counts more.

    `--config` names the latter, or `$DOMOGIK_CONFIG` (the manager sets it for plugins) unless
    another home is asked for. Raises `CommandFailed` where it is not there.
    """
    named = options.config or (None if options.home else environment.get("DOMOGIK_CONFIG"))
    if not named:
        return SYSTEM_FILE, home.configuration
    own = Path(named).absolute()
    if not own.is_file():
        raise CommandFailed(f"there is no file {own}")
    return SYSTEM_FILE, own


def count(text: str) -> int:
    """For argparse: how many, from 1 on."""
    if not (text.isascii() and text.isdigit() and int(text[:18])):
        raise argparse.ArgumentTypeError(f"a number from 1 on, not '{text}'")
    return int(text)


def forget_output() -> None:
    """Have what is still written go nowhere: Python would complain when it flushes at its end."""
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, sys.stdout.fileno())
    os.close(null)


def _forget_output_if_closed() -> None:
    try:
        sys.stdout.flush()
    except OSError:
        forget_output()
