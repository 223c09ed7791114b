"""A text that clients compare, a limit and a name of the protocol stand in one module each."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

import domogik

ROOT = Path(domogik.__file__).parent

#: a literal, and the module where it stands
FACTS = {
    "doesn't exists on": "errors.py",
    "is already running on": "errors.py",
    "is not running on": "errors.py",
    "failed to start. Please look in this component log files": "manager/messages.py",
    "[A-Za-z0-9.+!_-]{0,": "packages/descriptor/reference.py",
    "\\x89PNG": "packages/descriptor/package.py",
}


def literals(path: Path) -> Iterator[str]:
    """Every string and bytes of a module, docstrings left out, f-strings in their parts."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstrings = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        and node.body
        and isinstance(node.body[0], ast.Expr)
    }
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and id(node) not in docstrings:
            if isinstance(node.value, str):
                yield node.value
            elif isinstance(node.value, bytes):
                yield repr(node.value)


@pytest.mark.parametrize("fact", FACTS)
def test_it_stands_in_one_module(fact: str) -> None:
    found = {
        str(path.relative_to(ROOT))
        for path in ROOT.rglob("*.py")
        if any(fact in literal for literal in literals(path))
    }
    assert found == {FACTS[fact]}
