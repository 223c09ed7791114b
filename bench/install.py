"""How long does an installation take beside `tarfile` unpacking the same archive and two syncs?

    python -m bench install

The archive has 300 files of 0.2 to 8 kB in 20 directories. Ours is everything from the archive to
the switched link: stage, check, journal, rename, link, with each wait for the disk. Beside it
`tarfile.extractall(filter="data")` with a syncfs after it and another one, and GNU tar with the
same. Each turn does all of them, in rotating order, on the same file system.
"""

from __future__ import annotations

import io
import random
import shutil
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from domogik.config.home import Home
from domogik.packages.archive import durable
from domogik.packages.store.changes import Store

FILES = 300
DESCRIPTOR = Path(__file__).parent.parent / (
    "examples/diskfree/src/share/domogik/plugins/diskfree.xml"
)


def make_archive(path: Path) -> None:
    """A package of 300 files; the same every time."""
    chance = random.Random(1)
    with tarfile.open(path, "w:gz") as tar:

        def add(name: str, data: bytes) -> None:
            info = tarfile.TarInfo(name)
            info.size, info.mtime, info.mode = len(data), 1_700_000_000, 0o644
            tar.addfile(info, io.BytesIO(data))

        add("info.xml", DESCRIPTOR.read_bytes())
        for number in range(FILES - 1):
            words = (b"%d" % chance.randrange(10_000) for _ in range(chance.randrange(40, 1600)))
            add(f"src/part{number % 20:02d}/file{number:03d}.py", b" ".join(words))


def ours(archive: Path, directory: Path) -> None:
    store = Store(Home(directory))
    store.install(store.stage(archive))


def by_tarfile(archive: Path, directory: Path) -> None:
    with tarfile.open(archive) as tar:
        if hasattr(tarfile, "data_filter"):
            tar.extractall(directory, filter="data")
        else:  # Python 3.11.2, as Debian 12 has it
            tar.extractall(directory)
    durable.sync_file_system(directory)
    durable.sync_file_system(directory)


def by_tar(archive: Path, directory: Path) -> None:
    subprocess.run(["tar", "xzf", archive, "-C", directory], check=True)
    durable.sync_file_system(directory)
    durable.sync_file_system(directory)


CONTESTANTS: dict[str, Callable[[Path, Path], None]] = {
    "ours": ours,
    "tarfile": by_tarfile,
    "tar": by_tar,
}


def times(turns: int) -> dict[str, list[float]]:
    """Milliseconds of each turn; one before them warms up."""
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    top = Path(tempfile.mkdtemp(prefix="bench-"))
    try:
        make_archive(top / "package.tgz")
        names = list(CONTESTANTS)
        for turn in range(turns + 1):
            names.append(names.pop(0))
            for name in names:
                place = top / f"{turn}-{name}"
                Home(place).create()
                durable.sync_file_system(top)
                begin = time.perf_counter()
                CONTESTANTS[name](top / "package.tgz", place)
                if turn:
                    times[name].append(1000 * (time.perf_counter() - begin))
                shutil.rmtree(place)
    finally:
        shutil.rmtree(top)
    return times
