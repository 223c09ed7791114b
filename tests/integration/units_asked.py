"""Inside of a systemd of a test's own: programs that use units as a user writes them.

python units_asked.py waiting|asyncio UNIT SHARED

Nothing but public names is imported; what was found is printed as JSON.
"""

from __future__ import annotations

import asyncio
import json
import sys


def waiting(unit: str, shared: str) -> list[object]:
    from domogik.units.blocking import App, Daemon, SharedDaemon, Units

    alone = Daemon("daemon-alone", unit, listen_ports=[(9, "tcp")])
    found: list[object] = [alone.is_enabled(), alone.is_running()]
    with alone.ensure_running() as ran_before:
        found += [ran_before, alone.is_running()]
    found += [alone.is_running(), [check.result for check in alone.diagnose()]]
    units = Units.on_this_host()
    one = units.add(App("one", [Daemon("daemon-one", unit), SharedDaemon("shared-one", shared)]))
    two = units.add(App("two", [SharedDaemon("shared-two", shared)]))
    one.enable()
    two.enable()
    found += [one.is_enabled(), [check.result for check in one.diagnose()]]
    one.disable()
    found += [one.is_enabled(), two.components["shared-two"].is_running()]
    two.disable()
    return [*found, two.components["shared-two"].is_running()]


async def awaited(unit: str, shared: str) -> list[object]:
    from domogik.units import App, Daemon, SharedDaemon, Units

    alone = Daemon("daemon-alone", unit, listen_ports=[(9, "tcp")])
    found: list[object] = [await alone.is_enabled(), await alone.is_running()]
    async with alone.ensure_running() as ran_before:
        found += [ran_before, await alone.is_running()]
    found += [await alone.is_running(), [check.result for check in await alone.diagnose()]]
    units = Units.on_this_host()
    held = SharedDaemon("shared-two", shared)
    one = units.add(App("one", [Daemon("daemon-one", unit), SharedDaemon("shared-one", shared)]))
    two = units.add(App("two", [held]))
    await one.enable()
    await two.enable()
    found += [await one.is_enabled(), [check.result for check in await one.diagnose()]]
    await one.disable()
    found += [await one.is_enabled(), await held.is_running()]
    await two.disable()
    return [*found, await held.is_running()]


if __name__ == "__main__":
    way, *names = sys.argv[1:]
    print(json.dumps(waiting(*names) if way == "waiting" else asyncio.run(awaited(*names))))
