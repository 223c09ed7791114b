"""The program stays readable: no call by position that nobody can follow, nothing too long."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
PRODUCT = ROOT / "domogik"
MOST_ARGUMENTS, MOST_MODULE, MOST_FUNCTION, MOST_FOLDER = 5, 450, 60, 16
#: these take any number of things of one sort
VARIADIC = {"pack", "register"}


@cache
def modules() -> dict[str, ast.Module]:
    return {
        str(path.relative_to(PRODUCT)): ast.parse(path.read_bytes())
        for path in sorted(PRODUCT.rglob("*.py"))
    }


def functions(module: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def test_a_call_has_at_most_five_arguments_by_position():
    too_many = [
        f"{path}:{node.lineno}: {ast.unparse(node.func)}"
        for path, module in modules().items()
        for node in ast.walk(module)
        if isinstance(node, ast.Call)
        and len(node.args) > MOST_ARGUMENTS
        and ast.unparse(node.func).rpartition(".")[2] not in VARIADIC
    ]
    assert too_many == []


def test_no_module_is_longer_than_450_lines():
    lengths = {path: (PRODUCT / path).read_bytes().count(b"\n") for path in modules()}
    assert beyond(lengths, MOST_MODULE) == []


def test_no_function_is_longer_than_60_lines():
    lengths: dict[str, int] = {}
    for path, module in modules().items():
        for function in functions(module):
            length = (function.end_lineno or 0) - function.lineno + 1
            name = f"{path}:{function.name}"
            lengths[name] = max(length, lengths.get(name, 0))
    assert beyond(lengths, MOST_FUNCTION) == []


def test_no_folder_holds_more_than_16_modules():
    counts: dict[str, int] = {}
    for path in map(Path, modules()):
        if path.name != "__init__.py":
            counts[str(path.parent)] = counts.get(str(path.parent), 0) + 1
    assert beyond(counts, MOST_FOLDER) == []


def beyond(figures: dict[str, int], most: int) -> list[str]:
    """Return what is above its limit."""
    return [f"{name}: {figure}" for name, figure in figures.items() if figure > most]
