"""What only the disk knows of installed packages: releases, holds, what failed, unmet needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs

from domogik.manager.packages.interfaces import InstalledPackage
from domogik.manager.packages.missing import warnings
from domogik.packages.store.changes import Store
from domogik.packages.store.installed import Inventory


@attrs.define(eq=False)
class StoredPackages:
    """As the store was when it was read last; `release_of` gives an installed plugin's release."""

    _store: Store
    _release_of: Callable[[str], str | None]
    #: full name -> what is told beside the entry of a list
    _found: Mapping[str, Mapping[str, Any]] = attrs.field(init=False, factory=dict)

    def look(self, entries: Iterable[InstalledPackage], inventory: Inventory) -> None:
        """Read the store; blocks."""
        plugins = inventory.plugins.values()
        needs = {one.package.full_name: warnings(one, self._release_of) for one in plugins}
        store, refs = self._store, [entry.ref for entry in entries]
        self._found = {
            ref.fullname: {
                "releases": tuple(one.release for one in store.releases(ref.type, ref.id)),
                "held": store.held(ref.type, ref.id),
                "given_up": store.given_up(ref.type, ref.id),
                "warnings": needs.get(ref.fullname, ()),
            }
            for ref in refs
        }

    def complete(self, entry: InstalledPackage) -> InstalledPackage:
        """The entry with what is known of its package."""
        return attrs.evolve(entry, **self._found.get(entry.ref.fullname, {}))
