"""Removes invalid entries from a configuration, so that each affects nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domogik.config.load import BrokenConfiguration, Configuration

#: converts its part of a configuration to settings; raises `BrokenConfiguration`
Reader = Callable[[Configuration], object]

#: sections that are accepted or refused as a whole
_WHOLE = ("daemon:", "unit:")
_NOTHING = Configuration()


def drop_refused_entries(
    configuration: Configuration, readers: Sequence[Reader], before: Configuration = _NOTHING
) -> tuple[Configuration, tuple[BrokenConfiguration, ...]]:
    """Return a configuration that every reader accepts, and one error for each refused entry.

    An entry is a key, or a whole `[daemon:...]` or `[unit:...]` section. A refused entry is
    replaced by that of `before`, if it is accepted, and otherwise removed.
    """
    refused: dict[tuple[str, str], BrokenConfiguration] = {}
    dropped: set[tuple[str, str]] = set()
    for read in readers:
        while True:
            try:
                read(configuration)
            except BrokenConfiguration as error:
                entry = error.section, "" if error.section.startswith(_WHOLE) else error.key
                if entry in dropped:
                    raise  # the error is not about the entry that it names
                instead = before if entry not in refused else _NOTHING
                if instead is _NOTHING:
                    dropped.add(entry)
                refused.setdefault(entry, error)
                configuration = configuration.with_entry_of(*entry, instead)
            else:
                break
    return configuration, tuple(refused.values())


def component_of(error: BrokenConfiguration) -> str:
    """Return the id of the component whose entry was refused, or an empty text."""
    if error.section.startswith(_WHOLE):
        return error.section
    if error.section == "plugins":
        return f"plugin:{error.key}"
    return error.section.removeprefix("component:") if ":" in error.section else ""
