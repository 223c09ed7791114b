"""The arguments of `configure` in their several orders: ours, and the originals'.

Both may be given by position; which one was meant, the types say. What they do not say is refused
with the keyword to use.
"""

from __future__ import annotations

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from domogik.daemons.core.errors import InvalidParameters

LOOPBACK = "127.0.0.1"
#: called with the sentence that the Deferred fires with
Callback = Callable[[str], object]
#: called with a sentence and the exception
ErrorCallback = Callable[[str, Exception], object]
C = TypeVar("C", bound=Callable[..., Any])


def directory(working_dir: Any) -> Path:
    """Return the absolute path; raises `InvalidParameters`."""
    if isinstance(working_dir, str | os.PathLike):
        path = os.fspath(working_dir)
        if isinstance(path, str) and path and "\0" not in path:
            return Path(path).absolute()
    raise InvalidParameters(f"{working_dir!r} is not the path of a directory")


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


def text_by_name(position: int, *names: str) -> Callable[[C], C]:
    """Decorate a `configure` in which a text at `position` could be one of two things.

    Given by position it is refused with the keywords that say which. (`position` counts without
    the object itself.)
    """

    def decorate(configure: C) -> C:
        @functools.wraps(configure)
        def sorted_out(self: Any, *args: Any, **named: Any) -> Any:
            if len(args) > position and isinstance(args[position], str):
                which = " or ".join(f"{name}=" for name in names)
                named["problem"] = f"which is {args[position]!r}? name it: {which}"
                args = (*args[:position], None, *args[position + 1 :])
            return configure(self, *args, **named)

        return sorted_out  # type: ignore[return-value]

    return decorate
