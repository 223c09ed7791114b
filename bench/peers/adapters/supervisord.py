"""supervisor, driven by its configuration file and XML-RPC over TCP."""

from __future__ import annotations

import os
import xmlrpc.client

from bench.peers.adapters.base import Adapter, StatusQuery, beside_python, free_port

ONE = """
[program:c{i:03d}]
command={command}
"""


class SupervisordAdapter(Adapter):
    name = "supervisord"
    kills_groups = True
    variants = {
        "default": "a [program] for each child, all else as shipped",
        "fast": "startsecs=0, no log files",
        "numprocs": "one [program] with numprocs",
    }

    @classmethod
    def missing(cls) -> str:
        return "" if os.path.exists(beside_python("supervisord")) else "supervisor"

    def prepare(self, n: int, cmd: list[str]) -> None:
        self.port = free_port()
        options = self.options
        # three pipes and two log files a child
        minfds = 1024 if n * 5 + 50 < 1024 else n * 5 + 50
        text = (
            f"[supervisord]\nnodaemon=true\nlogfile={self.path('supervisord.log')}\n"
            f"pidfile={self.path('supervisord.pid')}\nchildlogdir={self.log_dir}\n"
            f"minfds={minfds}\n\n"
            f"[inet_http_server]\nport=127.0.0.1:{self.port}\n\n"
            "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory = "
            "supervisor.rpcinterface:make_main_rpcinterface\n"
        )
        extra = []
        if options.stop_timeout is not None:
            extra.append(f"stopwaitsecs={int(options.stop_timeout)}")
        if options.kill_group:
            extra += ["stopasgroup=true", "killasgroup=true"]
        if not options.restart:
            extra.append("autorestart=false")
        if options.log:
            extra += [
                f"stdout_logfile={self.log_dir}/out.log",
                f"stdout_logfile_maxbytes={options.log_max_bytes}",
                f"stdout_logfile_backups={options.log_backups}",
            ]
        if self.variant == "fast":
            extra.append("startsecs=0")
            if not options.log:
                extra += ["stdout_logfile=NONE", "stderr_logfile=NONE"]
        command = " ".join(_quote(word) for word in cmd)
        if self.variant == "numprocs":
            text += (
                f"\n[program:c]\ncommand={command}\nnumprocs={n}\n"
                "process_name=c%(process_num)03d\n" + "\n".join(extra) + "\n"
            )
        else:
            for i in range(n):
                text += ONE.format(i=i, command=command) + "\n".join(extra) + "\n"
        self.write(text, "supervisord.conf")

    def command(self) -> list[str]:
        return [
            beside_python("supervisord"),
            "-n",
            "-c",
            self.path("supervisord.conf"),
        ]

    def stop_children(self) -> None:
        proxy = xmlrpc.client.ServerProxy(f"http://127.0.0.1:{self.port}/RPC2")
        proxy.supervisor.stopAllProcesses(False)

    def status_queries(self) -> list[StatusQuery]:
        body = xmlrpc.client.dumps((), "supervisor.getAllProcessInfo")
        return [StatusQuery("getAllProcessInfo", f"http://127.0.0.1:{self.port}/RPC2", body)]


def _quote(word: str) -> str:
    if word.replace(".", "").replace("/", "").replace("-", "").replace("_", "").isalnum():
        return word.replace("%", "%%")
    return '"' + word.replace("%", "%%") + '"'
