"""The guide to the terminal says what there is."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import pytest

from domogik.cli.ctl import commands
from domogik.cli.xpl import dump, send

GUIDE = Path(__file__).parents[3] / "docs" / "guide" / "command-line.md"


def options(parser: argparse.ArgumentParser) -> Iterator[str]:
    for action in parser._actions:
        yield from action.option_strings
        if isinstance(action, argparse._SubParsersAction):
            for name, command in action.choices.items():
                yield name
                yield from options(command)


@pytest.mark.parametrize("module", [commands, send, dump])
def test_every_command_and_option_is_in_the_guide(module: object) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    for name in options(module._options()):  # type: ignore[attr-defined]
        assert f"`{name}" in text, name
