"""The core services of a manager: what happens when it stops while one of them is being opened."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from domogik.app.parts.core import CoreServices
from domogik.app.progress import StartProgress
from domogik.components.events import EventStream
from domogik.config.load import load
from domogik.manager.components import ComponentList


class SlowRest:
    """A REST server that takes its time to listen."""

    def __init__(self) -> None:
        self.opening: Deferred[None] = Deferred()
        self.listens = False

    async def open(self, settings: object) -> None:
        await self.opening
        self.listens = True

    def hold(self) -> None:
        pass

    def serve(self) -> None:
        pass

    async def close(self) -> None:
        self.listens = False


class SlowDbmgr:
    """A dbmgr whose database takes its time to open."""

    def __init__(self) -> None:
        self.opening: Deferred[None] = Deferred()
        self.values: Any = None
        self.spoke = False

    async def open(self, url: str, *, must_exist: bool = False) -> None:
        await self.opening
        self.values = object()

    def speak(self) -> object:
        self.spoke = True
        return object()

    async def close(self) -> None:
        self.values = None


async def found_nothing(role: str, timeout_s: float) -> None:
    return None


def make_core(clock: Clock) -> CoreServices:
    foundation = SimpleNamespace(
        configuration=load(()),
        settings=SimpleNamespace(hostname="vm"),
        database_url=lambda: "sqlite:///domogik.db",
    )
    given: dict[str, Any] = dict.fromkeys(("trust", "declared", "hold"))
    return CoreServices(
        reactor=clock,
        xpl_node=SimpleNamespace(hub=object(), bus=None),  # type: ignore[arg-type]
        progress=StartProgress(),
        foundation=foundation,  # type: ignore[arg-type]
        components=ComponentList(EventStream(clock.seconds)),
        role_lookup=SimpleNamespace(namesakes=None, find=found_nothing, close_probe=lambda: None),  # type: ignore[arg-type]
        patience_s=1.0,
        daemon_url=lambda name: Deferred(),
        **given,
    )


def test_a_database_that_opens_after_the_manager_stopped_is_closed_again() -> None:
    clock, role = Clock(), SlowDbmgr()
    core = make_core(clock)
    core._dbmgr = role  # type: ignore[assignment]
    opening = Deferred.fromCoroutine(core.open_database())
    closing = Deferred.fromCoroutine(core.close())
    assert closing.called

    role.opening.callback(None)

    assert opening.called
    assert (role.values, role.spoke) == (None, False)
    assert not clock.getDelayedCalls()


def test_rest_that_listens_after_the_manager_stopped_is_closed_again() -> None:
    clock, role = Clock(), SlowRest()
    core = make_core(clock)
    core._rest_role = role  # type: ignore[assignment]
    starting = Deferred.fromCoroutine(core.parts()["rest"].start())
    closing = Deferred.fromCoroutine(core.close())
    assert closing.called

    role.opening.callback(None)

    assert starting.called
    assert (role.listens, core.rest) == (False, None)
    assert not clock.getDelayedCalls()
