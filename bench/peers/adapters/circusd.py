"""circus, driven by its configuration file and ZeroMQ over TCP."""

from __future__ import annotations

import os
import shlex

from bench.peers.adapters.base import Adapter, beside_python, free_port


class CircusAdapter(Adapter):
    name = "circusd"
    kills_groups = True
    variants = {
        "default": "a [watcher] for each child, check_delay 5 s",
        "fast": "check_delay 0.02 s",
        "numprocesses": "one [watcher] with numprocesses",
    }

    @classmethod
    def missing(cls) -> str:
        return "" if os.path.exists(beside_python("circusd")) else "circus"

    def prepare(self, n: int, cmd: list[str]) -> None:
        self.ports = [free_port() for _ in range(3)]
        options = self.options
        text = (
            f"[circus]\nendpoint = tcp://127.0.0.1:{self.ports[0]}\n"
            f"pubsub_endpoint = tcp://127.0.0.1:{self.ports[1]}\n"
        )
        if self.variant == "fast":
            text += "check_delay = 0.02\n"
        extra = ["copy_env = True"]
        if options.stop_timeout is not None:
            extra.append(f"graceful_timeout = {options.stop_timeout}")
        if options.kill_group:
            extra.append("stop_children = True")
        if not options.restart:
            extra.append("respawn = False")
        if options.log:
            extra += [
                "stdout_stream.class = FileStream",
                f"stdout_stream.filename = {self.log_dir}/out.log",
                f"stdout_stream.max_bytes = {options.log_max_bytes}",
                f"stdout_stream.backup_count = {options.log_backups}",
            ]
        lines = "\n".join([f"cmd = {shlex.quote(cmd[0])}", f"args = {shlex.join(cmd[1:])}", *extra])
        if self.variant == "numprocesses":
            text += f"\n[watcher:c]\n{lines}\nnumprocesses = {n}\n"
        else:
            for i in range(n):
                text += f"\n[watcher:c{i:03d}]\n{lines}\n"
        self.write(text, "circus.ini")

    def command(self) -> list[str]:
        return [beside_python("circusd"), self.path("circus.ini")]

    def stop_children(self) -> None:
        from circus.client import CircusClient

        client = CircusClient(endpoint=f"tcp://127.0.0.1:{self.ports[0]}", timeout=60)
        client.send_message("stop", waiting=False)
        client.stop()
