"""A program of its own that works with a daemon: `alone.py <kind> <directory> <what> <json>`.

`obey` does what it reads, a method's name in a line, and says in a line of JSON what came of it;
`full` and `free` leave no room on the disk, and some. `die-<where>` configures and is killed (kill
-9) `before` the data are made, `within`, or `after`, before that is written down. The JSON is what
`configure` is given.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import react
from twisted.internet.threads import deferToThread

from domogik.daemons.core.errors import ManagedDaemonError
from domogik.daemons.kinds import daemon_class


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


async def die_where(kind, directory, options, where) -> None:
    class Dying(daemon_class(kind)):
        async def initialise(self) -> None:
            if where == "before":
                (self.directory.subdirectory("data") / "half").write_text("half of it")
                die()
            if where == "within":
                reactor.callLater(0.05, die)
            await super().initialise()
            die()

    await Dying(reactor).configure(directory, **options)


def fill(ballast: Path) -> None:
    with contextlib.suppress(OSError), ballast.open("ab", buffering=0) as file:
        for size in (2**20, 4096, 1):
            with contextlib.suppress(OSError):
                while file.write(b"x" * size):
                    pass


async def obey(kind, directory, options) -> None:
    daemon, ballast = daemon_class(kind)(reactor), Path(directory).parent / "ballast"
    while order := (await deferToThread(sys.stdin.readline)).strip():
        try:
            if order == "full":
                said = fill(ballast)
            elif order == "free":
                said = ballast.unlink()
            elif order == "configure":
                said = await daemon.configure(directory, **options)
            elif order.startswith("get_"):
                said = getattr(daemon, order)()
            else:
                said = await getattr(daemon, order)()
        except ManagedDaemonError as error:
            print(json.dumps({"error": str(error)}), flush=True)
        else:
            print(json.dumps({"said": said}), flush=True)


def main(_reactor, kind: str, directory: str, what: str, options: str) -> Deferred[None]:
    given = json.loads(options)
    if what == "obey":
        return Deferred.fromCoroutine(obey(kind, directory, given))
    return Deferred.fromCoroutine(die_where(kind, directory, given, what.removeprefix("die-")))


if __name__ == "__main__":
    react(main, sys.argv[1:])
