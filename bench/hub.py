"""python -m bench.hub: messages a second that a hub passes on with under 0.1 % lost.

Our hub beside bare forwarders, each in a process of its own, in one run. The sender is paced and
sends one well-formed message again and again; hub and sender are pinned to different processors,
the receivers to the sender's. A rate counts as kept when one of two trials lost less than the
limit; the greatest such rate is found by growing and halving. What is not through 10 ms after the
last datagram was not kept up with: a backlog in the receive buffer would hide an overrun.

Everything stays on 127.0.0.1, at ports that are free; 3865 is not touched.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

from bench.hub_peers.engines import ENGINES
from bench.hub_peers.mmsg import Sender

ROOT = Path(__file__).resolve().parent.parent
BASE = "twisted"
LIMIT = 0.001
STEP = 1.25
BUFFER = 4 << 20
#: messages a second that ours should reach, by number of clients
TARGETS = {1: 100_000, 10: 20_000}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.hub", description=__doc__)
    parser.add_argument("--seconds", type=float, default=0.5, help="length of a trial")
    parser.add_argument("--turns", type=int, default=3, help="all contestants in each turn")
    parser.add_argument("--size", type=int, default=120, help="bytes of a message (100 to 1472)")
    parser.add_argument("--engines", default=",".join(ENGINES), help="comma list")
    parser.add_argument("--clients", default="1,10", help="comma list")
    args = parser.parse_args()
    engines = args.engines.split(",")
    datagram = message(args.size)
    rates: dict[int, dict[str, list[tuple[float, float]]]] = {}
    for clients in map(int, args.clients.split(",")):
        rates[clients] = {engine: [] for engine in engines}
        for turn in range(args.turns):
            start = turn % len(engines)
            for engine in engines[start:] + engines[:start]:
                with Trial(engine, datagram, clients) as trial:
                    found = trial.greatest_rate(args.seconds)
                rates[clients][engine].append(found)
                print(
                    f"to {clients:2}: {engine:10} {found[0]:9,.0f} /s  "
                    f"{found[1] * 1e6:6.1f} us of CPU a message",
                    flush=True,
                )
    report(rates, args.size)


def report(rates: dict[int, dict[str, list[tuple[float, float]]]], size: int) -> None:
    """Print medians and ratios."""
    conditions = (
        f"{size}-byte messages, receive buffer {BUFFER >> 20} MiB asked, "
        f"{granted() >> 10} KiB granted (as the kernel counts), "
        f"{'cores pinned' if can_pin() else 'NOT pinned: one processor'}, "
        f"load average {os.getloadavg()[0]:.1f} (more than about 1.5 here: others were at work, "
        "and only the CPU columns can be trusted)"
    )
    print(f"\n{conditions}")
    for clients, by_engine in rates.items():
        print(
            f"\nto {clients}      messages/s (min - max)            us CPU   "
            f"ratio to {BASE}: rate, CPU"
        )
        for engine, found in by_engine.items():
            values = [rate for rate, _ in found]
            base = [rate for rate, _ in by_engine.get(BASE, [])]
            ratio = statistics.median(a / b for a, b in zip(values, base)) if base else 0.0  # noqa: B905
            cost = statistics.median(cost for _, cost in found) * 1e6
            base_costs = [spent for _, spent in by_engine.get(BASE, [])]
            cheaper = statistics.median(base_costs) * 1e6 / cost if base_costs else 0.0
            middle = statistics.median(values)
            goal = TARGETS.get(clients) if engine == "domogik" else None
            print(
                f"{engine:10}{middle:11,.0f} ({min(values):,.0f} - {max(values):,.0f})".ljust(44)
                + f"{cost:6.1f}   {ratio:.2f}, {cheaper:.2f}"
                + (f"   target {goal:,}: {'kept' if middle >= goal else 'MISSED'}" if goal else "")
            )


def message(size: int) -> bytes:
    """A well-formed message of that many bytes."""
    frame = "xpl-stat\n{{\nhop=1\nsource=bench-sender.one\ntarget=*\n}}\nsensor.basic\n{{\n{}\n}}\n"
    body = "device=d\ntype=temp\ncurrent="
    return frame.format(body + "7" * (size - len(frame.format(body)))).encode()


def granted() -> int:
    """Bytes of receive buffer that the kernel gives who asks for BUFFER."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, BUFFER)
        return probe.getsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF)


def can_pin() -> bool:
    return len(PROCESSORS) > 1


PROCESSORS = sorted(os.sched_getaffinity(0))


class Trial:
    """A hub, its receivers and a sender."""

    def __init__(self, engine: str, datagram: bytes, clients: int) -> None:
        ports = [str(port) for port in free_ports(clients + 1)]
        self._hub = talker("engines", engine, ports[0], str(BUFFER), *ports[1:])
        self._sink = talker("sink", *ports[1:])
        self._sender = Sender(int(ports[0]), datagram)
        if can_pin():
            os.sched_setaffinity(self._hub.pid, PROCESSORS[1:2])
            os.sched_setaffinity(self._sink.pid, PROCESSORS[:1])
            os.sched_setaffinity(0, PROCESSORS[:1])

    def __enter__(self) -> Trial:
        return self

    def __exit__(self, *_: object) -> None:
        for process in (self._hub, self._sink):
            process.terminate()
            process.wait()
            process.stdout.close()
        self._sender.sock.close()
        os.sched_setaffinity(0, PROCESSORS)

    def greatest_rate(self, seconds: float) -> tuple[float, float]:
        """Messages a second kept up with, and the hub's CPU seconds for each."""
        _, _, spent = self.run(5_000, 0.3)
        low, high, cost = 0.0, 0.0, spent
        rate = 0.8 / spent
        for _ in range(20):
            kept, spent = self.keeps(rate, seconds)
            if kept:
                low, cost = rate, spent
            else:
                high = rate
            if low and high and high / low < 1.04:
                break
            rate = (low * high) ** 0.5 if low and high else low * STEP if low else high / STEP
        return low, cost

    def keeps(self, rate: float, seconds: float) -> tuple[bool, float]:
        cost = 0.0
        for _ in range(2):
            loss, real, cost = self.run(rate, seconds)
            if real < 0.97 * rate:
                return False, cost  # the sender itself is at its end
            if loss < LIMIT:
                return True, cost
        return False, cost

    def run(self, rate: float, seconds: float) -> tuple[float, float, float]:
        """Share lost at the worst receiver, rate sent, hub CPU seconds a message."""
        before = cpu_seconds(self._hub.pid)
        sent, real = self._sender.run(rate, seconds)
        time.sleep(0.01)
        got = [int(ask(self._hub)), *json.loads(ask(self._sink))]
        cost = (cpu_seconds(self._hub.pid) - before) / max(1, sent)
        time.sleep(0.05)
        while int(ask(self._hub)) or any(json.loads(ask(self._sink))):
            time.sleep(0.02)
        return 1 - min(got) / sent, real, cost


def free_ports(count: int) -> list[int]:
    """UDP ports of 127.0.0.1 that nobody has."""
    probes = [socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(count)]
    for probe in probes:
        probe.bind(("127.0.0.1", 0))
    ports = [probe.getsockname()[1] for probe in probes]
    for probe in probes:
        probe.close()
    return ports


def talker(module: str, *words: str) -> subprocess.Popen[str]:
    """A process that has said that it is ready."""
    process = subprocess.Popen(
        [sys.executable, "-m", f"bench.hub_peers.{module}", *words],
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    answer = process.stdout.readline().strip()
    assert answer == "ready", f"{module} {words[0]} did not start"
    return process


def ask(process: subprocess.Popen[str]) -> str:
    """What a process has counted since it was last asked."""
    process.send_signal(signal.SIGUSR1)
    return process.stdout.readline()


def cpu_seconds(pid: int) -> float:
    """CPU time of a process so far, to the nanosecond (its clock id, as the kernel makes it)."""
    return time.clock_gettime((~pid << 3) | 2)


if __name__ == "__main__":
    main()
