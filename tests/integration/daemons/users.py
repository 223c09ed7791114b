"""Programs of tests as other users of this computer."""

from __future__ import annotations

import os
import pwd
import subprocess
import sys

import pytest


def as_user(name: str) -> tuple[str, ...]:
    """In front of a command, for whom `name` stands."""
    if name == "self":
        return ()
    user = pwd.getpwnam(name)
    if os.geteuid() != 0:
        pytest.skip(f"only root may be {name}")
    prefix = ("setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups", "--")
    tried = subprocess.run((*prefix, sys.executable, "-c", ""), capture_output=True, check=False)
    if tried.returncode != 0:
        sentence = f"{name} may not execute {sys.executable}"
        pytest.fail(sentence) if os.environ.get("CI") == "true" else pytest.skip(sentence)
    return prefix
