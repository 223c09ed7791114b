"""Daemons in a program of asyncio, which knows no reactor."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest
import redis

from domogik.daemons import ManagedDaemonError, RedisDaemon

pytestmark = pytest.mark.integration

PROGRAM = """
import asyncio, sys, threading
from domogik.daemons import RedisDaemon

async def main():
    daemon = RedisDaemon()
    await daemon.configure(sys.argv[1], password="secret")
    await daemon.start()
    print(daemon.is_running())
    await daemon.destroy()

asyncio.run(main())
print(daemon_threads := threading.active_count())
"""


def test_await_works_under_asyncio_run(tmp_path: Path) -> None:
    async def main() -> None:
        daemon = RedisDaemon()
        directory = tmp_path / "redis"
        assert await daemon.configure(directory) == "Successfully configured Redis."
        with pytest.raises(TypeError, match="await it"):
            bool(starting := daemon.start())
        assert await asyncio.wait_for(starting, 60) == "In appropriate state."
        client = redis.Redis(port=daemon.get_port())
        assert await asyncio.to_thread(client.ping)
        client.close()
        with pytest.raises(ManagedDaemonError, match="already running"):
            await daemon.start()
        assert await asyncio.gather(daemon.stop(), asyncio.sleep(0, "beside")) == [
            "Process has finished.",
            "beside",
        ]
        await daemon.start()
        await daemon.destroy()
        assert not directory.exists()

    asyncio.run(main())
    asyncio.run(main())


def test_a_program_ends_with_its_loop(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", PROGRAM, tmp_path / "redis"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("True\n1\n", "")
