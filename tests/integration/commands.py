"""The commands of a terminal as real processes, piped or on a terminal of their own."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from world import PATIENCE, World

_FUNCTIONS = {
    "dmg_ctl": ("domogik.app.commands.ctl", "ctl"),
    "dmg_pkgmgr": ("domogik.cli.pkgmgr.commands", "main"),
    "dmg_daemon": ("domogik.app.commands.start", "daemon"),
    "dmg_send": ("domogik.cli.xpl.send", "main"),
    "dmg_dump": ("domogik.cli.xpl.dump", "main"),
    "dmgenplug": ("domogik.cli.plugin_switches", "enable"),
    "dmgdisplug": ("domogik.cli.plugin_switches", "disable"),
}

_begun: list[subprocess.Popen[str]] = []


def command(name: str, *arguments: str) -> list[str]:
    """As the console script of that name would run it."""
    module, function = _FUNCTIONS[name]
    program = f"import sys; from {module} import {function}; sys.exit({function}())"
    return [sys.executable, "-c", program, *arguments]


def environment(home: Path, **more: str) -> dict[str, str]:
    """Nothing of whoever runs the tests gets in."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("DOMOGIK")}
    kept.pop("NO_COLOR", None)
    return kept | {"DOMOGIK_HOME": str(home), "TERM": "xterm"} | more


def run(
    home: Path | World, name: str, *arguments: str, **more: str
) -> subprocess.CompletedProcess[str]:
    """To its end, with its output in pipes, on the network of that world."""
    prefix = home.prefix if isinstance(home, World) else ()
    home = home.home if isinstance(home, World) else home
    return subprocess.run(
        [*prefix, *command(name, *arguments)],
        env=environment(home, **more),
        capture_output=True,
        text=True,
        stdin=subprocess.DEVNULL,
        timeout=PATIENCE,
        check=False,
    )


def begin(home: Path | World, name: str, *arguments: str) -> subprocess.Popen[str]:
    """Started, its output in pipes, a line at a time."""
    home = home.home if isinstance(home, World) else home
    process = subprocess.Popen(
        command(name, *arguments),
        env=environment(home),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    _begun.append(process)
    return process


def end(process: subprocess.Popen[str], signum: int | None = None) -> tuple[int, str, str]:
    """Its status, and what it still wrote on standard output and error."""
    if signum is not None:
        process.send_signal(signum)
    output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, output, errors


def end_all() -> None:
    """What a test that failed left behind goes."""
    while _begun:
        process = _begun.pop()
        process.kill()
        process.wait(PATIENCE)
        for pipe in (process.stdout, process.stderr):
            if pipe is not None:
                pipe.close()


def on_a_terminal(home: Path | World, name: str, arguments: Sequence[str], **more: str) -> str:
    """What appears on a terminal of its own."""
    home = home.home if isinstance(home, World) else home
    screen, terminal = pty.openpty()
    with subprocess.Popen(
        command(name, *arguments),
        env=environment(home, **more),
        stdin=terminal,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        shown = b""
        while True:
            try:
                data = os.read(screen, 65536)
            except OSError:  # EIO: nobody has the other end any more
                break
            shown += data
        os.close(screen)
        process.wait(PATIENCE)
    return shown.decode()
