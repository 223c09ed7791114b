"""What is executed when a daemon is upgraded."""

from __future__ import annotations

import sys

from domogik.app.commands.daemons import KINDS, upgrade_command
from domogik.app.commands.options import ManagerOptions


def test_an_upgrade_executes_the_same_manager_in_the_foreground() -> None:
    options = ManagerOptions()
    options.parseOptions(["-d", "-E", "--wait", "-t", "3", "--home", "/somewhere else"])
    command = upgrade_command("manager", options)
    assert command[:5] == [sys.executable, "-m", "domogik.app", "manager", "--foreground"]
    again = ManagerOptions()
    again.parseOptions(command[4:])
    expected = dict(options) | {"foreground": 1, "wait": 0}
    assert {name: bool(value) if value in (0, 1) else value for name, value in again.items()} == {
        name: bool(value) if value in (0, 1) else value for name, value in expected.items()
    }


def test_every_kind_has_a_maker_and_options() -> None:
    assert set(KINDS) == {"manager", "hub", "dbmgr", "rest"}
    for kind in KINDS.values():
        assert kind.options().longdesc
