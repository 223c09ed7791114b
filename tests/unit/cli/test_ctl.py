"""What `dmg_ctl` takes on its command line."""

from __future__ import annotations

import pytest

from domogik.cli.ctl.commands import _options
from domogik.cli.program import CommandFailed
from domogik.cli.session import Terminal
from domogik.cli.terminal import Palette


@pytest.mark.parametrize(
    "arguments",
    [["--json", "status"], ["status", "--json"], ["--json", "status", "--json"]],
)
def test_json_may_stand_before_or_after_the_command(arguments: list[str]) -> None:
    assert _options().parse_args(arguments).json


def test_so_may_every_other_option_that_is_for_all() -> None:
    before = _options().parse_args(["--host", "attic", "--url", "u", "start", "demo"])
    after = _options().parse_args(["start", "demo", "--host", "attic", "--url", "u"])
    assert (before.host, before.url) == (after.host, after.url) == ("attic", "u")
    assert not before.json
    assert before.token_file is None


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["dance"],
        ["start"],
        ["start", ""],
        ["logs"],
        ["logs", "a", "-n", "-1"],
        ["logs", "a", "-n", "10001"],
        ["logs", "a", "-n", "9" * 30],
        ["status", "--jso"],
    ],
)
def test_wrong_usage_ends_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        _options().parse_args(arguments)
    assert caught.value.code == 2
    assert "usage: dmg_ctl" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["logs", "--since", "diskfree", "x"], "dmg_ctl: error: Unknown option --since\n"),
        (["statsu"], "dmg_ctl: error: Unknown command statsu. Did you mean status"),
        (["daemon", "xyz"], "dmg_ctl daemon: error: Unknown command xyz. Known are list, detail"),
        (["--jsn", "status"], "dmg_ctl: error: Unknown option --jsn. Did you mean --json"),
    ],
)
def test_an_unknown_option_is_named_alone(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        _options().parse_args(arguments)
    told = capsys.readouterr().err
    assert said in told
    assert "diskfree" not in told


class SlowHost:
    """REST, and behind it a host that takes longer than REST waits for it."""

    def __init__(self, **job: str) -> None:
        self.job = {"id": 7, "subject": "unit:web@attic", "state": "done", "error": "", **job}

    def begin(self, method: str, path: str, timeout_s: float, **query: str | None) -> SlowHost:
        assert (method, path, query) == ("POST", "/components/unit:web/start", {"host": "attic"})
        return self

    def document(self) -> dict[str, object]:
        return {**self.job, "state": "running"}

    def get(self, path: str, host: str | None = None) -> dict[str, object]:
        component = {"id": "unit:web", "state": "running", "enabled": True, "pid": 5, "reason": ""}
        hosts = {"host": "vm", "hosts": [{"id": "vm"}, {"id": "attic"}]}
        return {"/hosts": hosts, "/jobs/7": self.job, "/components/unit:web": component}[path]


@pytest.mark.parametrize("arguments", [["unit", "start", "web"], ["start", "unit:web"]])
def test_what_another_host_takes_its_time_for_is_waited_for(
    arguments: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("domogik.cli.operations.JOB_PAUSE_S", 0)
    options = _options().parse_args([*arguments, "--host", "attic"])
    assert options.work(Terminal(SlowHost(), options, Palette(False), False)) == 0
    assert capsys.readouterr().out == "unit:web: running, enabled (pid 5)\n"


def test_what_failed_there_after_all_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("domogik.cli.operations.JOB_PAUSE_S", 0)
    options = _options().parse_args(["unit", "start", "web", "--host", "attic"])
    client = SlowHost(state="failed", error="It did not start")
    with pytest.raises(CommandFailed, match="It did not start"):
        options.work(Terminal(client, options, Palette(False), False))
