"""The time of day for everything that has no clock of its own."""

from __future__ import annotations

from datetime import datetime

from domogik.plugin import CMND, STAT, TRIG, Message, Plugin, listen, run

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


def body(moment: datetime) -> dict[str, str]:
    """What `datetime.basic` says of a moment in local time."""
    return {
        "datetime": f"{moment:%Y%m%d%H%M%S}",
        "date": f"{moment:%Y%m%d}",
        "time": f"{moment:%H%M%S}",
        "day": DAYS[moment.weekday()],
    }


def pause(now: float, interval: float) -> float:
    """Seconds from `now` to the next multiple of `interval`, such as the next full minute.

    A timer may be early by a little: what is nearly there counts as there.
    """
    steps = (now + min(0.5, interval / 2)) // interval + 1
    return float(steps * interval - now)


class Clock(Plugin):
    """Sends `datetime.basic` in step with the clock on the wall, and when asked."""

    name = "clock"

    async def started(self) -> None:
        """Wait for the next full interval."""
        self.interval = await self.config.integer("interval", 60, minimum=1, maximum=86_400)
        self.log.info("telling the time every {seconds} s", seconds=self.interval)
        self.wait_for_next()

    @listen(type=CMND, schema="datetime.request")
    def asked(self, message: Message) -> None:
        """Somebody wants to know now."""
        self.send(STAT, "datetime.basic", body(datetime.now()))

    def tick(self) -> None:
        """The interval is full."""
        self.wait_for_next()
        self.send(TRIG, "datetime.basic", body(datetime.now()))

    def wait_for_next(self) -> None:
        """Each pause is measured anew, so that the wall clock may be set meanwhile."""
        self.later(pause(datetime.now().timestamp(), self.interval), self.tick)


if __name__ == "__main__":
    run(Clock)
