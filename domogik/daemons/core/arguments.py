"""The arguments of `configure`, in Domogik's order or in that of the documented originals.

Both orders may be used by position: the types of the arguments show which one is meant. An
ambiguous argument is refused, and the error names the keyword to use.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from domogik.daemons.core.errors import InvalidParameters

LOOPBACK = "127.0.0.1"
#: called with the sentence that the Deferred fires with
Callback = Callable[[str], object]
#: called with a sentence and, where it takes a second argument, the exception
ErrorCallback = Callable[[str, Exception], object] | Callable[[str], object]


def absolute_path(given: Any, what: str = "directory") -> Path:
    """Return the absolute path; raises `InvalidParameters` if it is not the path of a `what`."""
    if isinstance(given, str | os.PathLike):
        path = os.fspath(given)
        if isinstance(path, str) and path and "\0" not in path:
            return Path(path).absolute()
    raise InvalidParameters(f"{given!r} is not the path of a {what}")


def password_or_callback(
    callback: Callback | str | None, password: str | None
) -> tuple[Callback | None, str | None]:
    """Return callback and password where the password may stand in the callback's place.

    Raises `InvalidParameters`.
    """
    if not isinstance(callback, str):
        return callback, password
    if password is not None:
        raise InvalidParameters("two passwords were given: name one with password=")
    return None, callback
