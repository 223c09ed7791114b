"""What `dmg_ctl` takes on its command line."""

from __future__ import annotations

import pytest

from domogik.cli.ctl.commands import _options


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
