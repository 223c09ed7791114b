"""The process of a plugin: its assembly, signals and exit status."""

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

from domogik.clock import use_monotonic_clock
from domogik.config.plugin_environment import PluginEnvironment
from domogik.errors import DomogikError
from domogik.plugin.author import Plugin
from domogik.plugin.log import begin_log
from domogik.plugin.runtime import EXIT_TIMEOUT_S, PluginRuntime
from domogik.plugin.threads import IReactor
from domogik.xpl.node.bus import Bus
from domogik.xpl.node.port import NetworkSettings, Port

P = TypeVar("P", bound=Plugin)
_STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(plugin: type[Plugin]) -> NoReturn:
    """Run this plugin until it is told to stop; then exit the process.

    The exit status is 0 if it was told to stop, 1 if it could not start or failed.
    """
    from twisted.internet import reactor as global_reactor

    reactor = cast(IReactor, global_reactor)  # mypy sees a module
    runtime = _runtime(plugin(), _read_environment(plugin), reactor, signal.alarm)

    def told_to_stop(number: int, _: object) -> None:
        signal.alarm(EXIT_TIMEOUT_S)  # here, since the reactor may be blocked
        reactor.callFromThread(runtime.stop)

    def begin() -> None:
        for number in _active_stop_signals():
            signal.signal(number, told_to_stop)
        signal.signal(signal.SIGALRM, lambda *_: os._exit(runtime.exit_status))
        runtime.start()

    reactor.callWhenRunning(begin)
    reactor.run()
    sys.exit(runtime.exit_status)


def run_beside(plugin: P, over: Callable[[int], object]) -> None:
    """Run this plugin in a thread, for a program that needs its main thread itself.

    It is called in the main thread. `over` is called in the plugin's thread with the exit status
    when the plugin has ended; the process then ends by itself, or `EXIT_TIMEOUT_S` seconds after
    the order to stop. Raises `SystemExit` if the environment is not valid.
    """
    from twisted.internet import reactor as global_reactor

    reactor = cast(IReactor, global_reactor)  # mypy sees a module
    environment = _read_environment(type(plugin))

    def alarm(seconds: int) -> None:
        timer = threading.Timer(seconds, lambda: os._exit(plugin._runtime.exit_status))
        timer.daemon = True
        timer.start()

    def body() -> None:
        # made here, since it takes the thread that makes it for the reactor's
        runtime = _runtime(plugin, environment, reactor, alarm)
        reactor.callWhenRunning(runtime.start)
        made.set()
        watched.wait()  # it says nothing before it can be told to stop
        reactor.run(installSignalHandlers=False)  # type: ignore[call-arg]
        over(runtime.exit_status)

    made, watched = threading.Event(), threading.Event()
    threading.Thread(target=body, name="plugin").start()
    made.wait()
    _call_on_signal(plugin.stop)
    watched.set()


def _read_environment(plugin: type[Plugin]) -> PluginEnvironment:
    """Return the plugin's environment, after creating its data directory and starting its log."""
    try:
        environment = PluginEnvironment.of(os.environ, plugin.name or _script_name(plugin))
        environment.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (DomogikError, OSError) as error:
        sys.exit(str(error))
    begin_log(environment.log_level)
    return environment


def _runtime(
    plugin: Plugin,
    environment: PluginEnvironment,
    reactor: IReactor,
    alarm: Callable[[int], object],
) -> PluginRuntime:
    use_monotonic_clock(reactor)
    settings = NetworkSettings(environment.address, environment.broadcast, environment.port)
    bus = Bus()
    return PluginRuntime(
        plugin=plugin,
        has_work=type(plugin).work is not Plugin.work,
        environment=environment,
        reactor=reactor,
        bus=bus,
        port=Port(reactor, settings, bus, SystemRandom()),
        now=time.time,
        alarm=alarm,
    )


def _active_stop_signals() -> list[int]:
    """Return the signals that stop a plugin, except those that nohup and the like have disabled."""
    return [number for number in _STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


def _call_on_signal(stop: Callable[[], object]) -> None:
    """Call `stop` in a thread at a stop signal, since the main thread may be blocked.

    Python runs handlers in the main thread only, but writes the number to this descriptor at once.
    """
    watched = _active_stop_signals()
    reading, writing = socket.socketpair()
    writing.setblocking(False)
    for number in watched:
        signal.signal(number, lambda *_: None)
    signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)

    def wait() -> None:
        with reading, writing:
            while not any(number in reading.recv(64) for number in watched):
                pass
            stop()
            while reading.recv(64):
                pass  # the descriptor stays open: later signals are written to it

    threading.Thread(target=wait, name="signals", daemon=True).start()


def _script_name(plugin: type[Plugin]) -> str:
    """Return the default id of a plugin: the name of its script, else of its class."""
    stem = Path(sys.argv[0]).stem.lower()
    return stem if re.fullmatch(r"[a-z0-9_]{1,8}", stem) else plugin.__name__.lower()[:8]
