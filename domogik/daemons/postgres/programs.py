"""Which PostgreSQL is here, and does it fit the data?"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

#: where distributions put a release each, beside the search path
PLACES = ("usr/lib/postgresql/*/bin", "usr/pgsql-*/bin", "usr/local/pgsql/bin")
_VERSION = re.compile(r"\(PostgreSQL\) (\d+)(?:\.(\d+))?")


@attrs.frozen
class Programs:
    """The programs of one release; `series` is what PG_VERSION says: `15`, or `9.6` of old."""

    directory: Path
    series: str
    version: str

    def __truediv__(self, name: str) -> str:
        return str(self.directory / name)

    @property
    def rank(self) -> tuple[int, ...]:
        """Newer ones are greater."""
        return tuple(int(part) for part in self.version.split("."))


def parsed(directory: Path, said: str) -> Programs | None:
    """From what `postgres --version` said; None where that was something else."""
    found = _VERSION.search(said)
    if found is None:
        return None
    major, minor = found[1], found[2] or "0"
    series = major if int(major) >= 10 else f"{major}.{minor}"
    return Programs(directory, series, f"{major}.{minor}")


def candidates(path: str, root: Path = Path("/")) -> list[Path]:
    """Directories with a server in them, each once; those of the search path `path` first."""
    found: dict[Path, None] = {}
    for directory in (*_on(path), *_usual(root)):
        server = directory / "postgres"
        # os.access first: of a directory that may not be entered `is_file` raises
        if os.access(server, os.X_OK) and server.is_file():
            found[server.resolve().parent] = None
    return list(found)


def _on(path: str) -> Iterator[Path]:
    return (Path(entry) for entry in path.split(os.pathsep) if entry)


def _usual(root: Path) -> Iterator[Path]:
    for pattern in PLACES:
        yield from sorted(root.glob(pattern))


def fitting(programs: Iterable[Programs], series: str | None) -> Programs | None:
    """The newest, of the release that the data are of, where there are any."""
    fit = [one for one in programs if series in (None, one.series)]
    return max(fit, key=lambda one: one.rank, default=None)
