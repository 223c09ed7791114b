"""What a measure needs of a supervisor."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path

from bench.peers import proc


@dataclass
class Options:
    """How the supervisor is to treat its children, where it has a say."""

    stop_timeout: float | None = None
    restart: bool = True
    kill_group: bool = False
    log: bool = False
    log_max_bytes: int = 10 * 1024 * 1024
    log_backups: int = 3


@dataclass
class StatusQuery:
    """One request over HTTP for the state of all children; a body makes it a POST."""

    name: str
    url: str
    body: str = ""


class Adapter(ABC):
    """One supervisor in one configuration; used once, then closed.

    A subclass writes its configuration in prepare() and names the command
    line of its manager in command(); one that is driven by REST posts its
    children in define().
    """

    name = "?"
    #: configuration name -> what it is, "default" first
    variants: dict[str, str] = {"default": "as shipped"}
    #: whether it can be told to kill a child's whole group (Options.kill_group)
    kills_groups = False

    def __init__(self, variant: str = "default", options: Options | None = None) -> None:
        if variant not in self.variants:
            raise ValueError(f"{self.name} has no variant {variant!r}")
        self.variant = variant
        self.options = options or Options()
        self.dir = tempfile.mkdtemp(prefix=f"bench-{self.name}-")
        self.log_dir = os.path.join(self.dir, "log")
        Path(self.log_dir).mkdir()
        self.manager: subprocess.Popen[bytes] | None = None
        self.started_at = 0.0
        self.marker = ""
        self._finder: proc.Finder | None = None

    @classmethod
    def missing(cls) -> str:
        """What is not installed and would have to be; empty if all is there."""
        return ""

    @property
    def label(self) -> str:
        return self.name if self.variant == "default" else f"{self.name}:{self.variant}"

    # what a measure calls

    def start(self, n: int, cmd: list[str]) -> None:
        """Launch the manager with n children of cmd; return without waiting."""
        self.marker = cmd[-1]
        self.prepare(n, cmd)
        self._finder = proc.Finder(self.marker)
        self.started_at = time.monotonic()
        self.launch(self.command())
        self.define(n, cmd)

    def pids(self) -> set[int]:
        """The children that run, by what /proc says."""
        return self.finder.running()

    def stop(self) -> None:
        """Tell the manager to stop everything and exit; do not wait."""
        proc.kill(self.manager_pid(), signal.SIGTERM)

    def manager_pid(self) -> int:
        assert self.manager is not None
        return self.manager.pid

    # what a measure may ask

    def manager_pids(self) -> set[int]:
        """The manager and its helper processes, children left out."""
        return {self.manager_pid()}

    def stop_children(self) -> None:
        """Stop all children by the manager's own API, leaving it running."""
        raise NotImplementedError

    def status_queries(self) -> list[StatusQuery]:
        """Ways to ask for the state of all children."""
        return []

    # for subclasses

    @abstractmethod
    def prepare(self, n: int, cmd: list[str]) -> None:
        """Write the configuration."""

    @abstractmethod
    def command(self) -> list[str]:
        """The manager's command line; it must stay in the foreground."""

    def define(self, n: int, cmd: list[str]) -> None:  # noqa: B027 (not a must)
        """Tell a running manager of its children, where prepare() could not.

        One that is driven by REST waits for its port here and posts them.
        """

    @property
    def finder(self) -> proc.Finder:
        assert self._finder is not None
        return self._finder

    def path(self, *parts: str) -> str:
        return os.path.join(self.dir, *parts)

    def write(self, text: str, *parts: str, mode: int = 0o644) -> str:
        path = Path(self.path(*parts))
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        path.chmod(mode)
        return str(path)

    def environment(self) -> dict[str, str]:
        env = dict(os.environ)
        env["PATH"] = os.path.dirname(sys.executable) + os.pathsep + os.defpath
        return env

    def launch(self, command: list[str]) -> None:
        with open(self.path("manager.out"), "wb") as out:
            self.manager = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env=self.environment(),
                cwd=self.dir,
            )

    def age(self) -> float:
        """Seconds since its launch."""
        return time.monotonic() - self.started_at

    def manager_gone(self, timeout: float) -> float | None:
        """Wait for the manager to exit; None if it does not."""
        assert self.manager is not None
        try:
            self.manager.wait(timeout)
        except subprocess.TimeoutExpired:
            return None
        return time.monotonic()

    def close(self) -> None:
        """End all that was started here, and remove the files."""
        mine: set[int] = set()
        if self.manager is not None:
            if self.manager.poll() is None:
                mine = proc.descendants(self.manager_pid())
                self.manager.kill()
            self.manager.wait()
        if self._finder is not None:
            mine |= self.finder.look()
        for pid in mine:
            proc.kill(pid)
        for _ in range(40):  # helpers on their way out may still write there
            shutil.rmtree(self.dir, ignore_errors=True)
            if not os.path.exists(self.dir):
                break
            time.sleep(0.05)

    def __enter__(self) -> Adapter:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def beside_python(name: str) -> str:
    """The path of a command that was installed into the environment we run in."""
    return os.path.join(os.path.dirname(sys.executable), name)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
