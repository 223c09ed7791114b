"""How packages are said in the pairs of an xPL body, and what a command about them asks for.

The keys are those of the specification; where released Domogik had other words for the same thing
(`id0` beside `name0`, `version` beside `release`) requests are understood with either, and answers
carry both.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import attrs

from domogik.control.wording import Body, escape_value
from domogik.errors import DomogikError
from domogik.manager.packages.interfaces import InstalledPackage
from domogik.manager.packages.rest_servers import REST_PORT
from domogik.packages.descriptor.package import Dependency, UdevRule
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.needs.dependencies import DependencyState, first_error
from domogik.packages.store.changes import RINOR, XPL
from domogik.packages.store.installation import Place
from domogik.xpl.codec.message import Message

#: entries of one answer: a list of so many fits into 99 fragments, and `dep99-candidate` is a name
MOST_LISTED = 400
MOST_DEPENDENCIES = 100
MOST_RULES = 50
_OTHER_WORDS = {"id": "name", "release": "version"}
_KINDS = ("python", "plugin", "other")


class BadCommand(DomogikError):
    """A command that lacks a key or asks for something impossible; `str()` is the answer."""


def word(message: Message, key: str) -> str:
    """What the command says for a key, in either word for it; raises `BadCommand`."""
    found = message.get(key) or message.get(_OTHER_WORDS.get(key, key))
    if not found:
        raise BadCommand(f"Missing key '{key}'")
    return found


@attrs.frozen
class InstallCommand:
    """What an install command asks for; `place` is where it says that the archive is.

    Without a place the archive is asked for at `rest_port` of whoever gave the order.
    `with_dependencies`: in an environment of its own, with what it needs of Python.
    """

    ref: PackageRef
    part: str
    place: Place | None
    with_dependencies: bool
    rest_port: int = REST_PORT

    @classmethod
    def of(cls, message: Message) -> InstallCommand:
        """Raises `BadCommand` and `InvalidReference`."""
        source = word(message, "source")
        if source != "cache":
            raise BadCommand(f"source '{source}' not allowed")
        ref = PackageRef(word(message, "type"), word(message, "id"), word(message, "release"))
        part = word(message, "part")
        if part not in (XPL, RINOR):
            raise BadCommand(f"part '{part}' is neither '{XPL}' nor '{RINOR}'")
        url, sha256 = message.get("url"), (message.get("sha256") or "").lower()
        if sha256 and (len(sha256) != 64 or set(sha256) - set("0123456789abcdef")):
            raise BadCommand("sha256 is 64 of 0-9 and a-f")
        place = Place(url, sha256 or None) if url else None
        port = message.get("rest-port") or str(REST_PORT)
        if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536):
            raise BadCommand("rest-port is a number from 1 to 65535")
        return cls(ref, part, place, message.get("dependencies") == "yes", int(port[:6]))


def install_body(host: str, message: Message, error: str) -> Body:
    """The answer to an install command: what it said, and the error if there is one."""
    release = message.get("release") or message.get("version")
    body = [("command", "install"), ("host", host)]
    body += _error(error)
    pairs = (
        ("source", message.get("source")),
        ("type", message.get("type")),
        ("id", message.get("id") or message.get("name")),
        ("release", release),
        ("version", release),
        ("part", message.get("part")),
    )
    return body + [(name, escape_value(value)) for name, value in pairs if value]


def package_head(command: str, host: str, message: Message, error: str = "") -> Body:
    """The answer to a command that names a package, or its beginning."""
    body = [("command", command), ("host", host)]
    pairs = (("type", message.get("type")), ("id", message.get("id") or message.get("name")))
    body += [(name, escape_value(value)) for name, value in pairs if value]
    if command == "uninstall":
        return body[:2] + _error(error) + body[2:]
    return body + _error(error)


def list_body(host: str, packages: Sequence[InstalledPackage]) -> Body:
    """`installed-packages-list`."""
    body = [("command", "installed-packages-list"), ("host", host)]
    for place, package in enumerate(packages[:MOST_LISTED]):
        ref = package.ref
        body += [
            (f"fullname{place}", ref.fullname),
            (f"name{place}", ref.id),
            (f"id{place}", ref.id),
            (f"type{place}", ref.type),
            (f"version{place}", ref.release),
            (f"release{place}", ref.release),
            (f"enabled{place}", _yes(package.enabled)),
        ]
    return body


def dependency_list(dependencies: Iterable[Dependency]) -> Body:
    """The groups of `get-dependencies`."""
    body: Body = []
    for number, one in enumerate(tuple(dependencies)[:MOST_DEPENDENCIES]):
        body += [
            (f"dep{number}-id", escape_value(one.id)),
            (f"dep{number}-type", escape_value(one.type)),
        ]
    return body


def asked_dependencies(message: Message) -> dict[int, Dependency]:
    """What `check-dependencies` asks for, by number; Python's unless `depN-type` says another."""
    found: dict[int, Dependency] = {}
    for number in range(MOST_DEPENDENCIES):
        text = message.get(f"dep{number}")
        if text:
            kind = message.get(f"dep{number}-type") or "python"
            found[number] = Dependency(kind if kind in _KINDS else "python", text)
    return found


def check_body(host: str, numbers: Iterable[int], states: Sequence[DependencyState]) -> Body:
    """The answer to `check-dependencies`; the first error is that of the whole answer too."""
    body = [("command", "check-dependencies"), ("host", host)]
    body += _error(first_error(states))
    for number, state in zip(numbers, states, strict=True):
        start = f"dep{number}"
        body += [
            (start, escape_value(state.dependency)),
            (f"{start}-installed", _yes(state.installed)),
        ]
        pairs = (
            ("release", state.release),
            ("version", state.release),
            ("candidate", state.candidate),
            ("cmd-line", state.cmd_line),
            ("offer", state.offer),
            ("error", state.error),
        )
        body += [(f"{start}-{name}", escape_value(value)) for name, value in pairs if value]
    return body


def rules_list(rules: Iterable[UdevRule]) -> Body:
    """The groups of `get-udev-rules`."""
    body: Body = []
    for number, rule in enumerate(tuple(rules)[:MOST_RULES]):
        pairs = (
            ("model", rule.model),
            ("desc", rule.description),
            ("filename", rule.filename),
            ("rule", rule.rule),
        )
        body += [(f"rule{number}-{name}", escape_value(value)) for name, value in pairs]
    return body


def _error(text: str) -> Body:
    return [("error", escape_value(text))] if text else []


def _yes(value: bool) -> str:
    return "yes" if value else "no"
