"""`dmg_ctl`, given the check of configuration files, which needs the readers of all sections."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from domogik.cli.ctl.commands import main
from domogik.config.home import Home
from domogik.config.load import BrokenConfiguration


def _findings(
    files: Sequence[Path], home: Home
) -> tuple[Sequence[BrokenConfiguration], Sequence[str]]:
    from domogik.app.parts.configuration import (
        findings,  # with Twisted, which other commands do without
    )

    return findings(files, home)


def ctl() -> int:
    """Run `dmg_ctl`; return its exit status."""
    return main(_findings)
