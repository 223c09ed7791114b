"""Small JSON files whose loss is acceptable; errors are logged."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from twisted.logger import Logger

from domogik.config.files import read_bounded, write_atomically

_LARGEST = 2**20

T = TypeVar("T")


def read_json(path: Path, log: Logger, understand: Callable[[Any], T]) -> T | None:
    """Return what `understand` makes of the content, or None if there is none. Blocks.

    A file that cannot be read, or for which `understand` raises `ValueError`, `TypeError` or
    `KeyError`, is logged; a missing file is not.
    """
    try:
        return understand(json.loads(read_bounded(path, _LARGEST)))
    except FileNotFoundError:
        return None
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        log.warn("{path} cannot be read: {error}", path=str(path), error=str(error))
        return None


def write_json(path: Path, log: Logger, content: object, *, durable: bool = True) -> None:
    """Replace the file with `write_atomically`; an error is logged. Blocks."""
    try:
        write_atomically(path, json.dumps(content, indent=1).encode() + b"\n", durable=durable)
    except OSError as error:
        log.warn("{path} cannot be written: {error}", path=str(path), error=str(error))
