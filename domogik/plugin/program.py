"""The process of a plugin: what wires it up, its signals and its exit status."""

from __future__ import annotations

import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from random import SystemRandom
from typing import NoReturn, TypeVar, cast

from domogik.clock import keep_steady
from domogik.config.surroundings import Surroundings
from domogik.errors import DomogikError
from domogik.plugin.author import Plugin
from domogik.plugin.life import LAST_MOMENT_S, Life
from domogik.plugin.log import begin_log
from domogik.plugin.threads import IReactor
from domogik.xpl.node.bus import Bus
from domogik.xpl.node.port import NetworkSettings, Port

P = TypeVar("P", bound=Plugin)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(plugin: type[Plugin]) -> NoReturn:
    """Be this plugin until it is told to stop; then end the process with its exit status.

    0: it was told to stop. 1: it could not start, or failed in a way it cannot live with.
    """
    from twisted.internet import reactor as global_reactor

    reactor = cast(IReactor, global_reactor)  # mypy sees a module
    life = _life(plugin(), _surroundings(plugin), reactor, signal.alarm)

    def told_to_stop(number: int, _: object) -> None:
        signal.alarm(LAST_MOMENT_S)  # here, for the reactor may be blocked by what hangs
        reactor.callFromThread(life.stop)

    def begin() -> None:
        for number in _heeded():
            signal.signal(number, told_to_stop)
        signal.signal(signal.SIGALRM, lambda *_: os._exit(life.exit_status))
        life.start()

    reactor.callWhenRunning(begin)
    reactor.run()
    sys.exit(life.exit_status)


def run_beside(plugin: P, over: Callable[[int], object]) -> None:
    """Be this plugin in a thread beside a program that keeps its main thread to itself.

    To be called in the main thread. `over` is called in the plugin's thread with the exit status
    when the plugin has ended; what is left of the process then ends by itself, or is ended
    `LAST_MOMENT_S` seconds after the order to stop. Raises `SystemExit` where the environment says
    something that no plugin can live with.
    """
    from twisted.internet import reactor as global_reactor

    reactor = cast(IReactor, global_reactor)  # mypy sees a module
    surroundings = _surroundings(type(plugin))

    def alarm(seconds: int) -> None:
        timer = threading.Timer(seconds, lambda: os._exit(plugin._life.exit_status))
        timer.daemon = True
        timer.start()

    def body() -> None:
        # here, for a life takes the thread that makes it for the reactor's
        life = _life(plugin, surroundings, reactor, alarm)
        reactor.callWhenRunning(life.start)
        made.set()
        heeded.wait()  # it says nothing before it can be told to stop
        reactor.run(installSignalHandlers=False)  # type: ignore[call-arg]
        over(life.exit_status)

    made, heeded = threading.Event(), threading.Event()
    threading.Thread(target=body, name="plugin").start()
    made.wait()
    _on_signal(plugin.stop)
    heeded.set()


def _surroundings(plugin: type[Plugin]) -> Surroundings:
    """Find out where the plugin is, and begin its log."""
    try:
        surroundings = Surroundings.of(os.environ, plugin.name or _script_name(plugin))
        surroundings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (DomogikError, OSError) as error:
        sys.exit(str(error))
    begin_log(surroundings.log_level)
    return surroundings


def _life(
    plugin: Plugin, surroundings: Surroundings, reactor: IReactor, alarm: Callable[[int], object]
) -> Life:
    keep_steady(reactor)
    settings = NetworkSettings(surroundings.address, surroundings.broadcast, surroundings.port)
    bus = Bus()
    return Life(
        plugin=plugin,
        surroundings=surroundings,
        reactor=reactor,
        bus=bus,
        port=Port(reactor, settings, bus, SystemRandom()),
        now=time.time,
        alarm=alarm,
    )


def _heeded() -> list[int]:
    """The signals that stop a plugin, without those that nohup and the like have switched off."""
    return [number for number in _STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _on_signal(stop: Callable[[], object]) -> None:
    """Call `stop` when a signal says so, in a thread: the main thread may be waiting for anything.

    Python runs handlers in the main thread alone, but writes the number to this descriptor at once.
    """
    heeded = _heeded()
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    for number in heeded:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        with reading, writing:
            while not any(number in reading.recv(64) for number in heeded):
                pass
            stop()
            while reading.recv(64):
                pass  # the descriptor stays open: later signals are written to it

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _script_name(plugin: type[Plugin]) -> str:
    """What a plugin is called that nobody named: as its script, else as its class."""
    stem = Path(sys.argv[0]).stem.lower()
    return stem if re.fullmatch(r"[a-z0-9_]{1,8}", stem) else plugin.__name__.lower()[:8]
