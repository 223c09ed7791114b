"""The terminal's part of the table: `domogik/cli/commands_table.py`, plain data, is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeAlias

from domogik.manager.operations.parameters import Parameter
from domogik.manager.operations.table import BASE, Operation

#: name, help, `word`, `option` or `flag`, whether it is required
Given: TypeAlias = tuple[str, str, str, bool]
#: command, help, method and path below `/api/v1`, what is printed, parameters
Row: TypeAlias = tuple[str, str, str, str, str, tuple[Given, ...]]

_HEAD = '''"""The terminal's part of the table of operations.

Made by `python -m domogik.manager.operations`: what is changed here is lost.
"""

# fmt: off
# ruff: noqa: E501

#: command, help, method and path below /api/v1, what is printed (nothing: a component), parameters
COMMANDS: tuple[tuple[str, str, str, str, str, tuple[tuple[str, str, str, bool], ...]], ...] = (
'''


def rows(table: Iterable[Operation]) -> Iterator[Row]:
    """The commands of the operations that have some, in their order."""
    for operation in table:
        text = operation.summary[:1].lower() + operation.summary[1:]
        given = tuple(map(_given, operation.parameters))
        path = operation.path.removeprefix(BASE)
        for command, help in operation.commands.items():
            yield command, help or text, operation.method, path, operation.says, given


def _given(parameter: Parameter) -> Given:
    kind = "flag" if "anyOf" in parameter.schema else "option"
    if parameter.required or parameter.is_word:
        kind = "word"
    return parameter.name, parameter.description, kind, parameter.required


def module(table: Iterable[Operation]) -> str:
    """The text of the module."""
    return _HEAD + "".join(f"    {row!r},\n" for row in rows(table)) + ")\n"
