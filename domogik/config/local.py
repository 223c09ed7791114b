"""The local socket on which a manager answers the tools of its home's owner.

The name of a socket has at most 107 characters, but the path of a home may be longer, so the
directory is opened and addressed through `/proc/self/fd`.
"""

from __future__ import annotations

import contextlib
import os
import socket
import struct
from collections.abc import Iterator
from pathlib import Path


@contextlib.contextmanager
def short_name(path: Path) -> Iterator[str]:
    """Yield a short name of `path`, valid in the context; raises `OSError`."""
    directory = os.open(path.parent, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        yield f"/proc/self/fd/{directory}/{path.name}"
    finally:
        os.close(directory)


def connected_socket(path: Path, timeout_s: float) -> socket.socket:
    """Return a socket connected to `path`; raises `OSError` if nothing listens there."""
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
    try:
        # with a timeout of Python's own a server that is busy would be an error at once
        patience = struct.pack("ll", int(timeout_s), 0)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, patience)
        with short_name(path) as name:
            sock.connect(name)
        sock.settimeout(timeout_s)
    except BaseException:
        sock.close()
        raise
    return sock
