"""What `dmg_pkgmgr` asks the manager for, and what it says then."""

from __future__ import annotations

import argparse
import io
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest

from domogik.cli.client import RequestRefused
from domogik.cli.pkgmgr import commands
from domogik.cli.pkgmgr.commands import _options
from domogik.cli.pkgmgr.orders import Orders
from domogik.cli.program import CommandFailed, run
from domogik.cli.progress import Counted, ProgressLine, line
from domogik.cli.session import Terminal
from domogik.cli.terminal import Palette

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "packages.md"


def package(id: str = "demo", release: str | None = "1.0", **fields: object) -> dict[str, object]:
    made: dict[str, object] = {
        "fullname": f"plugin-{id}",
        "type": "plugin",
        "id": id,
        "host": "vm",
        "release": release,
        "enabled": False,
        "held": False,
        "releases": [release],
        "updates": [],
        "given_up": [],
    }
    return made | fields


@attrs.define
class FakeAnswer:
    _document: object

    def document(self) -> object:
        if isinstance(self._document, Exception):
            raise self._document
        return self._document


@attrs.define
class FakeClient:
    """Documents by path; what is changed is written down."""

    documents: dict[str, object] = attrs.field(factory=dict)
    events: list[str] = attrs.field(factory=list)
    asked: list[tuple[str, dict[str, str]]] = attrs.field(factory=list)
    sent: list[bytes] = attrs.field(factory=list)

    def get(self, path: str, **query: str | None) -> object:
        found = self.documents.get(path, RequestRefused(404, f"nothing at {path}"))
        if isinstance(found, Exception):
            raise found
        return found

    def begin(self, method: str, path: str, timeout_s: float, **query: str | None) -> FakeAnswer:
        given = {name: value for name, value in query.items() if value is not None}
        self.asked.append((path, given))
        return FakeAnswer(self.documents[path])

    def stream(self, path: str, accept: str, timeout_s: float) -> Iterator[str]:
        yield from self.events

    def upload(self, path: str, content: Counted, size: int, timeout_s: float) -> object:
        self.sent.append(content.read())
        found = self.documents[path]
        if isinstance(found, Exception):
            raise found
        return found


@pytest.fixture
def client() -> FakeClient:
    shown = {"fullname": "plugin-demo", "type": "plugin", "id": "demo", "installed": []}
    return FakeClient(
        {
            "/hosts": {"host": "vm", "hosts": [{"id": "vm"}, {"id": "attic"}]},
            "/packages/plugin-demo": {**shown, "offers": []},
            "/packages": {"host": "vm", "packages": []},
        }
    )


@pytest.fixture
def command(client, monkeypatch, capsys):
    """Runs a command with the fake manager; its status, and what it wrote."""

    def run(*arguments: str) -> tuple[int, str]:
        def orders(options: argparse.Namespace) -> Orders:
            terminal = Terminal(client, options, Palette(False), False)
            terminal.check_host()
            return Orders(terminal, ProgressLine(False))

        monkeypatch.setattr(commands, "_orders", orders)
        status = commands._work(list(arguments))
        return status, capsys.readouterr().out

    return run


def test_a_package_is_installed_by_its_bare_id(client, command):
    client.documents["/packages/plugin/demo/install"] = package()
    status, said = command("install", "demo", "1.0")
    assert status == 0
    assert said.startswith("plugin-demo 1.0 is installed on vm; to use it: dmg_ctl enable demo")
    assert client.asked == [("/packages/plugin/demo/install", {"release": "1.0"})]


def test_with_what_it_needs_where_that_is_asked_for(client, command):
    client.documents["/packages/plugin/demo/install"] = package()
    client.documents["/packages/plugin/demo/dependencies"] = {"dependencies": []}
    command("install", "demo", "--with-dependencies")
    assert client.asked[-1] == ("/packages/plugin/demo/install", {"with_dependencies": "yes"})


def needs(*plugins):
    found = [
        {"type": type, "dependency": text, "release": there, "candidate": candidate}
        for type, text, there, candidate in plugins
    ]
    return {"dependencies": found}


def test_the_plugins_that_it_needs_are_installed_first_each_once(client, command):
    client.documents["/packages/plugin/demo/dependencies"] = needs(
        ("plugin", "lamp (>=1.0)", "", "1.2"),
        ("plugin", "there", "0.9", "1.0"),
        ("plugin", "nowhere", "", ""),
        ("python", "attrs", "", "23.1"),
        ("other", "sox", "", "14.4"),
    )
    client.documents["/packages/plugin/lamp/dependencies"] = needs(("plugin", "demo", "", "1.0"))
    for id in ("demo", "lamp"):
        client.documents[f"/packages/plugin/{id}/install"] = package(id)
    command("install", "demo", "1.0", "--with-dependencies")
    done = [path for path, _ in client.asked if path.endswith("/install")]
    assert done == ["/packages/plugin/lamp/install", "/packages/plugin/demo/install"]
    assert ("/packages/plugin/demo/dependencies", {"release": "1.0"}) in client.asked


def test_what_is_missing_is_said_a_line_each_and_the_install_stands(client, command, monkeypatch):
    complaints: list[str] = []
    monkeypatch.setattr(commands, "complain", lambda name, text: complaints.append(text))
    lacks = ["demo needs x, which is not installed: get x", "demo needs y"]
    client.documents["/packages/plugin/demo/install"] = package(warnings=lacks)
    status, said = command("install", "demo")
    assert (status, said.startswith("plugin-demo 1.0 is installed on vm")) == (0, True)
    assert complaints == lacks


def test_on_another_host(client, command):
    client.documents["/packages/plugin/demo/install"] = package(host="attic")
    client.documents["/packages/plugin/demo/dependencies"] = {"dependencies": []}
    assert "on attic" in command("--host", "attic", "install", "plugin-demo")[1]
    assert client.asked == [
        ("/packages/plugin/demo/install", {"host": "attic"}),
        ("/packages/plugin/demo/dependencies", {"host": "attic"}),
    ]
    with pytest.raises(CommandFailed, match="no host 'cellar' was heard"):
        command("install", "demo", "--host", "cellar")


def test_an_id_that_two_types_have_must_be_named_in_full(client, command):
    client.documents["/packages/external-demo"] = {"installed": [], "offers": []}
    with pytest.raises(CommandFailed, match="plugin-demo or external-demo"):
        command("install", "demo")
    assert client.asked == []


def test_of_what_nobody_offers_it_is_said_what_to_do(command):
    with pytest.raises(CommandFailed, match="dmg_pkgmgr update-cache"):
        command("install", "nobody")


def test_a_file_is_uploaded_and_then_installed(client, command, tmp_path):
    path = tmp_path / "mine.tgz"
    path.write_bytes(b"archive")
    client.documents["/packages/upload"] = package()
    client.documents["/packages/plugin/demo/install"] = package()
    assert command("install", str(path))[0] == 0
    assert client.sent == [b"archive"]
    assert client.asked == [("/packages/plugin/demo/install", {"release": "1.0"})]
    with pytest.raises(CommandFailed, match="one release"):
        command("install", str(path), "2.0")


def test_an_upload_that_is_refused_names_the_file(client, command, tmp_path):
    path = tmp_path / "mine.tgz"
    path.write_bytes(b"nonsense")
    client.documents["/packages/upload"] = RequestRefused(409, "it is not a gzipped tar archive")
    with pytest.raises(CommandFailed, match="not a gzipped"):
        command("upload", str(path))
    path.write_bytes(b"")
    with pytest.raises(CommandFailed, match="0 bytes"):
        command("upload", str(path))


def test_what_was_given_up_is_tried_again_only_where_that_is_said(client, command):
    failed = package("demo", given_up=["2.0"])
    client.documents["/packages/plugin-demo"]["installed"] = [failed]
    client.documents["/packages"] = {"host": "vm", "packages": [failed]}
    client.documents["/packages/plugin/demo/update"] = failed
    told = "demo 2.0 failed here before; again: dmg_pkgmgr update demo --again\n"
    assert command("update") == (0, told)
    assert client.asked == []
    assert command("update", "demo") == (0, told)
    client.documents["/packages/plugin/demo/update"] = package("demo", "2.0")
    assert "2.0 is installed" in command("update", "demo", "--again")[1]
    assert "2.0 is installed" in command("update", "--again")[1]
    assert client.asked[1:] == [("/packages/plugin/demo/update", {"again": "yes"})] * 2


def test_everything_newer_is_updated_but_what_is_held(client, command, printed):
    client.documents["/packages"] = {
        "host": "vm",
        "packages": [
            package("one", updates=["2.0"]),
            package("two", updates=["2.0"], held=True),
            package("three"),
            package("four", updates=["2.0"]),
        ],
    }
    client.documents["/packages/plugin/one/update"] = RequestRefused(409, "one 2.0 was given up")
    client.documents["/packages/plugin/four/update"] = package("four", "2.0")
    status, said = command("update")
    assert status == 1
    assert said == (
        "two 2.0 is offered; two is held (dmg_pkgmgr unhold two)\n"
        "plugin-four 2.0 is installed on vm\n"
    )
    assert printed(said) == ["dmg_pkgmgr unhold two"]
    assert [path for path, _ in client.asked] == [
        "/packages/plugin/one/update",
        "/packages/plugin/four/update",
    ]


def shown(client, *releases: str) -> None:
    """`demo` is installed, of that release."""
    client.documents["/packages/plugin-demo"] = {
        "fullname": "plugin-demo",
        "installed": [package(release=one) for one in releases],
        "offers": [],
    }


def test_an_update_to_what_is_there_says_how_old_the_lists_are(client, command, printed):
    shown(client, "1.0")
    client.documents["/packages/plugin/demo/update"] = package()
    asked = (datetime.now(UTC) - timedelta(hours=3, minutes=1)).isoformat()
    client.documents["/repositories"] = {"repositories": [{"as_of": asked}, {"as_of": None}]}
    said = command("update", "demo")[1]
    assert said == "demo 1.0 is the newest (list of 3 h ago; dmg_pkgmgr update-cache)\n"
    assert printed(said) == ["dmg_pkgmgr update-cache"]
    client.documents["/repositories"] = {"repositories": []}
    assert command("update", "demo")[1] == "demo 1.0 is the newest\n"


def test_a_rollback_says_from_where_to_where(client, command):
    shown(client, "1.1")
    client.documents["/packages/plugin/demo/rollback"] = package(release="1.0.1")
    assert command("rollback", "demo")[1] == "demo is back from 1.1 to 1.0.1\n"


def test_an_upload_says_how_to_install_it(client, command, tmp_path, printed):
    path = tmp_path / "mine.tgz"
    path.write_bytes(b"archive")
    client.documents["/packages/upload"] = package()
    said = command("upload", str(path))[1]
    assert said == "plugin-demo 1.0 was uploaded; dmg_pkgmgr install demo\n"
    assert printed(said) == ["dmg_pkgmgr install demo"]


def test_a_package_is_not_named_twice_in_one_complaint(client, command, monkeypatch):
    complaints = []
    monkeypatch.setattr(commands, "complain", lambda name, text: complaints.append(text))
    packages = [package("one", updates=["2.0"]), package("two", updates=["2.0"])]
    client.documents["/packages"] = {"host": "vm", "packages": packages}
    client.documents["/packages/plugin/one/update"] = RequestRefused(
        409, "plugin-one 2.0 is no good"
    )
    client.documents["/packages/plugin/two/update"] = RequestRefused(502, "nobody answers")
    assert command("update")[0] == 1
    assert complaints == ["plugin-one 2.0 is no good", "plugin-two: nobody answers"]


def test_a_file_that_is_not_there_is_named_without_a_number(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["dmg_pkgmgr", "check", "nothere.tgz"])

    def work(arguments: list[str]) -> int:
        Path("nothere.tgz").read_bytes()
        return 0

    assert run("dmg_pkgmgr", work) == 1
    assert capsys.readouterr().err == "dmg_pkgmgr: there is no file nothere.tgz\n"


def test_where_nothing_is_newer_it_is_said_so(command):
    assert command("update") == (0, "Nothing newer is offered\n")


@pytest.mark.parametrize(
    ("arguments", "path", "query", "said"),
    [
        (["hold", "demo"], "hold", {}, "plugin-demo 0.9 is not held\n"),
        (["uninstall", "demo"], "uninstall", {}, "plugin-demo 0.9 is installed on vm\n"),
        (
            ["uninstall", "demo", "--with-data"],
            "uninstall",
            {"with_data": "yes"},
            "plugin-demo 0.9 is installed on vm\n",
        ),
    ],
)
def test_other_orders(client, command, arguments, path, query, said):
    client.documents[f"/packages/plugin/demo/{path}"] = package(release="0.9")
    assert command(*arguments) == (0, said)
    assert client.asked == [(f"/packages/plugin/demo/{path}", query)]


def test_what_is_gone_is_gone(client, command):
    client.documents["/packages/plugin/demo/uninstall"] = package(release=None)
    assert command("uninstall", "demo")[1] == "plugin-demo is not installed on vm any more\n"


def test_a_refresh_in_which_a_repository_failed_ends_with_1(client, command):
    repository = {
        "url": "http://gone.example",
        "priority": 500,
        "as_of": None,
        "packages": 0,
        "error": "nobody is there",
        "signed": False,
        "expires": None,
    }
    client.documents["/repositories/refresh"] = {"repositories": [repository]}
    client.documents["/repositories"] = {"repositories": [repository]}
    status, said = command("update-cache")
    assert status == 1
    assert "never" in said
    assert "nobody is there" in said
    assert json.loads(command("update-cache", "--json")[1]) == [repository]


def test_what_comes_from_a_repository_moves_no_cursor(client, command):
    client.documents["/packages/offers"] = {
        "offers": [
            {
                "fullname": "plugin-demo",
                "release": "1.0",
                "priority": 500,
                "signed": False,
                "description": "\x1b[2Jgone",
            }
        ]
    }
    said = command("list")[1]
    assert "\x1b" not in said
    assert "\\x1b[2Jgone" in said


def test_a_job_is_followed_to_its_end(client, capsys):
    job = {"id": 3, "kind": "install", "subject": "plugin-demo", "stage": "", "percent": None}
    client.documents["/packages/plugin/demo/install"] = {**job, "state": "queued"}
    client.documents["/packages"] = {"packages": [package()]}

    def event(**changes: object) -> list[str]:
        data = json.dumps({"data": {**job, **changes}})
        return ["event: job.changed", f"data: {data}", ""]

    client.events = [
        "retry: 3000",
        "",
        *event(id=2, state="failed", error="another one's"),
        *event(state="running", stage="fetching", percent=50.0),
        ":",
        *event(state="done", error=""),
    ]
    stream = io.StringIO()
    options = argparse.Namespace(host=None, json=False)
    orders = Orders(Terminal(client, options, Palette(False), True), ProgressLine(True, stream))
    assert orders.do("install", "plugin", "demo")["release"] == "1.0"
    assert "50 % install plugin-demo fetching" in stream.getvalue()
    assert stream.getvalue().endswith("\r\x1b[K")
    assert client.asked[0][1] == {"wait": "no"}

    client.events = ["retry: 3000", "", *event(state="failed", error="no room")]
    with pytest.raises(CommandFailed, match="no room"):
        orders.do("install", "plugin", "demo")

    client.events = ["retry: 3000", ""]
    with pytest.raises(CommandFailed, match="the manager ended"):
        orders.do("install", "plugin", "demo")


@pytest.fixture
def slow_host(client, monkeypatch) -> None:
    """Another host that takes longer than REST waits for it: what comes is the job."""
    monkeypatch.setattr("domogik.cli.operations.JOB_PAUSE_S", 0)
    job = {"id": 7, "kind": "install", "subject": "plugin-demo@attic", "stage": "", "error": ""}
    client.documents["/packages/plugin/demo/install"] = {**job, "state": "running"}
    client.documents["/jobs/7"] = {**job, "state": "done"}
    client.documents["/packages/plugin/demo/dependencies"] = {"dependencies": []}


def test_what_another_host_takes_its_time_for_is_waited_for(client, command, slow_host):
    client.documents["/packages"] = {"packages": [package(host="attic", enabled=True)]}
    said = command("install", "demo", "--host", "attic")
    assert said == (0, "plugin-demo 1.0 is installed on attic\n")


def test_what_failed_there_after_all_is_not_done(client, command, slow_host):
    client.documents["/jobs/7"] |= {"state": "failed", "error": "The disk is full"}
    with pytest.raises(CommandFailed, match="The disk is full"):
        command("install", "demo", "--host", "attic")


def test_a_line_of_progress_fits_the_terminal_and_is_one():
    assert line("fetching", 50.0, 80) == "[############............]  50 % fetching"
    assert line("a\nb", None, 80) == "a\\nb"
    assert len(line("x" * 100, 150.0, 40)) < 40


def test_check_show_create_and_repository_need_no_manager(tmp_path, capsys):
    example = Path(__file__).parents[3] / "examples" / "clock"
    do = commands._work
    output = tmp_path / "not" / "there"
    assert do(["create", str(example), "-o", str(output)]) == 0
    (archive,) = output.glob("*.tgz")
    assert capsys.readouterr().out == f"{archive}\n"
    assert do(["check", str(archive), str(example)]) == 0
    assert "can be installed" in capsys.readouterr().out
    assert do(["show", str(archive)]) == 0
    assert capsys.readouterr().out.startswith("plugin-clock ")
    assert do(["show", str(example), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["identity"]["id"] == "clock"
    assert do(["repository", str(output), "-o", str(tmp_path / "out")]) == 0
    assert "offers 1 release\n" in capsys.readouterr().out
    broken = tmp_path / "broken.xml"
    broken.write_text("<package")
    assert do(["check", str(broken), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["package"] is None


@pytest.mark.parametrize(
    "arguments",
    [[], ["dance"], ["install"], ["install", ""], ["uninstall"], ["check"], ["list", "--insta"]],
)
def test_wrong_usage_ends_with_2(arguments, capsys):
    with pytest.raises(SystemExit) as caught:
        _options().parse_args(arguments)
    assert caught.value.code == 2
    assert "usage: dmg_pkgmgr" in capsys.readouterr().err


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for name, one in action.choices.items():
                yield name
                yield from options(one)


def test_every_command_and_option_is_in_the_guide():
    text = GUIDE.read_text(encoding="utf-8")
    for name in options(_options()):
        assert f"`{name}" in text, name
