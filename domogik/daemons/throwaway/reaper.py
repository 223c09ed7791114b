"""Nothing is left of throw-away daemons, however the program that made them ends.

A process of its own, one for each program that makes any, waits for the end of that program and
then destroys what is still on its list. The list is a file that the program appends to before it
makes anything; so there is no moment at which a kill -9 would leave a server or a directory.
"""

from __future__ import annotations

import json
import os
import sys
import threading
from pathlib import Path
from typing import ClassVar

# What is large is imported where it is needed: a reaper has nothing to do, as a rule.

_PROGRAM = "from domogik.daemons.throwaway.after_exit import main; main()"


class Reaper:
    """The list of this process; the reaper itself is started with the first that is on it."""

    _of: ClassVar[dict[tuple[int, int], Reaper]] = {}

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._list: Path | None = None
        self._beginning = threading.Lock()

    @classmethod
    def of_this_process(cls) -> Reaper:
        """One for each process; a fork has none yet."""
        return cls.of_process(os.getpid())

    @classmethod
    def of_process(cls, pid: int) -> Reaper:
        """What it is told of does not outlive the process `pid`."""
        ours = os.getpid(), pid
        return cls._of.get(ours) or cls._of.setdefault(ours, cls(pid))

    def watch(self, kind: str, directory: Path, end_signal: str = "KILL") -> None:
        """From now on that directory does not outlive us; raises `OSError`, `CannotStart`.

        `end_signal` is the one that ends a server of that kind at once.
        """
        with self._beginning:
            if self._list is None:
                self._list = self._begin()
        self._append({"kind": kind, "directory": str(directory), "signal": end_signal})

    def done(self, directory: Path) -> None:
        """It is gone already."""
        if self._list is not None:
            self._append({"directory": str(directory)})

    def _append(self, entry: dict[str, str]) -> None:
        assert self._list is not None
        with self._list.open("ab", buffering=0) as file:
            file.write(json.dumps(entry).encode() + b"\n")

    def _begin(self) -> Path:
        import tempfile

        from domogik.supervisor.interfaces import Program
        from domogik.supervisor.processes.identity import ProcessIdentity
        from domogik.supervisor.processes.spawn import execute

        descriptor, path = tempfile.mkstemp(prefix="domogik-reaper-")
        os.close(descriptor)
        watched = ProcessIdentity.of(self._pid)
        argv = (sys.executable, "-c", _PROGRAM, path, str(watched.pid), str(watched.start_ticks))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        output = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
        try:
            execute(Program(argv, environment, Path("/")), output)
        except BaseException:
            Path(path).unlink()
            raise
        finally:
            os.close(output)
        return Path(path)
