"""dbmgr and rest are started and stopped while the manager runs, and answered for like plugins."""

from __future__ import annotations

import pytest

from domogik.components.model import Component, ComponentId, Kind, State
from domogik.manager.core_parts import Part
from domogik.testing.local_host import FakeManager

HOST = "vm"


class FakePart:
    """It puts `next` into the list when it is started."""

    def __init__(self, manager: FakeManager, name: str) -> None:
        self.manager, self.name = manager, name
        self.next, self.reason = State.RUNNING, ""
        self.done: list[str] = []
        self.put(State.RUNNING)
        manager.core.parts = {name: Part(self.start, self.stop)}

    def put(self, state: State, reason: str = "") -> None:
        self.manager.components.put(
            Component(ComponentId(Kind.CORE, self.name), HOST, state, reason=reason)
        )

    async def start(self) -> None:
        self.done.append("start")
        self.put(self.next, self.reason)

    async def stop(self) -> None:
        self.done.append("stop")
        self.put(State.STOPPED)

    @property
    def state(self) -> State:
        return self.manager.components.get(ComponentId(Kind.CORE, self.name)).state


@pytest.fixture(params=["rest", "dbmgr"])
def part(manager: FakeManager, request: pytest.FixtureRequest) -> FakePart:
    return FakePart(manager, request.param)


def error(part: FakePart, command: str) -> str:
    part.manager.network.said.clear()
    part.manager.order(command, part.name)
    return part.manager.answer().get("error", "")


def test_they_are_stopped_started_and_restarted(part: FakePart) -> None:
    part.manager.order("stop", part.name)
    assert "error" not in part.manager.answer()
    assert part.state is State.STOPPED
    assert error(part, "start") == ""
    assert part.state is State.RUNNING
    assert error(part, "restart") == ""
    assert part.done == ["stop", "start", "stop", "start"]


def test_what_is_so_already_is_answered_as_for_plugins(part: FakePart) -> None:
    assert error(part, "start") == f"Component {part.name} is already running on {HOST}"
    assert error(part, "stop") == ""
    assert error(part, "stop") == f"Component {part.name} is not running on {HOST}"
    assert error(part, "restart") == ""
    assert part.done == ["stop", "start"]


def test_one_that_cannot_be_started_is_said_to_have_failed(part: FakePart) -> None:
    part.put(State.STOPPED)
    part.next, part.reason = State.FAILED, "port 40405 is taken by another program"
    assert error(part, "start").startswith(f"Component {part.name} failed to start.")


def test_one_of_another_process_is_left_alone_and_looked_for_at_a_start(part: FakePart) -> None:
    part.put(State.ALIVE, "it runs in another process")
    why = f"core:{part.name} cannot be stopped: it runs in another process"
    assert error(part, "stop") == why
    part.next = State.ALIVE
    assert error(part, "start") == f"Component {part.name} is already running on {HOST}"
    part.next = State.RUNNING
    assert error(part, "start") == ""
    assert part.state is State.RUNNING
