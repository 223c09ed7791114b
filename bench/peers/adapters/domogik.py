"""Ourselves: the supervisor alone with plain children, and the whole manager with plugins."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from bench.peers.adapters.base import Adapter, StatusQuery
from bench.peers.adapters.baseline import ScriptAdapter

ROOT = Path(__file__).resolve().parents[3]
CLOCK = ROOT / "examples" / "clock"
PATIENCE = 60.0
#: for all plugins together, on a machine that has other work
LONG_PATIENCE = 300.0


class DomogikAdapter(ScriptAdapter):
    """The supervisor of this tree, driven by a small script: plain children are no plugins."""

    name = "domogik"
    script = "domogik_manager.py"
    variants = {"default": "session, directory, FIFO, log file, records; backoff_first=0"}

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": str(ROOT)}


class ManagerAdapter(Adapter):
    """`dmg_manager -f -d -r -p` with N copies of the example plugin clock, which start with it.

    `start` returns when REST answers, `wait_alive` when all of them are alive. The command line of
    a child has no meaning here.
    """

    name = "dmg_manager"
    variants = {
        "default": "hub, dbmgr and REST in the manager, pings every 15 s, all ports chosen free"
    }

    def prepare(self, n: int, cmd: list[str]) -> None:
        self.names = [f"clock{number:03d}" for number in range(n)]
        packages = Path(self.dir, "packages")
        for name in self.names:
            _copy_plugin(packages / name, name)
        home = Path(self.dir, "home")
        home.mkdir(mode=0o700)
        enabled = "".join(f"{name} = enabled\n" for name in self.names)
        (home / "domogik.cfg").write_text(
            "[domogik]\nxpl_port = 0\nhostname = bench\n"
            f"src_prefix = {packages}\n[rest]\nrest_server_port = 0\n"
            f"[plugins]\n{enabled}"
        )
        self.home = home

    def command(self) -> list[str]:
        return [
            sys.executable,
            "-m",
            "domogik.app",
            "manager",
            "-f",
            "-d",
            "-r",
            "-p",
            *self._options,
        ]

    @property
    def _options(self) -> list[str]:
        return ["--home", str(self.home)]

    def environment(self) -> dict[str, str]:
        return super().environment() | {"PYTHONPATH": str(ROOT)}

    def define(self, n: int, cmd: list[str]) -> None:
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with urllib.request.urlopen(self.url("/plugin/list/")) as reply:
                    hosts = json.load(reply)["plugin"]
                if sum(len(host["list"]) for host in hosts) >= n:
                    return
            except (OSError, ValueError):
                pass
            if time.monotonic() > end:
                raise TimeoutError(Path(self.path("manager.out")).read_text()[-2000:])
            time.sleep(0.01)

    def wait_alive(self) -> None:
        """Wait until the manager's list says that every plugin is alive."""
        end = time.monotonic() + LONG_PATIENCE
        while (count := len(self.children())) < len(self.names):
            if time.monotonic() > end:
                raise TimeoutError(f"{count} of {len(self.names)} plugins are alive")
            time.sleep(0.05)

    def url(self, path: str) -> str:
        """An address of its REST; raises `OSError` before there is one."""
        port = (self.home / "run" / "rest.port").read_text().strip()
        return f"http://127.0.0.1:{port}{path}"

    def status_queries(self) -> list[StatusQuery]:
        return [StatusQuery("/plugin/list", self.url("/plugin/list/"))]

    def order(self, path: str, method: str = "POST") -> dict:
        """Ask `/api/v1` as an administrator."""
        token = (self.home / "admin.token").read_text().strip()
        request = urllib.request.Request(
            self.url(f"/api/v1{path}"), method=method, headers={"Authorization": f"Bearer {token}"}
        )
        with urllib.request.urlopen(request, timeout=PATIENCE) as reply:
            return json.load(reply)

    def children(self) -> dict[str, int]:
        """Plugin -> pid, of those that are alive as its manager sees it."""
        listed = self.order("/components", "GET")["components"]
        return {one["name"]: one["pid"] for one in listed if one["state"] == "alive"}


def _copy_plugin(directory: Path, name: str) -> None:
    """The example plugin under another name."""
    shutil.copytree(CLOCK, directory, ignore=shutil.ignore_patterns("__pycache__", "tests"))
    for path in directory.rglob("*"):
        if path.suffix in (".py", ".xml"):
            text = path.read_text(encoding="utf-8")
            text = text.replace('name = "clock"', f'name = "{name}"')
            path.write_text(text.replace("<id>clock<", f"<id>{name}<"), encoding="utf-8")
            path.rename(path.with_stem(name))
    for found in sorted(directory.rglob("clock"), key=lambda path: -len(os.fspath(path))):
        found.rename(found.with_name(name))
