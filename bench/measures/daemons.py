"""daemons: from start() to ready beside the bare server, and fresh ones in a second.

The bare server: its own check of its configuration, then the same command by `subprocess`, asked in
its own protocol without any pause until it answers.
"""

from __future__ import annotations

import signal
import subprocess
import time

import redis
from twisted.internet.defer import Deferred

from bench.run import Run
from domogik.daemons.core.errors import ManagedDaemonError, NotReady
from domogik.daemons.core.standalone import end_marked
from domogik.daemons.kinds import kinds
from domogik.daemons.throwaway.blocking import BlockingDaemon
from domogik.supervisor.interfaces import Program
from domogik.supervisor.processes.spawn import signal_number

_FRESH = 20
#: takes four seconds for each start
_SLOW = ("rabbitmq",)


def run(run: Run) -> None:
    servers = {}
    try:
        for kind in kinds():
            try:
                servers[kind] = BlockingDaemon(kind)
                servers[kind].stop()
            except ManagedDaemonError as error:
                run.left_out[kind] = error.sentence
        for turn in run.each_turn():
            for kind, server in servers.items():
                if turn == 0 or kind not in _SLOW:
                    _start(run, turn, kind, server)
            if "redis" in servers:
                _fresh(run, turn)
    finally:
        for server in servers.values():
            server.destroy()


def _start(run: Run, turn: int, kind: str, server: BlockingDaemon) -> None:
    took = {}
    for who in ("domogik", "bare") if turn % 2 else ("bare", "domogik"):
        took[who] = _managed(server) if who == "domogik" else _bare(server)
        run.add(who, "start to ready", took[who] * 1000, "ms", turn, kind=kind)
    more = (took["domogik"] - took["bare"]) * 1000
    run.add("domogik", "more than the bare server", more, "ms", turn, kind=kind)


def _managed(server: BlockingDaemon) -> float:
    began = time.perf_counter()
    server.start()
    took = time.perf_counter() - began
    server.stop()
    return took


def _bare(server: BlockingDaemon) -> float:
    daemon = server.daemon
    program = server.wait(
        Deferred.fromCoroutine(daemon.prepare(Program((daemon.kind,), {}, server.directory)))
    )
    user = program.user
    who = {} if user is None else {"user": user.uid, "group": user.gid, "extra_groups": user.groups}
    common = {
        "cwd": program.directory,
        "env": {**program.environment, "DOMOGIK_RUN_ID": daemon.directory.id},
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
        **who,
    }
    check = daemon.checker(daemon.get_configuration_path(server.directory))
    began = time.perf_counter()
    if check is not None:
        subprocess.run(check, check=True, **common)
    process = subprocess.Popen(program.argv, start_new_session=True, **common)
    while True:
        try:
            server.wait(Deferred.fromCoroutine(daemon.probe()))
        except NotReady:
            if process.poll() is not None:
                raise
            continue
        break
    took = time.perf_counter() - began
    process.send_signal(signal_number(daemon.policy.stop_signal) or signal.SIGTERM)
    process.wait()
    # what a bare server leaves behind (RabbitMQ its epmd)
    server.wait(Deferred.fromCoroutine(end_marked(daemon.reactor, daemon.directory.id)))
    daemon.remove_leftovers()
    return took


def _fresh(run: Run, turn: int) -> None:
    began = time.perf_counter()
    for _ in range(_FRESH):
        with BlockingDaemon("redis") as server, redis.Redis(server.host, server.port) as client:
            client.set("lamp", "on")
            assert client.get("lamp") == b"on"
    took = time.perf_counter() - began
    run.add("domogik", "fresh Redis, used, destroyed", _FRESH / took, "a second", turn)
