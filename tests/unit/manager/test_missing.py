"""What a plugin needs and the host lacks is told with the command that installs it."""

import sys

from domogik.manager.plugins.missing import warnings
from domogik.packages.descriptor.package import Dependency
from domogik.packages.store.installed import Installed
from domogik.testing.packages import package


def lacking(*needs, there=None, managed=True):
    made = package("clock", dependencies=tuple(Dependency(type, id) for id, type in needs))
    return warnings(Installed(made), (there or {}).get, managed=managed)


NOWHERE = "neither a command nor a package of this system"
AGAIN = "dmg_pkgmgr install clock 1.0 --with-dependencies"


def test_each_need_is_a_line_with_its_command():
    assert lacking(
        ("no-such-thing (>=3)", "python"), ("lamp", "plugin"), ("no-such-program", "other")
    ) == (
        f"clock needs no-such-thing >=3, which is not installed: {AGAIN}",
        f"clock needs lamp, which is not installed: {AGAIN}",
        f"clock needs no-such-program, which is {NOWHERE}: sudo apt-get install no-such-program",
    )


def test_an_older_plugin_is_updated_and_what_is_there_is_not_told():
    assert lacking(("lamp (>=2)", "plugin"), ("attrs", "python"), there={"lamp": "1.0"}) == (
        "clock needs lamp >=2 (1.0 is installed): dmg_pkgmgr update lamp",
    )


def test_in_development_mode_the_command_is_one_of_pip():
    (line,) = lacking(("no-such-thing (>=3)", "python"), managed=False)
    assert line.endswith(f": {sys.executable} -m pip install 'no-such-thing>=3'")


def test_a_need_that_nobody_understands_has_no_command():
    (line,) = lacking(("a b c", "python"))
    assert "dmg_pkgmgr" not in line
