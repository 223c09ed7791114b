"""Units in programs of asyncio: what `await` gives under `asyncio.run`."""

from __future__ import annotations

import asyncio
import gc
import socket

import pytest
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs

from domogik.answers import answer_of
from domogik.supervisor.reactors import usual_reactor
from domogik.testing.units import FakeSystemd, fake_units
from domogik.units import App, Daemon, SharedDaemon, Units
from domogik.units.systemd.backend import NoSystemd


def under_asyncio(use) -> None:
    """With a systemd that exists only here; twice, for each run has a loop of its own."""

    async def main():
        systemd = FakeSystemd()
        await use(systemd, fake_units(systemd, usual_reactor(), {}))

    asyncio.run(main())
    asyncio.run(main())


def test_what_is_awaited_is_the_value() -> None:
    async def use(systemd, units):
        systemd.add("web.service")
        daemon = Daemon("daemon-web", "web")
        app = units.add(App("web", [daemon, SharedDaemon("shared-db", "db")]))
        systemd.add("db.service")
        assert await daemon.is_enabled() is False
        await app.enable()
        assert await asyncio.wait_for(daemon.is_enabled(), 10) is True
        checks, running = await asyncio.gather(app.diagnose(), daemon.is_running())
        assert ([check.result for check in checks], running) == (["passed", "passed"], True)

    under_asyncio(use)


def test_two_blocks_at_once_wait_for_each_other() -> None:
    async def use(systemd, units):
        systemd.add("db.service").is_slow = True
        daemon = Daemon("daemon-db", "db")
        units.add(App("db", [daemon]))

        async def needs_it() -> bool:
            async with daemon.ensure_running() as ran_before:
                await asyncio.sleep(0)
                return ran_before

        blocks = [asyncio.create_task(needs_it()) for _ in range(3)]
        while not systemd.orders:
            await asyncio.sleep(0)
        systemd.finish_start("db.service")
        assert (await asyncio.gather(*blocks)).count(False) == 1
        assert not await daemon.is_running()

    under_asyncio(use)


def test_errors_are_raised_and_a_task_may_be_cancelled() -> None:
    async def use(systemd, units):
        systemd.absent = "there is no systemd here"
        daemon = Daemon("daemon-web", "web")
        units.add(App("web", [daemon]))
        with pytest.raises(NoSystemd):
            await daemon.is_enabled()
        given_up = []

        async def never():
            await Deferred(given_up.append)

        async def waits():
            await answer_of(never())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waits(), 0.01)
        assert len(given_up) == 1

    under_asyncio(use)


def test_what_is_given_up_may_still_tidy_up() -> None:
    async def use(_systemd, _units):
        tidied_up = Deferred()
        ended = []

        async def tidies_up():
            try:
                await Deferred()
            finally:
                await tidied_up
                ended.append(True)

        async def waits():
            await answer_of(tidies_up())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(waits(), 0.01)
        with capturedLogs() as reported:
            tidied_up.callback(None)
            gc.collect()
        assert (ended, list(reported)) == ([True], [])

    under_asyncio(use)


def test_ports_are_looked_at_in_threads_that_end_with_the_loop() -> None:
    async def main():
        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            alone = Daemon("daemon-x", "no-such-unit", listen_ports=[(port, "tcp")])
            assert (await alone.diagnose())[1].result == "passed"
            app = Units.on_this_host().add(App("x", [alone]))
            assert (await app.diagnose())[1].result == "passed"

    asyncio.run(main())
    asyncio.run(main())
