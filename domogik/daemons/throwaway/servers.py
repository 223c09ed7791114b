"""Servers that are made, used and gone: for tests, and for a while in a shell."""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from domogik.answers import answer_of
from domogik.daemons.core import arguments
from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.directory import WorkingDirectory
from domogik.daemons.core.errors import NotOurs
from domogik.daemons.core.parameters import Option
from domogik.daemons.core.standalone import end_marked
from domogik.daemons.throwaway.reaper import Reaper
from domogik.supervisor.ports.listeners import listeners
from domogik.supervisor.processes.host import HostProcesses, Started
from domogik.supervisor.processes.leftovers import look_for
from domogik.supervisor.processes.membership import ProcessTable

_TRIES = 5
_NAMED = ("TMPDIR", "TEMP", "TMP")  # as `tempfile` looks at them
_MEMORY = Path("/dev/shm")  # noqa: S108 - each directory in it has a random name
_ENOUGH = 2**30  # bytes; a container has 64 MB, unless it was told otherwise


def begin(
    daemon: ManagedDaemon,
    *,
    directory: str | os.PathLike[str] | None = None,
    port: int | None = None,
    bind_host: str = "127.0.0.1",
    password: str | None = None,
    run_as: str | None = None,
    **options: Option,
) -> Deferred[ManagedDaemon]:
    """Fires with `daemon` when it serves; nothing is left of it when it cannot.

    The options are those of `configure`. Without a `directory` a new one is made in memory, or
    where temporary files are (see `place_for`); without a `port` a free one is found, another one
    if another program took it; a server that refuses root gets an ordinary user. Nothing outlives
    this program: see `Reaper`. Fails with the kind's error.
    """
    daemon.checks_first = False
    if "fsync" in daemon.defaults:  # what is gone soon need not outlast a power cut
        options = {"fsync": False, **options}
    wanted = dict(bind_host=bind_host, password=password, run_as=run_as, **options)
    return answer_of(_begin(daemon, directory, port, wanted))


async def _begin(
    daemon: ManagedDaemon,
    directory: str | os.PathLike[str] | None,
    port: int | None,
    wanted: dict[str, Any],
) -> ManagedDaemon:
    with daemon.translated(f"{daemon.title} was not made"):
        place = _place(daemon, directory)
        Reaper.of_this_process().watch(daemon.kind, place, daemon.end_signal)
    try:
        await daemon.configure(place, port=port, **wanted)
        for _ in range(_TRIES if port is None else 0):
            with contextlib.suppress(daemon.error):
                await daemon.start()
                return daemon
            if not listeners(daemon.get_port()):
                break
            await daemon.configure(place, port=_another_port(daemon), **wanted)
        await daemon.start()
    except BaseException:
        await _end(daemon, place)
        raise
    return daemon


def _place(daemon: ManagedDaemon, directory: str | os.PathLike[str] | None) -> Path:
    if directory is None:
        where = place_for(type(daemon), os.environ)
        return Path(tempfile.mkdtemp(prefix=f"domogik-{daemon.kind}-", dir=where))
    place = arguments.absolute_path(directory)
    if place.exists() and any(place.iterdir()):
        raise NotOurs(f"{place} is not empty, and all of it would be removed in the end")
    return place


def place_for(kind: type[ManagedDaemon], environment: Mapping[str, str]) -> Path | None:
    """Return where the directory of a throw-away server is made; None for `tempfile.gettempdir()`.

    That is /dev/shm, in memory, where it has a GiB free and no other place is named in
    TMPDIR: the thousand files of a PostgreSQL are copied there in a tenth of the time.
    """
    if not kind.may_lie_in_memory or any(environment.get(name) for name in _NAMED):
        return None
    try:
        free = os.statvfs(_MEMORY)
    except OSError:
        return None
    is_ours = os.access(_MEMORY, os.W_OK | os.X_OK)
    return _MEMORY if is_ours and free.f_bavail * free.f_frsize >= _ENOUGH else None


def _another_port(daemon: ManagedDaemon) -> int:
    reservation = daemon.tools.ports.reserve(daemon.parameters.host)
    reservation.release()
    return reservation.port


def end(daemon: ManagedDaemon, directory: Path) -> Deferred[None]:
    """Fires when nothing is left in `directory`, nor that itself, whatever state it was in.

    It has to be one that `begin` made, or was told to use. `daemon` may be any of its kind.
    """
    return answer_of(_end(daemon, directory))


async def _end(daemon: ManagedDaemon, directory: Path) -> None:
    try:
        daemon.load_parameters(directory)
        await daemon.destroy()
    except daemon.error:
        await _clear_away(daemon, WorkingDirectory(directory, daemon.kind))
    Reaper.of_this_process().done(directory)


async def _clear_away(daemon: ManagedDaemon, place: WorkingDirectory) -> None:
    """A directory that was never finished, or is damaged: by its marks."""
    daemon.release_processes()
    processes = HostProcesses(daemon.reactor, ProcessTable(daemon.reactor))
    found = look_for(place.record, processes)
    someone = found.leader or found.member
    if found.record is not None and someone is not None:
        started = Started(someone, found.record.run_id)
        await processes.end(started, exited=False, signal="KILL", timeout=0)
    with contextlib.suppress(NotOurs):
        await end_marked(daemon.reactor, place.id)
    with contextlib.suppress(FileNotFoundError):
        await daemon.tools.in_thread(shutil.rmtree, place.path)
