"""One wrong entry of a configuration refuses itself and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from domogik.config.load import BrokenConfiguration, Configuration

#: turns what it knows of a configuration into settings; raises `BrokenConfiguration`
Reader = Callable[[Configuration], object]

#: sections whose keys make sense together only
_WHOLE = ("daemon:", "unit:")
_NOTHING = Configuration()


def settle(
    configuration: Configuration, readers: Sequence[Reader], before: Configuration = _NOTHING
) -> tuple[Configuration, tuple[BrokenConfiguration, ...]]:
    """What every reader takes of a configuration, and an error for each entry that one refuses.

    An entry is a key, or a whole `[daemon:...]` or `[unit:...]` section. In place of one that is
    refused stands what `before` says, where that is taken, and otherwise nothing.
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
                    raise  # it is about something else than what it names
                instead = before if entry not in refused else _NOTHING
                if instead is _NOTHING:
                    dropped.add(entry)
                refused.setdefault(entry, error)
                configuration = configuration.instead(*entry, instead)
            else:
                break
    return configuration, tuple(refused.values())


def component_of(error: BrokenConfiguration) -> str:
    """The id of the component whose entry is refused, empty where it is not one component's."""
    if error.section.startswith(_WHOLE):
        return error.section
    if error.section == "plugins":
        return f"plugin:{error.key}"
    return error.section.removeprefix("component:") if ":" in error.section else ""
