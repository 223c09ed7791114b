"""Reads the answers about packages of other hosts' managers; impossible packages are left out."""

from __future__ import annotations

import re
from collections.abc import Sequence

import attrs

from domogik.manager.packages.interfaces import InstalledPackage
from domogik.packages.descriptor.package import Dependency, UdevRule
from domogik.packages.descriptor.reference import InvalidReference, PackageRef
from domogik.packages.needs.dependencies import DependencyState

#: entries that are read of one answer
MAX_ENTRIES = 1000
_NUMBERED = re.compile(r"(dep|rule)([0-9]{1,3})(?:-|$)", re.ASCII)


def listed_packages(pairs: dict[str, str], host: str) -> tuple[InstalledPackage, ...]:
    """The entries of an `installed-packages-list`, in the words of any release of Domogik."""
    found: dict[str, InstalledPackage] = {}
    for place in range(MAX_ENTRIES):
        words = _words(pairs, place)
        if words is None:
            break
        type, id, release, enabled = words
        try:
            ref = PackageRef(type, id, release)
        except InvalidReference:
            continue
        found.setdefault(ref.fullname, InstalledPackage(ref, host, enabled != "no"))
    return tuple(sorted(found.values(), key=lambda entry: entry.ref.fullname))


def _words(pairs: dict[str, str], place: int) -> tuple[str, str, str, str] | None:
    """Type, id, release and enabled of one entry; None after the last one."""
    type, id = pairs.get(f"type{place}"), pairs.get(f"id{place}") or pairs.get(f"name{place}")
    if not type or not id:
        return None
    release = pairs.get(f"release{place}") or pairs.get(f"version{place}", "")
    return type, id, release, pairs.get(f"enabled{place}", "yes")


def dependency_states(
    pairs: dict[str, str], asked: Sequence[Dependency]
) -> tuple[DependencyState, ...]:
    """The groups of a `check-dependencies` answer.

    A released manager ends the list at the first dependency that it cannot understand and says why
    only at the top: that one has the error then, and for the rest nothing is known.
    """
    states = []
    error = pairs.get("error", "")
    for number in _numbers(pairs, "dep"):
        text = pairs.get(f"dep{number}")
        if text is None or number >= len(asked):
            continue
        said = {name: pairs.get(f"dep{number}-{name}", "") for name in _GROUP}
        if said["error"]:
            error = ""
        states.append(
            DependencyState(
                kind=asked[number].type,
                dependency=asked[number].id,
                installed=said["installed"] == "yes",
                release=said["release"] or said["version"],
                candidate=said["candidate"],
                cmd_line=said["cmd-line"],
                offer=said["offer"],
                error=said["error"],
            )
        )
    missing = asked[len(states) :]
    if error and states and not states[-1].installed:
        states[-1] = attrs.evolve(states[-1], error=error)
    states += [DependencyState(one.type, one.id, error="That host does not say") for one in missing]
    return tuple(states)


_GROUP = ("installed", "release", "version", "candidate", "cmd-line", "offer", "error")


def udev_rules(pairs: dict[str, str]) -> tuple[UdevRule, ...]:
    """The groups of a `get-udev-rules` answer."""
    return tuple(
        UdevRule(
            model=pairs.get(f"rule{number}-model", ""),
            description=_lines(pairs.get(f"rule{number}-desc", "")),
            filename=pairs.get(f"rule{number}-filename", ""),
            rule=_lines(pairs.get(f"rule{number}-rule", "")),
        )
        for number in _numbers(pairs, "rule")
    )


def _lines(text: str) -> str:
    return text.replace("\\n", "\n")


def _numbers(pairs: dict[str, str], word: str) -> list[int]:
    found = (_NUMBERED.match(name) for name in pairs)
    return sorted({int(match[2]) for match in found if match is not None and match[1] == word})
