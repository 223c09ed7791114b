"""What machine is this, and how steady is it now?"""

from __future__ import annotations

import os
import platform
import sys
import time
from importlib import metadata
from pathlib import Path


def facts() -> dict[str, str]:
    """What a reader of the figures has to know."""
    return {
        "processor": _line("/proc/cpuinfo", "model name") or platform.machine(),
        "processors": str(len(os.sched_getaffinity(0))),
        "memory": f"{int(_line('/proc/meminfo', 'MemTotal').split()[0]) / 2**20:.0f} GiB",
        "kernel": platform.release(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "peers": ", ".join(f"{name} {metadata.version(name)}" for name in _installed()),
        "load": f"{os.getloadavg()[0]:.1f}",
    }


def _line(path: str, key: str) -> str:
    for line in Path(path).read_text(encoding="utf-8").splitlines():
        if line.startswith(key):
            return line.partition(":")[2].strip()
    return ""


def _installed() -> list[str]:
    names = {dist.metadata["Name"].lower() for dist in metadata.distributions()}
    return [name for name in ("twisted", "supervisor", "circus") if name in names]


def loop_ms() -> float:
    """Wall milliseconds of a fixed amount of interpreter work: about 10 on a machine of 2024."""
    started = time.perf_counter()
    total = 0
    for number in range(400_000):
        total += number & 7
    return (time.perf_counter() - started) * 1000


def stolen_and_busy() -> tuple[float, float]:
    """Seconds that a hypervisor took away, and seconds of work, since the boot; all processors."""
    with open("/proc/stat", encoding="ascii") as stream:
        fields = [int(field) for field in stream.readline().split()[1:]]
    tick = os.sysconf("SC_CLK_TCK")
    user, nice, system, _idle, _wait, irq, softirq, steal = fields[:8]
    return steal / tick, (user + nice + system + irq + softirq) / tick


def interpreter() -> str:
    """The interpreter itself, never a shim in front of it."""
    return os.path.realpath(sys.executable)
