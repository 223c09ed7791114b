"""N children by subprocess.Popen, restarted from a blocking wait: the floor."""

import json
import os
import signal
import subprocess
import sys
import time


class Stop(Exception):
    """SIGTERM came."""


class Manager:
    """What its job says, and nothing else."""

    def __init__(self, job: dict) -> None:
        self.job = job
        self.children: dict[int, subprocess.Popen[bytes]] = {}

    def spawn(self) -> None:
        child = subprocess.Popen(
            self.job["cmd"],
            start_new_session=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self.children[child.pid] = child

    def reap(self, flags: int) -> int:
        try:
            pid, status = os.waitpid(-1, flags)
        except ChildProcessError:
            return 0
        if pid:
            self.children.pop(pid).returncode = os.waitstatus_to_exitcode(status)
        return pid

    def work(self) -> None:
        for _ in range(self.job["n"]):
            self.spawn()
        while True:
            if self.reap(0) and self.job["restart"]:
                self.spawn()
            elif not self.children:
                signal.pause()

    def stop(self) -> None:
        self.signal_all(signal.SIGTERM)
        end = time.monotonic() + self.job["stop_timeout"]
        while self.children and time.monotonic() < end:
            if not self.reap(os.WNOHANG):
                time.sleep(0.001)
        self.signal_all(signal.SIGKILL)
        while self.children:
            self.reap(0)

    def signal_all(self, signum: int) -> None:
        for pid in self.children:
            os.killpg(pid, signum)


def main() -> None:
    with open(sys.argv[1], encoding="utf-8") as stream:
        manager = Manager(json.load(stream))

    def on_term(*_: object) -> None:
        raise Stop

    signal.signal(signal.SIGTERM, on_term)
    try:
        manager.work()
    except Stop:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    manager.stop()


main()
