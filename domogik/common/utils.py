"""Small things that plugins of Domogik 0.2 and 0.3 import."""

import os
import socket


def get_sanitized_hostname() -> str:
    """Return the host's name as it is the instance in xPL addresses."""
    return os.environ.get("DOMOGIK_HOST") or socket.gethostname().lower().split(".")[0]
