"""A kind of component that nothing else in the program knows, through every interface."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any
from urllib.parse import quote

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import LoopingCall
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool
from zope.interface.verify import verifyObject

from domogik.api.access import Access
from domogik.api.settings import RestSettings
from domogik.api.site import make_site
from domogik.components import model
from domogik.components.model import State
from domogik.manager.registry import IKind
from domogik.testing.local_host import HOST, FakeManager

GUIDE = Path(__file__).parents[2] / "docs" / "architecture.md"
TOKEN = "the-token"


class OwnKindTest(TestCase):
    """One manager whose REST is asked over a real socket."""

    def setUp(self) -> None:
        _, _, rest = GUIDE.read_text(encoding="utf-8").partition("## One kind more")
        code, _, _ = rest.partition("```python\n")[2].partition("```")
        example: dict[str, Any] = {}
        exec(compile(code, str(GUIDE), "exec", dont_inherit=True), example)
        self.addCleanup(model._DECLARED.pop, "valve")
        directory = Path(self.mktemp())
        directory.mkdir()
        self.manager = FakeManager(directory / "home").configure("").begin()
        self.kind = example["ValveKind"](
            components=self.manager.components, supervisor=self.manager.supervisor, host=HOST
        )
        self.manager.kinds.register(self.kind)
        access = Access.from_settings(RestSettings(), TOKEN, frozenset({"localhost", HOST}))
        site = make_site(self.manager.all_hosts, access, reactor=reactor, version="1")
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.token = directory / "token"
        self.token.write_text(TOKEN)

    async def ctl(self, *arguments: str, ends_with: int = 0) -> str:
        program = Path(sys.executable).with_name("dmg_ctl")
        out, err, status = await self.while_its_clock_turns(
            getProcessOutputAndValue(
                str(program),
                [*arguments, "--url", self.url, "--token-file", str(self.token)],
                env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
            )
        )
        assert status == ends_with, (out, err)
        return out.decode()

    def while_its_clock_turns(self, work: Deferred) -> Deferred:
        """The manager's clock is its own: it goes round as long as somebody waits."""
        turning = LoopingCall(self.manager.network.turn)
        turning.start(0.01)
        return work.addBoth(lambda result: (turning.stop(), result)[1])

    async def rinor(self, path: str) -> dict[str, object]:
        return await self.asked("GET", path)

    async def asked(self, method: str, path: str, body: bytes = b"") -> dict[str, object]:
        pool = HTTPConnectionPool(reactor, persistent=False)
        client = HTTPClient(Agent(reactor, pool=pool))
        response = await client.request(
            method, f"{self.url}{path}", headers={"Authorization": f"Bearer {TOKEN}"}, data=body
        )
        return json.loads(await response.content())

    def state(self) -> State:
        return self.kind.find("garden").state

    def test_it_is_a_kind(self) -> None:
        assert verifyObject(IKind, self.kind)

    async def test_dmg_ctl_lists_starts_diagnoses_and_repairs_it(self) -> None:
        assert "valve:garden" in await self.ctl("status")
        await self.ctl("start", "valve:garden")
        assert self.state() is State.RUNNING
        await self.ctl("stop", "garden")
        assert self.state() is State.STOPPED
        assert "The valve is open" in await self.ctl("diagnose", "valve:garden", ends_with=1)
        (issue,) = json.loads(await self.ctl("issues", "--json"))
        await self.ctl("repair", issue["id"])
        assert self.state() is State.RUNNING

    async def test_v1_lists_starts_diagnoses_and_repairs_it(self) -> None:
        base = "/api/v1"
        listed = await self.asked("GET", f"{base}/components?kind=valve")
        assert [one["id"] for one in listed["components"]] == ["valve:garden"]
        started = await self.asked("POST", f"{base}/components/valve:garden/start")
        assert (started["state"], self.state()) == ("running", State.RUNNING)
        await self.asked("POST", f"{base}/components/valve:garden/stop")
        checks = await self.while_its_clock_turns(
            Deferred.fromCoroutine(self.asked("POST", f"{base}/components/valve:garden/diagnose"))
        )
        assert checks["checks"][0]["result"] == "failed"
        (issue,) = (await self.asked("GET", f"{base}/issues"))["issues"]
        path = f"{base}/issues/{quote(issue['id'], safe='')}/repair"
        await self.while_its_clock_turns(Deferred.fromCoroutine(self.asked("POST", path, b"{}")))
        assert self.state() is State.RUNNING

    async def test_rinor_lists_starts_and_diagnoses_it(self) -> None:
        listed = await self.rinor("/valve/list")
        assert listed["valve"][0]["list"][0]["id"] == "garden"
        answer = await self.rinor(f"/valve/start/{HOST}/garden")
        assert (answer["status"], self.state()) == ("OK", State.RUNNING)
        checks = await self.while_its_clock_turns(
            Deferred.fromCoroutine(self.rinor(f"/valve/diagnose/{HOST}/garden"))
        )
        assert checks["check"][0]["result"] == "passed"

    def test_xpl_lists_starts_and_diagnoses_it(self) -> None:
        self.manager.order("start", "garden", type="valve")
        assert self.manager.answer()["plugin"] == "garden"
        assert self.state() is State.RUNNING
        self.manager.network.said.clear()
        self.manager.order("diagnose", "garden", type="valve")
        self.manager.network.turn(1)
        assert self.manager.answer()["check0-result"] == "passed"
        self.manager.order("list", "*")
        assert self.manager.lists()[-1]["valve0-name"] == "garden"
