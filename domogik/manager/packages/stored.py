"""What only the disk knows of installed packages: releases, holds, what failed, unmet needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from domogik.manager.packages.interfaces import InstalledPackage
from domogik.manager.plugins.missing import warnings
from domogik.packages.store.changes import Store
from domogik.packages.store.installed import Inventory


def look(
    store: Store,
    release_of: Callable[[str], str | None],
    entries: Iterable[InstalledPackage],
    inventory: Inventory,
) -> dict[str, dict[str, Any]]:
    """Return, for the full name of each package, what is told beside its entry of a list.

    `release_of` gives an installed plugin's release. Blocks.
    """
    plugins = inventory.plugins.values()
    needs = {one.package.full_name: warnings(one, release_of) for one in plugins}
    return {
        ref.fullname: {
            "releases": tuple(one.release for one in store.releases(ref.type, ref.id)),
            "held": store.held(ref.type, ref.id),
            "given_up": store.given_up(ref.type, ref.id),
            "warnings": needs.get(ref.fullname, ()),
        }
        for ref in (entry.ref for entry in entries)
    }
