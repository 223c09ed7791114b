"""A client of the events that comes back to another manager than the one it left."""

from __future__ import annotations

import http.client
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from world import World, wait_until

pytestmark = pytest.mark.integration


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    made = World(tmp_path)
    made.add_plugin("load")
    made.start()
    yield made
    made.close()


def first_event(world: World, last: int | str) -> tuple[str, int]:
    """Name and number of the first event for a client that has seen `last`."""
    connection = world.connect()
    try:
        connection.request("GET", "/api/v1/events", headers={"Last-Event-ID": str(last)})
        reply: http.client.HTTPResponse = connection.getresponse()
        number, name = 0, ""
        while not name:
            line = reply.readline().decode().strip()
            if line.startswith("id: "):
                number = int(line.removeprefix("id: "))
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
        return name, number
    finally:
        connection.close()


def test_who_saw_events_of_a_manager_before_reads_again(world: World) -> None:
    """Killed, upgraded, the file lost or broken: what it has seen is never taken for new."""
    file = world.home / "run" / "events.json"
    seen = first_event(world, 0)[1]
    for way in ("killed", "upgraded", "lost", "broken"):
        if way == "upgraded":
            is_new = world.listens_anew()
            assert world.manager is not None
            world.manager.send_signal(signal.SIGUSR2)
            wait_until(is_new, "the new one listens")
        else:
            world.kill()
            if way == "lost":
                file.unlink()
            if way == "broken":
                file.write_text("{")
            world.start()
        name, number = first_event(world, seen)
        assert name == "resync", way
        assert seen < number < 2**53, way
        for verb in ("enable", "disable"):
            world.post(f"/api/v1/components/load/{verb}")
        name, next_number = first_event(world, number)
        assert name != "resync", way
        assert next_number == number + 1, way
        seen = first_event(world, "unknown")[1]
        assert seen >= next_number, way
