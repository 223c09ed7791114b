"""runit and s6: one small C supervisor for each child, and one that scans."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import time

from bench.peers import proc
from bench.peers.adapters.base import Adapter


class _ScandirAdapter(Adapter):
    helpers: tuple[str, ...] = ()

    #: the program that looks after the directory
    scanner = ""

    @classmethod
    def missing(cls) -> str:
        return "" if shutil.which(cls.scanner) else cls.name

    def tool(self, name: str) -> str:
        path = shutil.which(name)
        if path is None:
            raise FileNotFoundError(name)
        return path

    def prepare(self, n: int, cmd: list[str]) -> None:
        for i in range(n):
            service = f"scan/c{i:03d}"
            self.write(f"#!/bin/sh\nexec {shlex.join(cmd)}\n", service, "run", mode=0o755)
            if self.options.log:
                self.write_logger(service)

    def write_logger(self, service: str) -> None:
        raise NotImplementedError

    def manager_pids(self) -> set[int]:
        root = self.manager_pid()
        below = proc.descendants(root)
        return {root} | {
            pid
            for pid in below
            if proc.arguments(pid)
            and os.path.basename(proc.arguments(pid)[0]).decode() in self.helpers
        }

    def close(self) -> None:
        if self.manager is not None and self.manager.poll() is None:
            self.stop()
            self.manager_gone(5)
            time.sleep(0.2)
        super().close()


class RunitAdapter(_ScandirAdapter):
    name = "runit"
    scanner = "runsvdir"
    helpers = ("runsv", "svlogd")
    variants = {"default": "runsvdir, a runsv for each child"}

    def command(self) -> list[str]:
        return [self.tool(self.scanner), self.path("scan")]

    def stop(self) -> None:
        proc.kill(self.manager_pid(), signal.SIGHUP)

    def write_logger(self, service: str) -> None:
        options = self.options
        config = self.write(
            f"s{options.log_max_bytes}\nn{options.log_backups + 1}\n", "log", "main", "config"
        )
        folder = os.path.dirname(config)
        self.write(
            f"#!/bin/sh\nexec {self.tool('svlogd')} {folder}\n", service, "log", "run", mode=0o755
        )


class S6Adapter(_ScandirAdapter):
    name = "s6"
    scanner = "s6-svscan"
    helpers = ("s6-supervise", "s6-log")
    variants = {"default": "s6-svscan, an s6-supervise for each child"}

    def prepare(self, n: int, cmd: list[str]) -> None:
        super().prepare(n, cmd)
        if self.options.stop_timeout is not None:
            for i in range(n):
                self.write(
                    f"{int(self.options.stop_timeout * 1000)}\n", f"scan/c{i:03d}", "timeout-kill"
                )

    def command(self) -> list[str]:
        # -c: how many services there may be (the default is 500)
        return [self.tool(self.scanner), "-c", "1000", self.path("scan")]

    def write_logger(self, service: str) -> None:
        options = self.options
        self.write(
            f"#!/bin/sh\nexec {self.tool('s6-log')} n{options.log_backups} "
            f"s{options.log_max_bytes} {self.log_dir}/main\n",
            service,
            "log",
            "run",
            mode=0o755,
        )
