"""Temporary files that a kill -9 left are gone after the next start; those in use stay."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World, wait_until

from domogik.config.files import make_temporary

pytestmark = pytest.mark.integration


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    yield made
    made.close()


def test_an_upload_that_a_crash_interrupted_does_not_stay(world: World) -> None:
    cache = world.home / "cache"
    world.start("-r", "-p")
    with socket.create_connection(("127.0.0.1", world.rest_port)) as upload:
        token = (world.home / "admin.token").read_text().strip()
        upload.sendall(
            b"POST /api/v1/packages/upload HTTP/1.1\r\nHost: localhost\r\n"
            b"Content-Type: application/gzip\r\nContent-Length: 1000000\r\n"
            + f"Authorization: Bearer {token}\r\n\r\n".encode()
            + bytes(300_000)
        )

        def arrived() -> list[Path]:
            return [path for path in cache.glob("upload.*") if path.stat().st_size]

        (interrupted,) = wait_until(arrived, "the upload has begun")
        # another manager's that shares the directory: this process has it open
        descriptor, held = make_temporary(cache, "upload")
        theirs = cache / "upload.tgz"
        theirs.write_text("somebody's")
        gone, half = make_temporary(world.home, ".domogik.cfg")
        os.close(gone)
        former = cache / ".plugin-lamp-1.0.tgz.a1b2c3_d"
        former.write_text("half")
        os.utime(former, (1e9, 1e9))
        world.kill()
    assert interrupted.exists()
    world.start("-r", "-p")
    assert not interrupted.exists()
    assert not half.exists()
    assert not former.exists()
    assert held.exists()
    assert theirs.exists()
    os.close(descriptor)
    assert world.stop() == 0
