"""What lies under etc/: the commented configuration and the systemd unit, true to the program."""

import configparser
from pathlib import Path

import pytest

from domogik.config.home import Home
from domogik.config.keys import KNOWN
from domogik.config.load import load

PROJECT = Path(__file__).parents[3]


@pytest.mark.parametrize("name", ["domogik.cfg", "sources.list"])
def test_the_systems_files_are_those_that_an_empty_home_gets(name: str) -> None:
    template = PROJECT / "domogik" / "config" / "templates" / name
    assert template.read_bytes() == (PROJECT / "etc" / "domogik" / name).read_bytes()


def test_the_commented_configuration_changes_nothing(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.create()
    configuration = load([home.configuration])
    assert all(not configuration.section(name) for name in configuration.sections())


def test_every_key_stands_commented_in_the_configuration_and_is_explained_in_the_reference(
    tmp_path: Path,
) -> None:
    template = (PROJECT / "etc" / "domogik" / "domogik.cfg").read_text()
    reference = (PROJECT / "docs" / "reference" / "configuration.md").read_text()
    uncommented = tmp_path / "domogik.cfg"
    uncommented.write_text(
        "\n".join(
            line.removeprefix("# ") if " = " in line or line.endswith(" =") else line
            for line in template.splitlines()
            if not line.startswith("# <")
        ).replace("# [", "[")
    )
    shown = load([uncommented])
    assert shown.unknown(KNOWN) == []
    for section, keys in KNOWN.items():
        for key in keys or ():
            assert f"`{key}`" in reference, key
            if section != "component:":  # has the keys of [supervision]
                names = shown.sections(section) if section.endswith(":") else [section]
                assert any(shown.get(name, key) for name in names), key


def test_systemd_waits_until_the_manager_is_ready_and_leaves_adopted_plugins_alone() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read(PROJECT / "etc" / "systemd" / "domogik-manager.service")
    assert unit["Service"]["Type"] == "notify"
    assert unit["Service"]["KillMode"] == "process"
    assert unit["Service"]["Restart"] == "on-failure"
    assert "dmg_manager -f" in unit["Service"]["ExecStart"]
