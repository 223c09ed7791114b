"""What `[supervision]` and `[component:<id>]` say about keeping a component running."""

from __future__ import annotations

import signal

import attrs

from domogik.config.load import Configuration, Setting
from domogik.supervisor.interfaces import Policy, Restart


@attrs.frozen
class Supervision:
    """The policy of one component, and what belongs to its program and its order of start.

    Sizes in bytes; `needs` are component ids.
    """

    policy: Policy = Policy()
    needs: tuple[str, ...] = ()
    memory_max: int | None = None
    open_files_max: int | None = None
    nice: int = 0

    @classmethod
    def of(cls, configuration: Configuration, component_id: str) -> Supervision:
        """`[component:<id>]` over `[supervision]`; raises `BrokenConfiguration`."""
        settings = _settings(configuration, component_id)
        defaults = Policy()
        policy = attrs.evolve(
            defaults,
            **{
                key: read(settings[key])
                for key, read in _POLICY.items()
                if key in settings and settings[key].text()
            },
        )
        return cls(
            policy=policy,
            needs=tuple(settings["needs"].words()) if "needs" in settings else (),
            memory_max=settings["memory_max"].size() if "memory_max" in settings else None,
            open_files_max=settings["open_files_max"].integer(16, 2**20)
            if "open_files_max" in settings
            else None,
            nice=settings["nice"].integer(-20, 19) if "nice" in settings else 0,
        )


def _settings(configuration: Configuration, component_id: str) -> dict[str, Setting]:
    return {
        **configuration.section("supervision"),
        **configuration.section(f"component:{component_id}"),
    }


def _signal_name(setting: Setting) -> str:
    name = setting.text().upper().removeprefix("SIG")
    if f"SIG{name}" not in signal.Signals.__members__:
        raise setting.broken("must be the name of a signal (TERM, INT, ...)")
    return name


_POLICY = {
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
    "log_max_size": lambda setting: setting.size(),
    "log_files": lambda setting: setting.integer(1, 1000),
}
