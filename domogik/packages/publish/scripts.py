"""Finds Python files that do not compile, such as those for Python 2."""

from __future__ import annotations

import ast
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path

from domogik.packages.descriptor.draft import DescriptorProblem

SUFFIX = ".py"
#: a larger file is not looked into
MAXIMUM_BYTES = 1024 * 1024


def sources(directory: Path) -> Iterator[tuple[Path, bytes]]:
    """Yield the Python files below `directory` by name, with their content; raises `OSError`."""
    for path in sorted(directory.rglob(f"*{SUFFIX}")):
        if path.is_file() and path.stat().st_size <= MAXIMUM_BYTES:
            yield path, path.read_bytes()


def not_compiled(files: Iterable[tuple[Path, bytes]]) -> Iterator[DescriptorProblem]:
    """Yield a problem, with line and reason, for each file that does not compile."""
    for path, source in files:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                ast.parse(source)
        except SyntaxError as error:
            yield DescriptorProblem(path, f"does not compile: {error.msg}", line=error.lineno or 0)
        except (ValueError, RecursionError, MemoryError) as error:
            yield DescriptorProblem(path, f"does not compile: {error}")
