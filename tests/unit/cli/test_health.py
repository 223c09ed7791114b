"""How checks and issues are shown, and what a script hears of them."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from typing import Any

import attrs
import pytest

from domogik.cli.client import RequestRefused
from domogik.cli.ctl import health
from domogik.cli.program import CommandFailed
from domogik.cli.session import Terminal
from domogik.cli.terminal import Palette

NOW = datetime(2026, 1, 1, 12, 0, 0, tzinfo=UTC)
RESTART = {"action": "restart", "sentence": "Restart it", "repairable": True}
ENABLE = {"action": "enable", "sentence": "Enable it", "repairable": True}
LOOK = {"action": "look", "sentence": "Look at its log", "repairable": False}


@attrs.define
class Answer:
    """What was answered, which was known before."""

    content: Any

    def document(self) -> Any:
        if isinstance(self.content, Exception):
            raise self.content
        return self.content


@attrs.define
class FakeClient:
    """Answers by path; `asked` is what was asked, and posted."""

    answers: dict[str, Any]
    asked: list[tuple[str, Any]] = attrs.field(factory=list)

    def get(self, path: str, **query: str | None) -> Any:
        return Answer(self.answers[path]).document()

    def begin(self, method: str, path: str, timeout_s: float, **query: str | None) -> Answer:
        self.asked.append((path, query))
        return Answer(self.answers[path])

    def send(self, path: str, document: object, timeout_s: float) -> Any:
        self.asked.append((path, document))
        return Answer(self.answers[path]).document()


def check(result: str, *suggestions: dict[str, Any], **given: Any) -> dict[str, Any]:
    return {
        "check_id": "state",
        "component_id": "plugin:demo",
        "description": "demo runs",
        "result": result,
        "parameters": {},
        "suggestions": list(suggestions),
    } | given


def issue(id: str, found: dict[str, Any]) -> dict[str, Any]:
    opened = "2026-01-01T11:57:00.000Z"
    return {"id": id, "component": "plugin:demo", "opened": opened, "check": found}


def terminal(
    answers: dict[str, Any] | None = None, colours: bool = False, **options: Any
) -> Terminal:
    answered = {
        "/hosts": {"host": "attic", "hosts": [{"id": "cellar"}]},
        "/issues": {"issues": []},
        **(answers or {}),
    }
    given = {"host": None, "json": False, "problems": False, "components": ["demo"], **options}
    client: Any = FakeClient(answered)
    return Terminal(client, argparse.Namespace(**given), Palette(colours), False)


def diagnosed(*checks: dict[str, Any], **options: Any) -> Terminal:
    issues = options.pop("issues", [])
    answers = {"/components/demo/diagnose": {"checks": checks}, "/issues": {"issues": issues}}
    return terminal(answers, **options)


@pytest.fixture(autouse=True)
def _clock(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(health, "now", lambda: NOW)


Heard = pytest.CaptureFixture[str]


def test_every_check_is_a_line_and_the_last_one_counts_them(capsys: Heard) -> None:
    shown = diagnosed(check("passed"), check("skipped", description="demo answers: it is off"))
    assert health.diagnose(shown) == 0
    assert capsys.readouterr().out == (
        "COMPONENT    RESULT   DESCRIPTION              WHAT TO DO\n"
        "plugin:demo  passed   demo runs\n"
        "plugin:demo  skipped  demo answers: it is off\n"
        "2 checks: 1 passed, 1 skipped\n"
    )


def test_what_failed_ends_with_1_and_comes_with_the_call_that_helps(capsys: Heard) -> None:
    failed = check("failed", LOOK, RESTART, ENABLE)
    assert health.diagnose(diagnosed(failed, issues=[issue("7", failed)])) == 1
    assert capsys.readouterr().out.splitlines()[1] == (
        "plugin:demo  failed  demo runs    Look at its log; Restart it (dmg_ctl repair 7); "
        "Enable it (dmg_ctl repair 7 enable)"
    )


def test_without_an_issue_there_is_advice_and_no_call(capsys: Heard) -> None:
    failed = check("failed", RESTART)
    other = issue("7", check("failed", check_id="other"))
    health.diagnose(diagnosed(failed, issues=[other]))
    assert capsys.readouterr().out.splitlines()[1].endswith("demo runs    Restart it")


def test_of_another_host_no_issue_is_known(capsys: Heard) -> None:
    failed = check("failed", RESTART)
    health.diagnose(diagnosed(failed, issues=[issue("7", failed)], host="cellar"))
    assert "repair 7" not in capsys.readouterr().out


def test_a_host_that_nobody_heard_is_refused(capsys: Heard) -> None:
    with pytest.raises(CommandFailed, match="no host 'moon' was heard; known: attic, cellar"):
        health.diagnose(diagnosed(check("passed"), host="moon"))


@pytest.mark.parametrize(
    ("result", "status"),
    [("passed", 0), ("warning", 0), ("skipped", 0), ("not_done", 0), ("failed", 1), ("error", 1)],
)
def test_a_script_hears_by_the_status_what_is_bad(result: str, status: int, capsys: Heard) -> None:
    assert health.diagnose(diagnosed(check(result))) == status
    assert capsys.readouterr().out.endswith(f"1 checks: 1 {result.replace('_', ' ')}\n")


def test_only_problems_are_shown_where_only_they_are_wanted(capsys: Heard) -> None:
    checks = check("passed"), check("warning", description="demo is old"), check("skipped")
    health.diagnose(diagnosed(*checks, problems=True))
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[1] for line in lines[1:-1]] == ["warning"]
    assert lines[-1] == "3 checks: 1 passed, 1 warning, 1 skipped"


def test_where_all_is_well_there_is_no_empty_table(capsys: Heard) -> None:
    health.diagnose(diagnosed(check("passed"), problems=True))
    assert capsys.readouterr().out == "1 checks: 1 passed\n"
    health.diagnose(diagnosed())
    assert capsys.readouterr().out == "0 checks: nothing to look at\n"


def test_a_check_of_no_component_leaves_its_place_empty(capsys: Heard) -> None:
    health.diagnose(diagnosed(check("passed", component_id=None)))
    assert capsys.readouterr().out.splitlines()[1] == " " * 11 + "passed  demo runs"


def test_what_is_good_needs_no_advice(capsys: Heard) -> None:
    health.diagnose(diagnosed(check("passed", RESTART)))
    assert "Restart it" not in capsys.readouterr().out


def test_results_have_the_colours_of_a_traffic_light(capsys: Heard) -> None:
    health.diagnose(
        diagnosed(check("passed"), check("warning"), check("failed"), check("new"), colours=True)
    )
    shown = capsys.readouterr().out
    for word in ("\x1b[32mpassed", "\x1b[33mwarning", "\x1b[31mfailed", "  new  "):
        assert word in shown
    assert "\x1b[32m1 passed\x1b[0m" in shown


def test_what_comes_from_outside_moves_no_cursor(capsys: Heard) -> None:
    health.diagnose(diagnosed(check("failed", description="demo\x1b[2J\nruns")))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert "demo\\x1b[2J\\nruns" in shown


def test_one_that_cannot_be_asked_keeps_no_other_from_being_shown(capsys: Heard) -> None:
    answers = {
        "/components/demo/diagnose": {"checks": [check("passed")]},
        "/components/ghost/diagnose": RequestRefused(404, "no such component"),
    }
    assert health.diagnose(terminal(answers, components=["ghost", "demo"])) == 1
    heard = capsys.readouterr()
    assert heard.out.endswith("1 checks: 1 passed\n")
    assert "ghost: no such component" in heard.err


def test_a_name_is_said_once(capsys: Heard) -> None:
    answers = {"/components/ghost/diagnose": RequestRefused(404, "there is no ghost")}
    health.diagnose(terminal(answers, components=["ghost"]))
    assert capsys.readouterr().err.count("ghost") == 1


def test_programs_get_the_checks_as_they_are(capsys: Heard) -> None:
    failed = check("failed", RESTART)
    assert health.diagnose(diagnosed(failed, check("passed"), json=True, problems=True)) == 1
    assert json.loads(capsys.readouterr().out) == [failed, check("passed")]


def test_issues_are_a_table_with_how_long_they_have_been_open(capsys: Heard) -> None:
    found = [issue("7", check("failed", RESTART))]
    assert health.issues(terminal({"/issues": {"issues": found}})) == 0
    assert capsys.readouterr().out == (
        "ISSUE  COMPONENT    RESULT  SINCE  DESCRIPTION  WHAT TO DO\n"
        "7      plugin:demo  failed  3 min  demo runs    Restart it (dmg_ctl repair 7)\n"
    )


def test_no_issues_are_good_news_in_words_and_an_empty_list_for_programs(capsys: Heard) -> None:
    assert health.issues(terminal()) == 0
    assert capsys.readouterr().out == "No issue is open\n"
    health.issues(terminal(json=True))
    assert capsys.readouterr().out == "[]\n"


REPAIR = "/issues/a%2Fb/repair"


def test_a_repair_that_helped_closes_the_issue(capsys: Heard) -> None:
    asked = terminal({REPAIR: {"id": "a/b", "closed": True}}, issue="a/b", action=None)
    assert health.repair(asked) == 0
    assert capsys.readouterr().out == "a/b: closed\n"
    assert asked.client.asked == [(REPAIR, {})]  # type: ignore[attr-defined]


def test_a_repair_that_did_not_help_ends_with_1_and_says_what_is_left(capsys: Heard) -> None:
    left = {"id": "a/b", "closed": False, "issue": issue("a/b", check("failed"))}
    asked = terminal({REPAIR: left}, issue="a/b", action="enable")
    assert health.repair(asked) == 1
    assert capsys.readouterr().out == "a/b: still open: demo runs\n"
    assert asked.client.asked == [(REPAIR, {"action": "enable"})]  # type: ignore[attr-defined]


def test_programs_hear_of_a_repair_by_document_and_status(capsys: Heard) -> None:
    left = {"id": "a/b", "closed": False, "issue": issue("a/b", check("failed"))}
    assert health.repair(terminal({REPAIR: left}, issue="a/b", action=None, json=True)) == 1
    assert json.loads(capsys.readouterr().out) == left


def test_issues_of_other_hosts_are_to_be_had_there(capsys: Heard) -> None:
    for work in (health.issues, health.repair):
        asked = terminal(host="cellar", issue="7", action=None)
        with pytest.raises(CommandFailed, match="ask REST there with --url"):
            work(asked)
    assert health.issues(terminal(host="attic")) == 0


@pytest.mark.parametrize(
    ("result", "description", "shown"),
    [
        ("failed", "demo runs", "demo runs: it ended"),
        ("failed", "demo runs: it ended", "demo runs: it ended"),
        ("passed", "demo runs", "demo runs"),
    ],
)
def test_the_reason_of_what_did_not_pass_is_said_once(
    result: str, description: str, shown: str, capsys: Heard
) -> None:
    health.diagnose(
        diagnosed(check(result, description=description, parameters={"reason": "it ended"}))
    )
    assert capsys.readouterr().out.splitlines()[1] == f"plugin:demo  {result}  {shown}"


def test_where_nobody_is_named_everybody_is_asked(capsys: Heard) -> None:
    checks = [check("passed"), check("failed")]
    asked = terminal({"/diagnosis": {"checks": checks}}, components=[], host="cellar", json=True)
    assert health.diagnose(asked) == 1
    assert json.loads(capsys.readouterr().out) == checks
    assert asked.client.asked == [("/diagnosis", {"host": "cellar"})]  # type: ignore[attr-defined]


def test_what_was_found_is_said_where_it_differs_from_how_it_should_be(capsys: Heard) -> None:
    found = check("failed", description="Service web is running", finding="web.service is dead")
    health.diagnose(diagnosed(found))
    assert capsys.readouterr().out.splitlines()[1] == "plugin:demo  failed  web.service is dead"
