"""logs: one child writes 200 MB of 100-byte lines; until when are they kept, and is any lost?"""

from __future__ import annotations

import contextlib
import gzip
import json
import os
import re
import time
from functools import partial
from pathlib import Path

from bench import machine
from bench.peers import proc
from bench.peers.adapters import Adapter
from bench.run import Run

WHO = "domogik,spawn,supervisord,circusd,runit,s6"
WRITER = str(Path(__file__).resolve().parent.parent / "peers" / "children" / "logwriter.py")
WIDTH = 100
MEGABYTES = 200
NOT_LOGS = ("lock", "config", "state")


def run(run: Run) -> None:
    for turn in run.each_turn():
        for spec in run.contestants(turn, WHO):
            run.attempt(spec, partial(_one, run, spec, MEGABYTES, "ascii", "stay", turn))
    for spec in run.contestants(0, WHO if run.full else "domogik"):
        run.attempt(spec, partial(_one, run, spec, 20, "ascii", "exit", 0))
        run.attempt(spec, partial(_one, run, spec, 2, "utf8", "stay", 0))


def _one(run: Run, spec: str, megabytes: int, text: str, after: str, turn: int) -> None:
    lines = megabytes * 1_000_000 // WIDTH
    with run.adapter(spec, log=True, restart=False) as adapter:
        moments = adapter.path("moments")
        words = [str(lines), str(WIDTH), text, after, moments, proc.fresh_marker()]
        adapter.start(1, [machine.interpreter(), WRITER, *words])
        end = time.monotonic() + 180
        while not os.path.exists(moments) and time.monotonic() < end:
            time.sleep(0.01)
        finished = _wait_last(adapter, lines - 1, 30 if after == "stay" else 3)
        cpu = sum(map(proc.cpu_seconds, adapter.manager_pids()))
        with open(moments, encoding="ascii") as stream:
            began, child_done = json.load(stream)
        kept, missing, mangled = _inspect(adapter.log_dir, lines)
        add = partial(run.add, adapter.label, turn=turn, MB=megabytes, text=text, after=after)
        if after == "stay":
            took = (finished or time.monotonic()) - began
            add("throughput", megabytes / took, "MB/s")
            add("child held up for", child_done - began, "s")
            add("manager CPU", cpu, "s")
        add("lines kept", kept, "")
        add("lines missing after the first kept", missing, "")
        add("lines mangled", mangled, "")


def _files(folder: str) -> list[str]:
    return [
        os.path.join(base, name)
        for base, _, names in os.walk(folder)
        for name in names
        if name not in NOT_LOGS and "stderr" not in name and not name.endswith(".tmp")
    ]


def _wait_last(adapter: Adapter, last: int, timeout: float) -> float | None:
    """The moment at which the last line is in a file."""
    wanted = b"%012d " % last
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        for path in _files(adapter.log_dir):
            with contextlib.suppress(FileNotFoundError), open(path, "rb") as stream:
                stream.seek(max(0, os.fstat(stream.fileno()).st_size - 400))
                tail = stream.read()
                if wanted in tail and tail.endswith(b"\n"):
                    return time.monotonic()
        time.sleep(0.005)
    return None


def _pieces(folder: str) -> list[bytes]:
    """What the files hold, those put aside compressed too; the oldest lines first."""
    pieces = []
    for path in _files(folder):
        # one that is compressed meanwhile is read under its old name or its new one
        with contextlib.suppress(FileNotFoundError):
            content = Path(path).read_bytes()
            pieces.append(gzip.decompress(content) if path.endswith(".gz") else content)
    first = re.compile(rb"(?:^|[\] ])(\d{12}) ", re.MULTILINE)
    return sorted(pieces, key=lambda piece: match[1] if (match := first.search(piece)) else b"")


def _inspect(folder: str, lines: int) -> tuple[int, int, int]:
    """Lines kept, missing from the first kept to the last written, and mangled."""
    whole = re.compile(rb"(?:^|[\] ])(\d{12}) (\.{86}|(?:\xc3\xa9){43})$")
    seen: set[int] = set()
    mangled = 0
    rows = b"".join(_pieces(folder)).split(b"\n")[:-1]
    for position, row in enumerate(rows):
        match = whole.search(row)
        if match:
            seen.add(int(match[1]))
        elif (position and b"..." in row and b"log opened" not in row) or b"\xc3" in row:
            mangled += 1
    first = min(seen, default=lines)
    return len(seen), lines - first - len(seen), mangled
