"""The process of a plugin: what wires it up, its signals and its exit status."""

from __future__ import annotations

import os
import re
import signal
import sys
import time
from pathlib import Path
from random import SystemRandom
from typing import Any, NoReturn

from domogik.config.surroundings import Surroundings
from domogik.errors import DomogikError
from domogik.plugin.author import Plugin
from domogik.plugin.life import LAST_MOMENT_S, Life
from domogik.plugin.log import begin_log
from domogik.xpl.bus import Bus
from domogik.xpl.port import NetworkSettings, Port


def run(plugin: type[Plugin]) -> NoReturn:
    """Be this plugin until it is told to stop; then end the process with its exit status.

    0: it was told to stop. 1: it could not start, or failed in a way it cannot live with.
    """
    from twisted.internet import reactor as global_reactor

    reactor: Any = global_reactor
    try:
        surroundings = Surroundings.of(os.environ, plugin.name or _script_name(plugin))
        surroundings.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except (DomogikError, OSError) as error:
        sys.exit(str(error))
    begin_log(surroundings.log_level)
    settings = NetworkSettings(surroundings.address, surroundings.broadcast, surroundings.port)
    bus = Bus()
    life = Life(
        plugin=plugin(),
        surroundings=surroundings,
        reactor=reactor,
        bus=bus,
        port=Port(reactor, settings, bus, SystemRandom()),
        now=time.time,
        alarm=signal.alarm,
    )

    def told_to_stop(number: int, _: object) -> None:
        signal.alarm(LAST_MOMENT_S)  # here, for the reactor may be blocked by what hangs
        reactor.callFromThread(life.stop)

    def begin() -> None:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            if signal.getsignal(number) is not signal.SIG_IGN:  # as nohup leaves it
                signal.signal(number, told_to_stop)
        signal.signal(signal.SIGALRM, lambda *_: os._exit(life.exit_status))
        life.start()

    reactor.callWhenRunning(begin)
    reactor.run()
    sys.exit(life.exit_status)


def _script_name(plugin: type[Plugin]) -> str:
    """What a plugin is called that nobody named: as its script, else as its class."""
    stem = Path(sys.argv[0]).stem.lower()
    return stem if re.fullmatch(r"[a-z0-9_]{1,8}", stem) else plugin.__name__.lower()[:8]
