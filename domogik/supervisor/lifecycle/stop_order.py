"""The order in which components are stopped, by their needs."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from domogik.supervisor.lifecycle.runner import Runner


def users_of(runner: Runner, runners: Iterable[Runner]) -> list[Runner]:
    """Return the running components that need it, directly or not, in start order."""
    users: dict[str, Runner] = {runner.id: runner}
    up = [one for one in runners if one.is_up]
    while more := {
        one.id: one for one in up if one.id not in users and users.keys() & one.specification.needs
    }:
        users |= more
    del users[runner.id]
    return list(users.values())


def in_order_of_stop(runners: Iterable[Runner]) -> Iterator[list[Runner]]:
    """Yield groups that may be stopped together: a component comes after those that need it."""
    remaining = {one.id: one for one in runners}
    while remaining:
        needed = {need for one in remaining.values() for need in one.specification.needs}
        last = [one for one in remaining.values() if one.id not in needed]
        together = last or list(remaining.values())  # those that need each other
        yield together
        for one in together:
            del remaining[one.id]
