"""`dmg_pkgmgr`: packages, through `/api/v1`; and what their authors need, without a manager."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from domogik.cli.client import RequestRefused
from domogik.cli.operations import add_parameters, commands_of, given
from domogik.cli.pkgmgr import author
from domogik.cli.pkgmgr.orders import Document, Name, Orders
from domogik.cli.pkgmgr.tables import (
    given_up_sentence,
    held_sentence,
    installed_table,
    missing_there,
    offers_table,
    package_text,
    repositories_table,
    sentence,
)
from domogik.cli.program import FAILED, CommandFailed, complain, home_of, parser, run
from domogik.cli.progress import ProgressLine, wants_progress
from domogik.cli.session import add_common, open_terminal
from domogik.cli.terminal import now, printable, since
from domogik.config.home import HomeInUse

NAME = "dmg_pkgmgr"

_WITHOUT_A_MANAGER = (
    author.check,
    author.new,
    author.create,
    author.repository,
)

Work = Callable[[argparse.Namespace], int]
Manager = Callable[[str | None, str | None], AbstractContextManager[None]]


def _orders(options: argparse.Namespace) -> Orders:
    """Raises `CommandFailed`, with what to start where no manager answers."""
    terminal = open_terminal(options)
    terminal.check_host()
    return Orders(terminal, ProgressLine(wants_progress(os.environ) and not options.json))


def update_cache(options: argparse.Namespace) -> int:
    """`update-cache`; 1 where a repository failed: what it offered before is still there."""
    orders = _orders(options)
    orders.order("/repositories/refresh")
    found = orders.terminal.client.get("/repositories")["repositories"]
    if options.json:
        orders.terminal.say_json(found)
    else:
        orders.terminal.say(repositories_table(found, now(), orders.terminal.palette))
    return FAILED if any(one["error"] for one in found) else 0


def list_packages(options: argparse.Namespace) -> int:
    """`list`: what is offered, or with `--installed` what is installed."""
    terminal = _orders(options).terminal
    installed = terminal.client.get("/packages", host=options.host)["packages"]
    if options.installed:
        found = installed
        text = installed_table(found, terminal.palette) if found else ""
    else:
        found = terminal.client.get("/packages/offers")["offers"]
        text = offers_table(found, installed, terminal.palette) if found else ""
    if options.json:
        terminal.say_json(found)
    elif text:
        terminal.say(text)
    elif not options.installed:
        complain(NAME, "no repository offers anything; was the cache updated (update-cache)?")
    return 0


def show(options: argparse.Namespace) -> int:
    """`show ID-or-FILE`."""
    if author.is_file(options.package):
        return author.show(Path(options.package), options.json)
    orders = _orders(options)
    shown = orders.find(options.package).shown
    if options.json:
        orders.terminal.say_json(shown)
    else:
        orders.terminal.say(package_text(shown, orders.terminal.palette))
    return 0


def install(options: argparse.Namespace) -> int:
    """`install ID-or-FILE [RELEASE]`; a file is uploaded first."""
    orders = _orders(options)
    if author.is_archive(options.package):
        if options.release is not None:
            raise CommandFailed("a file holds one release: leave the other out")
        made = orders.upload(Path(options.package))
        type, id, release = made["type"], made["id"], made["release"]
    else:
        name = orders.find(options.package)
        type, id, release = name.type, name.id, options.release
    needs = "yes" if options.with_dependencies else None
    if needs and type == "plugin":
        _install_needed(orders, id, release, {id})
    made = orders.do("install", type, id, release=release, with_dependencies=needs)
    result = _say(orders, "install", made)
    there = []
    if type == "plugin" and orders.terminal.check_host():
        there = missing_there(orders.terminal.client, options.host, id)
    for warning in [*map(printable, made.get("warnings", ())), *there]:
        complain(NAME, warning)
    return result


def _install_needed(orders: Orders, id: str, release: str | None, seen: set[str]) -> None:
    """The plugins that a plugin needs and that are offered, those that they need first."""
    for needed, candidate in orders.needed_plugins(id, release):
        if needed not in seen:
            seen.add(needed)
            _install_needed(orders, needed, candidate, seen)
            query = {"release": candidate, "with_dependencies": "yes"}
            done = orders.do("install", "plugin", needed, **query)
            if not orders.terminal.options.json:
                orders.terminal.say(sentence("install", done, orders.terminal.options.host))


def update(options: argparse.Namespace) -> int:
    """`update [ID] [RELEASE]`; without one everything that is newer and not held."""
    orders = _orders(options)
    if options.package is not None:
        name = orders.find(options.package)
        before = name.on(orders.where())
        again = "yes" if options.again else None
        done = orders.do("update", name.type, name.id, release=options.release, again=again)
        if not options.json and before is not None and before["release"] == done["release"]:
            if done["given_up"]:
                orders.terminal.say(given_up_sentence(done))
                return 0
            return _say_newest(orders, done)
        return _say(orders, "update", done)
    return _update_all(orders)


def _say_newest(orders: Orders, package: Document) -> int:
    """An update that had nothing to do."""
    found = orders.terminal.client.get("/repositories")["repositories"]
    asked = sorted(one["as_of"] for one in found if one["as_of"])
    text = f"{package['id']} {package['release']} is the newest"
    if asked:
        text += f" (list of {since(asked[0], now())} ago; {NAME} update-cache)"
    orders.terminal.say(printable(text))
    return 0


def _update_all(orders: Orders) -> int:
    terminal = orders.terminal
    packages = terminal.client.get("/packages", host=orders.where())["packages"]
    result, done, is_quiet = 0, [], terminal.options.json
    for package in packages:
        again = terminal.options.again and package["given_up"]
        if not package["updates"] and not again:
            if package["given_up"] and not terminal.options.json:
                terminal.say(given_up_sentence(package))
                is_quiet = True
            continue
        if package["held"]:
            if not terminal.options.json:
                terminal.say(held_sentence(package))
            is_quiet = True
            continue
        try:
            query = {"again": "yes"} if again else {}
            done.append(orders.do("update", package["type"], package["id"], **query))
        except (RequestRefused, CommandFailed) as error:
            named = package["id"] in str(error)
            complain(NAME, printable(str(error) if named else f"{package['fullname']}: {error}"))
            result = FAILED
            continue
        if not terminal.options.json:
            terminal.say(sentence("update", done[-1]))
    if terminal.options.json:
        terminal.say_json(done)
    elif not done and not result and not is_quiet:
        terminal.say("Nothing newer is offered")
    return result


def rollback(options: argparse.Namespace) -> int:
    """`rollback ID`: to the release that was there before."""
    orders = _orders(options)
    name = orders.find(options.package)
    before = name.on(orders.where())
    done = orders.do("rollback", name.type, name.id)
    if options.json or before is None:
        return _say(orders, "rollback", done)
    back = f"{done['id']} is back from {before['release']} to {done['release']}"
    orders.terminal.say(printable(back))
    return 0


def change(options: argparse.Namespace) -> int:
    """An operation on one package."""
    orders, verb = _orders(options), options.operation.verb
    name: Name = orders.find(options.package)
    return _say(orders, verb, orders.do(verb, name.type, name.id, **given(options)))


def upload(options: argparse.Namespace) -> int:
    """`upload FILE`: into the local repository, from where every host can have it."""
    orders = _orders(options)
    made = orders.upload(Path(options.file))
    if options.json:
        orders.terminal.say_json(made)
    else:
        said = f"{made['fullname']} {made['release']} was uploaded; {NAME} install {made['id']}"
        orders.terminal.say(printable(said))
    return 0


def _say(orders: Orders, verb: str, package: Document) -> int:
    if orders.terminal.options.json:
        orders.terminal.say_json(package)
    else:
        orders.terminal.say(sentence(verb, package, orders.terminal.options.host))
    return 0


def _options() -> argparse.ArgumentParser:
    made = parser(NAME, "Packages of Domogik: find, install, update, remove and make them.")
    add_common(made, None)
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def command(name: str, text: str, work: Work, *names: str) -> argparse.ArgumentParser:
        one = commands.add_parser(name, help=text, description=text, allow_abbrev=False)
        one.set_defaults(work=work)
        # what is not given here must not hide what was given before the command
        add_common(one, argparse.SUPPRESS)
        for argument in names:
            one.add_argument(argument, type=_word, metavar=argument.upper())
        return one

    command("update-cache", "fetch what the repositories offer", update_cache)
    listed = command("list", "what the repositories offer", list_packages)
    listed.add_argument("--installed", action="store_true", help="what is installed")
    _package(command("show", "all about a package, or what a file holds", show), "ID-or-FILE")
    one = _package(
        command("install", "install a package, or the one in a file", install), "ID-or-FILE"
    )
    _release(one)
    one.add_argument(
        "--with-dependencies",
        action="store_true",
        help="plugins that it needs too, and what it needs of Python, in its own environment",
    )
    one = command("update", "install what is newer; if it fails, back to what worked", update)
    one.add_argument("package", nargs="?", type=_word, metavar="ID")
    one.add_argument(
        "--again", action="store_true", help="also what was given up before, for it failed here"
    )
    _release(one)
    _package(command("rollback", "back to the release that was there before", rollback))
    for operation in commands_of(NAME):
        one = _package(command(operation.name, operation.help, change))
        add_parameters(one, operation)
    command("upload", "take an archive into the local repository", upload, "file")
    _add_tools(command)
    return made


def _add_tools(command: Callable[..., argparse.ArgumentParser]) -> None:
    """What needs no manager."""
    one = command(
        "check",
        "what is wrong with a descriptor, an archive, a package directory",
        author.check,
    )
    one.add_argument("files", nargs="+", type=_word, metavar="FILE")
    one = command("new", "write a package to begin with: a plugin that works", author.new)
    one.add_argument("name", type=_word, metavar="NAME", help="the id of the plugin")
    one.add_argument("-o", "--output", default=".", metavar="DIR", help="where to (default: here)")
    one = command("create", "make an archive of a package directory", author.create)
    one.add_argument("directory", type=_word, metavar="DIR")
    one.add_argument(
        "id", type=_word, nargs="?", metavar="ID", help="which, where it holds several"
    )
    one.add_argument("-o", "--output", default=".", metavar="DIR", help="where to (default: here)")
    one = command(
        "repository", "make a repository of the archives in a directory", author.repository
    )
    one.add_argument("directory", type=_word, metavar="DIR")
    one.add_argument("-o", "--output", default="", metavar="DIR", help="where to (default: there)")
    one.add_argument("--address", default="", metavar="URL", help="where it will be served")
    one.add_argument("--name", default="", help="what it is called (default: as the directory)")
    one.add_argument("--sign", action="store_true", help="sign it, for a year from now")
    one.add_argument(
        "--keys", default="", metavar="DIR", help="what to sign with (default: in the home)"
    )


def _package(options: argparse.ArgumentParser, shown: str = "ID") -> argparse.ArgumentParser:
    options.add_argument("package", type=_word, metavar=shown)
    return options


def _release(options: argparse.ArgumentParser) -> None:
    options.add_argument(
        "release", nargs="?", type=_word, metavar="RELEASE", help="by default the newest that fits"
    )


def _word(text: str) -> Any:
    if not text:
        raise argparse.ArgumentTypeError("it has a name")
    return text


def _nobody_works_in(options: argparse.Namespace) -> bool:
    """Whether this host's home is meant, and no manager has it."""
    if options.url or os.environ.get("DOMOGIK_URL"):
        return False
    home = home_of(options, os.environ)
    if not home.path.is_dir():
        start = "set DOMOGIK_HOME, or make one by starting a manager: dmg_manager"
        raise CommandFailed(f"there is no home {home.path}: {start}")
    if not home.run.is_dir():
        return True
    try:
        home.lock().release()
    except HomeInUse:
        return False
    return True


def _work(arguments: list[str], manager: Manager | None = None) -> int:
    options = _options().parse_args(arguments)
    work: Work = options.work
    if manager is not None and _asks_a_manager(options) and _nobody_works_in(options):
        with manager(options.home, options.config):
            return work(options)
    return work(options)


def _asks_a_manager(options: argparse.Namespace) -> bool:
    if options.work in _WITHOUT_A_MANAGER:
        return False
    return options.work is not show or not author.is_file(options.package)


def main(manager: Manager | None = None) -> int:
    """The command; its exit status.

    Where no manager has the home, `manager(home, config)` is one for the time of the command; its
    `DomogikError` ends the command.
    """
    return run(NAME, lambda arguments: _work(arguments, manager))


if __name__ == "__main__":
    sys.exit(main())
