"""The settings of `[supervision]` and `[component:<id>]`."""

from __future__ import annotations

import signal
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import attrs

from domogik.components.model import ComponentId, InvalidId
from domogik.config.load import Configuration, Setting
from domogik.supervisor.interfaces import Policy, Restart

T = TypeVar("T")
_USUAL = Policy()
_PROBATION_S = 60.0


@attrs.frozen
class Supervision:
    """The policy, limits and needs of one component.

    Sizes are in bytes; `needs` are component ids. `update_probation_s` is how long a new release is
    watched.
    """

    policy: Policy = Policy()
    needs: tuple[str, ...] = ()
    memory_max: int | None = None
    open_files_max: int | None = None
    nice: int = 0
    memory_max_words: str = ""
    update_probation_s: float = _PROBATION_S

    @classmethod
    def of(
        cls, configuration: Configuration, component_id: str, usual: Policy = _USUAL
    ) -> Supervision:
        """Read `[component:<id>]` over `[supervision]` over `usual`; raises
        `BrokenConfiguration`."""
        settings = _settings(configuration, component_id)

        def read(key: str, reader: Callable[[Setting], T], otherwise: T) -> T:
            return reader(settings[key]) if key in settings else otherwise

        return cls(
            policy=attrs.evolve(
                usual, **{key: _POLICY[key](settings[key]) for key in _POLICY if key in settings}
            ),
            needs=read("needs", _ids, ()),
            memory_max=read("memory_max", lambda setting: _size(setting, 2**20), None),
            open_files_max=read("open_files_max", lambda setting: setting.integer(16, 2**20), None),
            nice=read("nice", lambda setting: setting.integer(-20, 19), 0),
            update_probation_s=read(
                "update_probation", lambda setting: setting.seconds(), _PROBATION_S
            ),
            memory_max_words=read(
                "memory_max", lambda one: f"{one.text()} ({one.path.name}:{one.line})", ""
            ),
        )


def check(configuration: Configuration) -> None:
    """Raise `BrokenConfiguration` for an invalid value, also of unknown components."""
    for section in ("component:", *configuration.sections("component:")):
        Supervision.of(configuration, section.removeprefix("component:"))


def _settings(configuration: Configuration, component_id: str) -> dict[str, Setting]:
    """Return the settings by key; empty ones are ignored."""
    return {
        key: setting
        for section in ("supervision", f"component:{component_id}")
        for key, setting in configuration.section(section).items()
        if setting.text()
    }


def _ids(setting: Setting) -> tuple[str, ...]:
    for word in setting.words():
        try:
            ComponentId.parse(word)
        except InvalidId:
            raise setting.broken("must be ids such as plugin:clock") from None
    return setting.words()


def _size(setting: Setting, minimum: int) -> int:
    size = setting.size()
    if size < minimum:
        raise setting.broken(f"must be at least {minimum // 1024}K")
    return size


def _signal_name(setting: Setting) -> str:
    name = setting.text().upper().removeprefix("SIG")
    if f"SIG{name}" not in signal.Signals.__members__:
        raise setting.broken("must be the name of a signal (TERM, INT, ...)")
    return name


_POLICY: Mapping[str, Callable[[Setting], Any]] = {
    "restart": lambda setting: Restart(setting.choice(*(word.value for word in Restart))),
    "backoff_first": lambda setting: setting.seconds(),
    "backoff_max": lambda setting: setting.seconds(),
    "start_limit": lambda setting: setting.integer(1, 10_000),
    "start_limit_window": lambda setting: setting.seconds(),
    "slow_retry": lambda setting: setting.seconds(),
    "start_timeout": lambda setting: setting.seconds(),
    "stop_signal": _signal_name,
    "stop_timeout": lambda setting: setting.seconds(),
    "restart_after_misses": lambda setting: setting.integer(0, 10_000),
    "watchdog": lambda setting: setting.seconds(),
    "log_max_size": lambda setting: _size(setting, 1024),
    "log_files": lambda setting: setting.integer(1, 1000),
}
