"""An operation that nothing else in the program knows, through every interface."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.utils import getProcessOutputAndValue
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, HTTPConnectionPool

from domogik.api.access import Access
from domogik.api.settings import RestSettings
from domogik.api.site import make_site
from domogik.manager.operations.all import TABLE
from domogik.manager.operations.terminal import rows
from domogik.testing.local_host import HOST, FakeManager

TOKEN = "the-token"
GUIDE = Path(__file__).parents[2] / "docs" / "architecture.md"
#: `dmg_ctl` with the table as it would be when it was made anew
CTL = """
from domogik.cli import commands_table
commands_table.COMMANDS = {rows!r}
from domogik.cli.ctl.commands import main
raise SystemExit(main())
"""


class OwnOperationTest(TestCase):
    """The example of the documentation, and one manager whose REST is asked over a real socket."""

    def setUp(self) -> None:
        _, _, rest = GUIDE.read_text(encoding="utf-8").partition("```python\n")
        example, _, _ = rest.partition("```")
        exec(compile(example, str(GUIDE), "exec", dont_inherit=True), {})
        self.addCleanup(TABLE.pop, "component.greet")
        directory = Path(self.mktemp())
        directory.mkdir()
        self.manager = (
            FakeManager(directory / "home").install("demo").configure("[plugins]\ndemo = enabled\n")
        )
        self.manager.begin()
        access = Access.from_settings(RestSettings(), TOKEN, frozenset({"localhost", HOST}))
        site = make_site(self.manager.all_hosts, access, reactor=reactor, version="1")
        port = reactor.listenTCP(0, site, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        self.url = f"http://127.0.0.1:{port.getHost().port}"
        self.token = directory / "token"
        self.token.write_text(TOKEN)

    async def asked(self, method: str, path: str, token: str = TOKEN) -> tuple[int, object]:
        client = HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))
        headers = {"Authorization": f"Bearer {token}"}
        response = await client.request(method, f"{self.url}{path}", headers=headers)
        return response.code, json.loads(await response.content())

    async def test_v1_serves_it_and_describes_it(self) -> None:
        _, document = await self.asked("GET", "/api/v1/openapi.json")
        told = document["paths"]["/api/v1/components/{id}/greet"]["post"]
        assert told["operationId"] == "greetComponent"
        assert told["summary"] == "Say a word to it"
        assert told["description"] == "Nothing of it changes."
        assert [one["name"] for one in told["parameters"]] == ["id", "host", "word", "loud"]
        assert sorted(told["responses"]) == ["200", "400", "401", "403", "404", "409", "500"]
        path = "/api/v1/components/demo/greet"
        status, answer = await self.asked("POST", f"{path}?word=hello&loud=yes")
        assert (status, answer) == (200, {"said": "HELLO", "about": "plugin:demo"})
        status, answer = await self.asked("POST", path)
        assert (status, answer["detail"]) == (400, "word is missing: What is said.")
        assert (await self.asked("POST", f"{path}?word=Hello"))[0] == 400
        assert (await self.asked("POST", f"{path}?word=hello", token="wrong"))[0] == 401
        assert (await self.asked("POST", "/api/v1/components/lamp/greet?word=hello"))[0] == 404

    def test_xpl_obeys_it(self) -> None:
        self.manager.order("greet", "demo", word="hello")
        answer = self.manager.answer()
        assert (answer["plugin"], answer["said"]) == ("demo", "hello")
        self.manager.network.said.clear()
        self.manager.order("greet", "demo")
        assert self.manager.answer()["error"] == "word is missing: What is said."

    async def test_dmg_ctl_has_it(self) -> None:
        program = CTL.format(rows=tuple(rows(TABLE.values())))
        ctl = [sys.executable, "-c", program, "greet", "--loud", "demo", "hello"]
        out, err, status = await getProcessOutputAndValue(
            ctl[0],
            [*ctl[1:], "--url", self.url, "--token-file", str(self.token)],
            env={"HOME": "/nonexistent", "PATH": "/usr/bin:/bin"},
        )
        assert (out, err, status) == (b"HELLO\n", b"", 0)
