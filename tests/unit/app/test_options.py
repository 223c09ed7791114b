"""What may be written on the command line, and what happens when it is wrong."""

from __future__ import annotations

import pytest

from domogik import __version__
from domogik.app.commands.options import HubOptions, ManagerOptions
from domogik.app.roles import ManagerRoles


def parsed(*words: str) -> ManagerOptions:
    options = ManagerOptions()
    options.parseOptions(list(words))
    return options


def test_the_options_of_the_main_host() -> None:
    roles = ManagerRoles.from_options(parsed("-d", "-r", "-p", "-E"))
    assert roles == ManagerRoles(dbmgr=True, rest=True, ping=True, external=True)


def test_without_options_it_is_a_secondary_host() -> None:
    assert ManagerRoles.from_options(parsed()) == ManagerRoles()


def test_h_is_the_silent_synonym_of_e() -> None:
    assert parsed("-H")["external"]
    assert "-H" not in str(parsed())


def test_times_are_seconds() -> None:
    roles = ManagerRoles.from_options(parsed("-t", "2.5", "--wait-between-pings", "60"))
    assert (roles.ping_duration, roles.wait_between_pings) == (2.5, 60.0)


@pytest.mark.parametrize(
    "words",
    [["-t", "soon"], ["-w", "0"], ["-t", "-1"], ["--bogus"], ["word"], ["-t"], ["-w", "1e9"]],
)
def test_wrong_usage_is_said_in_a_line_and_ends_with_2(
    words: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(*words)
    assert ended.value.code == 2
    first, hint = capsys.readouterr().err.splitlines()
    assert first.startswith("dmg_manager: ")
    assert hint == "Try 'dmg_manager --help'."


@pytest.mark.parametrize("word", ["-V", "--version"])
def test_the_version(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        parsed(word)
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"{__version__}\n"


@pytest.mark.parametrize("word", ["-h", "--help"])
def test_help(word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        HubOptions().parseOptions([word])
    assert ended.value.code == 0
    assert "--home" in capsys.readouterr().out
