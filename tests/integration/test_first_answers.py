"""REST says where it is as soon as it answers, and its first answer is whole."""

from __future__ import annotations

import contextlib
import http.client
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import PATIENCE, World, free_port


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_plugin("demo")
    yield made
    made.close()


def test_the_first_answer_lists_the_plugins_and_the_port_is_announced_by_then(
    world: World, monkeypatch
) -> None:
    port = free_port()
    file = world.home / "domogik.cfg"
    file.write_text(file.read_text().replace("server_port = 0", f"server_port = {port}"))
    monkeypatch.setattr(
        world, "connect", lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE)
    )
    world.manager = subprocess.Popen(
        world.command("-f", "-r"), stdin=subprocess.DEVNULL, start_new_session=True
    )
    end = time.monotonic() + PATIENCE
    answer = None
    while answer is None and time.monotonic() < end:
        with contextlib.suppress(OSError):
            answer = world.request("/api/v1/components?kind=plugin", token=False)
    assert (world.home / "run" / "rest.port").read_text().strip() == str(port)
    assert answer is not None
    assert [one["id"] for one in answer[1]["components"]] == ["plugin:demo"]
    assert world.stop() == 0
