"""How full the disks of this computer are."""

from __future__ import annotations

import psutil
from twisted.internet.defer import Deferred, gatherResults

from domogik.plugin import CMND, STAT, InvalidMessage, Message, Plugin, listen, run

#: seconds after which a path that does not answer is given up; its disk may be on a dead network
PATIENCE_S = 10


def measure(path: str) -> dict[str, int | float]:
    """The space behind `path` in kB, and how much of it is used in percent; `OSError`."""
    usage = psutil.disk_usage(path)
    return {
        "percent_used": usage.percent,
        "free_space": usage.free // 1024,
        "used_space": usage.used // 1024,
        "total_space": usage.total // 1024,
    }


class DiskFree(Plugin):
    """Sends four `sensor.basic` for each path, every few minutes and when asked."""

    name = "diskfree"

    async def started(self) -> None:
        """Read what to watch, and look at once."""
        minutes = await self.config.number("interval", 5, minimum=0.1, maximum=10_000)
        interfaces = await self.config.interfaces("path")
        self.paths = [interface["path"] for interface in interfaces] or ["/"]
        self.hanging: set[str] = set()
        self.log.info("watching {paths}", paths=", ".join(self.paths))
        self.every(minutes * 60, self.look_everywhere)

    @listen(type=CMND, schema="sensor.request", body={"request": "current"})
    async def asked(self, message: Message) -> None:
        """Somebody wants to know now: all paths, or the one of `device`."""
        device = message.get("device")
        if device is None:
            await self.look_everywhere()
        elif device in self.paths:
            await self.look(device)

    async def look_everywhere(self) -> None:
        """All paths at the same time, so that none waits for one that hangs."""
        await gatherResults([Deferred.fromCoroutine(self.look(path)) for path in self.paths])

    async def look(self, path: str) -> None:
        """Measure one path and tell; what goes wrong concerns this path only."""
        if path in self.hanging:
            self.log.warn("{path} still does not answer", path=path)
            return
        self.hanging.add(path)
        try:
            figures = await self.in_thread(self.measure, path, timeout=PATIENCE_S)
            for figure, current in figures.items():
                body = {"device": path, "type": figure, "current": current}
                self.send(STAT, "sensor.basic", body)
        except (OSError, InvalidMessage) as error:  # a TimeoutError is an OSError
            self.log.warn("{path}: {error}", path=path, error=error)

    def measure(self, path: str) -> dict[str, int | float]:
        """In a thread of its own, which stays behind for as long as the path hangs."""
        try:
            return measure(path)
        finally:
            self.hanging.discard(path)


if __name__ == "__main__":
    run(DiskFree)
