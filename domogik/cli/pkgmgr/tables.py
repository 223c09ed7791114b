"""How are packages shown on a terminal? From the documents of `/api/v1`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from urllib.parse import quote

from domogik.cli.client import CHANGE_TIMEOUT_S, ApiClient, RequestRefused
from domogik.cli.terminal import DIM, GREEN, RED, YELLOW, Cell, Palette, age, printable, table

Document = Mapping[str, Any]


def offers_table(
    offers: Iterable[Document], installed: Sequence[Document], palette: Palette
) -> str:
    """A line for each package: its newest release, and what is installed where."""
    newest: dict[str, Document] = {}
    for offer in offers:
        newest.setdefault(offer["fullname"], offer)
    there: dict[str, list[str]] = {}
    for package in installed:
        there.setdefault(package["fullname"], []).append(package["release"])
    rows = [
        [
            Cell(name),
            Cell(offer["release"]),
            Cell(" ".join(there.get(name, ["-"])), GREEN if name in there else DIM),
            Cell(offer["priority"]),
            _signed(offer["signed"]),
            Cell(_first_line(offer["description"])),
        ]
        for name, offer in newest.items()
    ]
    titles = ["PACKAGE", "RELEASE", "INSTALLED", "PRIORITY", "SIGNED", "DESCRIPTION"]
    return table(titles, rows, palette)


def missing_there(client: ApiClient, host: str, name: str) -> list[str]:
    """A sentence for each need of a plugin that another host does not meet; of ours REST tells."""
    id = name.removeprefix("plugin:")
    if ":" in id:
        return []
    path = f"/packages/plugin/{quote(id, safe='', errors='surrogateescape')}/dependencies"
    try:
        needs = client.begin("GET", path, CHANGE_TIMEOUT_S, host=host).document()["dependencies"]
    except RequestRefused:  # what is asked of it says why
        return []
    command = f"dmg_pkgmgr install {id} --with-dependencies --host {host}"
    return [
        printable(f"{id} needs {one['dependency']}, which {host} does not have: {command}")
        for one in needs
        if not one["installed"]
    ]


def _signed(signed: bool) -> Cell:
    return Cell("yes") if signed else Cell("unsigned", YELLOW)


def installed_table(packages: Sequence[Document], palette: Palette) -> str:
    """A line each; the column HOST only where there are several."""
    several = len({package["host"] for package in packages}) > 1
    titles = ["PACKAGE", "RELEASE", "ENABLED", "UPDATE", "HELD", "OTHER RELEASES"]
    rows = [_installed_row(package) for package in packages]
    if several:
        titles.insert(0, "HOST")
        for row, package in zip(rows, packages, strict=True):
            row.insert(0, Cell(package["host"]))
    return table(titles, rows, palette)


def _installed_row(package: Document) -> list[Cell]:
    others = [release for release in package["releases"] if release != package["release"]]
    updates = package["updates"]
    return [
        Cell(package["fullname"]),
        Cell(package["release"]),
        Cell("yes" if package["enabled"] else "no"),
        Cell(updates[0] if updates else "-", YELLOW if updates else DIM),
        Cell("yes" if package["held"] else "no"),
        Cell(" ".join(others)),
    ]


def repositories_table(repositories: Sequence[Document], now: datetime, palette: Palette) -> str:
    """A line each, with what went wrong."""
    rows = [
        [
            Cell(one["priority"]),
            Cell(one["url"]),
            Cell(one["packages"]),
            Cell(_as_of(one["as_of"], now)),
            _signed_until(one),
            Cell(one["error"], RED),
        ]
        for one in repositories
    ]
    titles = ["PRIORITY", "REPOSITORY", "PACKAGES", "AGE", "SIGNED", "ERROR"]
    return table(titles, rows, palette)


def _signed_until(repository: Document) -> Cell:
    """With the day on which it has to be signed again."""
    if not repository["signed"] or repository["expires"] is None:
        return _signed(repository["signed"])
    return Cell(f"until {repository['expires'][:10]}")


def _as_of(text: str | None, now: datetime) -> str:
    return "never" if text is None else age((now - datetime.fromisoformat(text)).total_seconds())


def package_text(shown: Document, palette: Palette) -> str:
    """Everything about one package, for a person."""
    lines = [printable(shown["fullname"])]
    offers = shown["offers"]
    if offers:
        newest = offers[0]
        lines += _described(newest)
        needs = [f"{one['id']} ({one['type']})" for one in newest["dependencies"]]
        lines += _field("needs", ", ".join(needs))
    for package in shown["installed"]:
        text = f"{package['release']} on {package['host']}"
        lines += _field("installed", text + (", held" if package["held"] else ""))
    text = "".join(f"{line}\n" for line in lines)
    if not offers:
        return text + "no repository offers it\n"
    rows = [
        [
            Cell(offer["release"]),
            Cell(offer["priority"]),
            Cell(offer["repository"]),
            _signed(offer["signed"]),
            Cell("" if offer["fits"] else f"needs Domogik {offer['min_version']}", RED),
        ]
        for offer in offers
    ]
    titles = ["RELEASE", "PRIORITY", "REPOSITORY", "SIGNED", ""]
    return f"{text}\n{table(titles, rows, palette)}"


def _described(package: Document) -> list[str]:
    author = package["author"]
    if package["author_email"]:
        author = f"{author} <{package['author_email']}>"
    return [
        *_field("description", package["description"]),
        *_field("technology", package["technology"]),
        *_field("author", author),
        *_field("documentation", package["documentation"]),
        *_field("changes", package["changelog"]),
    ]


def descriptor_text(package: Document) -> str:
    """What a descriptor or an archive holds, for a person: the JSON form of it."""
    identity = package["identity"]
    lines = [printable(f"{identity['type']}-{identity['id']} {identity['version']}")]
    words = {
        "description": identity["description"],
        "technology": identity["category"],
        "author": identity["author"],
        "documentation": identity["documentation"],
        "changes": identity["changelog"],
        "needs": ", ".join(f"{one['id']} ({one['type']})" for one in identity["dependencies"]),
        "configuration": ", ".join(key["key"] for key in package["configuration"]),
        "files": ", ".join(package["files"]),
    }
    for name, text in words.items():
        lines += _field(name, str(text or ""))
    return "".join(f"{line}\n" for line in lines)


def _field(name: str, text: str) -> list[str]:
    """`  name: text`, what follows its first line below it; nothing for nothing."""
    lines = [printable(line) for line in text.strip().split("\n")]
    if not lines[0]:
        return []
    return [f"  {name + ':':<15}{lines[0]}", *(f"{'':<17}{line}" for line in lines[1:])]


def _first_line(text: str) -> str:
    line, _, _ = text.strip().partition("\n")
    return line if len(line) <= 60 else f"{line[:57]}..."


def held_sentence(package: Document) -> str:
    """Why an update leaves it alone."""
    id, newest = package["id"], package["updates"][0]
    return printable(f"{id} {newest} is offered; {id} is held (dmg_pkgmgr unhold {id})")


def given_up_sentence(package: Document) -> str:
    """Why an update does nothing though something newer is offered."""
    id, release = package["id"], package["given_up"][-1]
    return printable(f"{id} {release} failed here before; again: dmg_pkgmgr update {id} --again")


def sentence(verb: str, package: Document, host: str | None = None) -> str:
    """What came of an order: `plugin-diskfree 1.0 is installed on vm`. `host` was asked for."""
    name = f"{package['fullname']} {package['release'] or ''}".strip()
    if verb in ("hold", "unhold"):
        said = "is held: updates leave it alone" if package["held"] else "is not held"
    elif package["release"] is None:
        said = f"is not installed on {package['host']} any more"
    else:
        said = f"is installed on {package['host']}"
        if verb == "install" and not package.get("enabled", True):
            ctl = f"dmg_ctl --host {host}" if host else "dmg_ctl"
            said += f"; to use it: {ctl} enable {package['id']}, {ctl} start {package['id']}"
    return printable(f"{name} {said}")
