"""How long does an installation take beside `tarfile` unpacking the same archive and two syncs?

    python -m bench.install [--turns 9] [--directory DIR]

The archive has 300 files of 0.2 to 8 kB in 20 directories. Ours is everything from the archive to
the switched link: stage, check, journal, rename, link, with each wait for the disk. Beside it
`tarfile.extractall(filter="data")` with a syncfs after it and another one, and GNU tar with the
same. Each turn does all of them, in rotating order, on the same file system; the ratio is taken
inside the turn, its median is the result.
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import statistics
import subprocess
import tarfile
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from domogik.config.home import Home
from domogik.packages import durable
from domogik.packages.store import Store

RESULTS = Path(__file__).parent / "results"
FILES = 300
TARGET = 1.5
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


def run(turns: int = 9, directory: Path | None = None) -> dict[str, object]:
    """Milliseconds of each turn, and the median of the ratios."""
    times: dict[str, list[float]] = {name: [] for name in CONTESTANTS}
    top = Path(tempfile.mkdtemp(prefix="bench-", dir=directory))
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
                if turn:  # the first one warms up
                    times[name].append(1000 * (time.perf_counter() - begin))
                shutil.rmtree(place)
    finally:
        shutil.rmtree(top)
    ratios = [our / their for our, their in zip(times["ours"], times["tarfile"], strict=True)]
    return {
        "milliseconds": times,
        "median": {name: statistics.median(all) for name, all in times.items()},
        "ratio": statistics.median(ratios),
        "target": TARGET,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--turns", type=int, default=9)
    parser.add_argument("--directory", type=Path)
    arguments = parser.parse_args()
    figures = run(arguments.turns, arguments.directory)
    for name, median in figures["median"].items():  # type: ignore[attr-defined]
        print(f"{name:10} {median:7.1f} ms")
    print(f"ours / tarfile with two syncs: {figures['ratio']:.2f} (target: at most {TARGET})")
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "install.json").write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
