"""The floors: what Python and Twisted cost with no supervisor around them."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from bench.peers.adapters.base import Adapter

MANAGERS = Path(__file__).resolve().parent.parent / "managers"


class ScriptAdapter(Adapter):
    script = "?"

    def prepare(self, n: int, cmd: list[str]) -> None:
        options = self.options
        timeout = 10.0 if options.stop_timeout is None else options.stop_timeout
        self.write(
            json.dumps(
                {
                    "variant": self.variant,
                    "kind": self.name,
                    "n": n,
                    "cmd": cmd,
                    "dir": self.dir,
                    "python": os.path.realpath(sys.executable),
                    "restart": options.restart,
                    "stop_timeout": timeout,
                    "log_dir": self.log_dir,
                    "log": f"{self.log_dir}/out.log" if options.log else "",
                    "log_max_bytes": options.log_max_bytes,
                    "log_backups": options.log_backups,
                }
            ),
            "job.json",
        )

    def command(self) -> list[str]:
        return [sys.executable, str(MANAGERS / self.script), self.path("job.json")]


class PopenAdapter(ScriptAdapter):
    """subprocess.Popen and a blocking wait: the floor of Python."""

    name = "popen"
    script = "popen_manager.py"
    variants = {"default": "subprocess.Popen, start_new_session, no pipes"}


class SpawnAdapter(ScriptAdapter):
    """reactor.spawnProcess and a ProcessProtocol: the floor of Twisted."""

    name = "spawn"
    script = "twisted_manager.py"
    variants = {
        "default": "spawnProcess with three pipes (posix_spawn)",
        "fork": "the same with a working directory (fork, exec)",
        "nopipes": "spawnProcess, children on /dev/null (posix_spawn)",
        "setsid": "spawnProcess of setsid(1), three pipes: a session of its own",
        "pyshim": "spawnProcess of a Python shim: session and working directory",
        "vfork": "a reactor, subprocess.Popen and a pidfd: session, working directory, pipes",
    }


class ProcmonAdapter(ScriptAdapter):
    """twisted.runner.procmon, which Twisted ships."""

    name = "procmon"
    script = "twisted_manager.py"
    variants = {
        "default": "ProcessMonitor as it is",
        "fast": "threshold 0, so never a restart delay",
    }
