"""What processes use, as their owner reads it."""

from __future__ import annotations

import os

from domogik.supervisor.processes.identity import ProcessIdentity
from domogik.supervisor.processes.usage import UsageMeter


def test_a_look_at_one_component_leaves_the_figures_of_the_others_as_they_are() -> None:
    """CPU is that since the last look at the process itself, whoever else was looked at."""
    now = [1000.0]
    meter = UsageMeter(lambda: now[0])
    us = {"plugin:a": [ProcessIdentity.of(os.getpid())]}
    meter.usage(us)
    now[0] += 10
    meter.usage({"plugin:b": []})
    now[0] += 50
    sum(range(200_000))
    later = meter.usage(us)["plugin:a"]
    # over a minute of that clock a test uses next to nothing; since its start it used much more
    assert later.cpu_percent < 10
    assert later.memory_bytes > 0
