"""The terminal's part of the table of operations is what the table says now."""

from __future__ import annotations

import inspect

from domogik.cli import commands_table
from domogik.manager.operations.all import TABLE
from domogik.manager.operations.terminal import module


def test_it_is_not_stale_else_python_m_domogik_manager_operations_makes_it_anew() -> None:
    assert inspect.getsource(commands_table) == module(TABLE.values())


def test_a_command_is_declared_once() -> None:
    words = [row[0] for row in commands_table.COMMANDS]
    assert len(words) == len(set(words))
