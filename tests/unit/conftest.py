"""What every test that looks at words for people uses."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest

from domogik.cli.ctl import commands as ctl
from domogik.cli.pkgmgr import commands as pkgmgr

_COMMAND = re.compile(r"\b(dmg_ctl|dmg_pkgmgr)((?: [^\s;,()]+)+)")
_PARSERS = {"dmg_ctl": ctl._options, "dmg_pkgmgr": pkgmgr._options}


@pytest.fixture
def printed() -> Callable[[str], list[str]]:
    """The commands of ours in a text, each of which the real program takes as it is printed."""

    def commands(text: str) -> list[str]:
        found = []
        for program, words in _COMMAND.findall(text):
            arguments = words.removesuffix(".").split()
            _PARSERS[program]().parse_args(arguments)  # ends the test where it is wrong usage
            found.append(" ".join((program, *arguments)))
        return found

    return commands
