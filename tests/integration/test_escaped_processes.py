"""A grandchild that does everything to get away from its component is ended with it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import attrs
import pytest
from twisted.internet.process import reapProcessHandlers
from twisted.internet.task import Clock

from domogik.supervisor.processes import spawn
from domogik.supervisor.processes.cgroups import Groups, run_ids_of
from domogik.supervisor.processes.identity import NoSuchProcess, read_stat
from domogik.supervisor.processes.subreaper import Orphans

pytestmark = pytest.mark.integration

_PATIENCE = 30.0

#: starts somebody who escapes, and goes on, or ends when it is told to by a file
PLUGIN = """
import os, signal, socket, sys, time
directory = os.getcwd()
if os.fork() == 0:
    os.setsid()
    if os.fork() > 0:
        os._exit(0)
    os.setsid() if os.getpid() != os.getsid(0) else None
    os.chdir("/")
    os.closerange(0, 256)
    {more}
    os.execve(sys.executable, [sys.executable, "-S", "-c", '''
import os, time
with open("%s/escaped.new", "w") as file:
    file.write(str(os.getpid()))
os.rename("%s/escaped.new", "%s/escaped")
while not os.path.exists("%s/end"):
    time.sleep(0.02)
''' % ((directory,) * 4)], {{}})
os.wait()
while not os.path.exists("escaped"):
    time.sleep(0.01)
with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as s:
    address = os.environ["NOTIFY_SOCKET"]
    s.connect("\\0" + address[1:] if address.startswith("@") else address)
    s.send(b"READY=1")
while True:
    time.sleep(1000)
"""

#: takes even the mark away
UNMARKED = "import resource; resource.setrlimit(resource.RLIMIT_RTTIME, (-1, -1))"

MANAGER = """
import json, os, random, signal, sys, time
from pathlib import Path
from twisted.internet import reactor
from domogik.supervisor.processes import subreaper as orphans
from domogik.supervisor.processes.confinement import Confinement
from domogik.supervisor.interfaces import *
from domogik.supervisor.processes.subreaper import Orphans
from domogik.supervisor.service import Supervisor

orphans.LOOK_S = orphans._FIRST_LOOK_S = 0.05
directory, hierarchies = Path(sys.argv[1]), tuple(json.loads(sys.argv[2]))
def changed(id, before, after):
    print(json.dumps([after.state.value, after.pid, after.adopted, after.reason]), flush=True)
supervisor = Supervisor(
    reactor, directory / "run", directory / "log", on_change=changed, wall_clock=time.time,
    random=random.random, confinement=Confinement(Orphans(reactor), hierarchies))
def stop(*_):
    def now():
        supervisor.stopService().addCallback(lambda _: reactor.stop())
    reactor.callFromThread(now)
signal.signal(signal.SIGTERM, stop)
def keep(*_):
    supervisor.keep_children = True
    stop()
signal.signal(signal.SIGUSR1, keep)
supervisor.startService()
program = Program((sys.executable, "-S", "program.py"), dict(os.environ), directory)
supervisor.configure(
    Specification("plugin:it", program, Policy(restart=Restart.NO), Readiness.NOTIFY))
print(json.dumps(list(supervisor.confinement.in_force())), flush=True)
if not supervisor.status("plugin:it").adopted:
    supervisor.start("plugin:it").addErrback(lambda _: None)
reactor.run(installSignalHandlers=False)
"""


def _until(condition: Callable[[], object]) -> object:
    deadline = time.monotonic() + _PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.02)
    return found


def _lives(pid: int) -> bool:
    try:
        return not read_stat(pid).is_gone
    except NoSuchProcess:
        return False


def _is_there(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists()


@attrs.define
class Scene:
    directory: Path
    hierarchies: list[str]
    managers: list[subprocess.Popen[str]] = attrs.field(factory=list)

    def plugin(self, more: str = "") -> None:
        (self.directory / "program.py").write_text(PLUGIN.format(more=more))

    def manager(self) -> subprocess.Popen[str]:
        made = subprocess.Popen(
            [sys.executable, "-c", MANAGER, str(self.directory), json.dumps(self.hierarchies)],
            stdout=subprocess.PIPE,
            text=True,
        )
        self.managers.append(made)
        return made

    def escaped(self) -> int:
        path = self.directory / "escaped"
        _until(path.exists)
        return int(path.read_text())

    def until_running(self, manager: subprocess.Popen[str]) -> int:
        assert manager.stdout is not None
        for line in manager.stdout:
            if (told := json.loads(line))[0] == "running":
                return int(told[1])
        raise AssertionError("it ended")

    def close(self) -> None:
        (self.directory / "end").touch()
        for manager in self.managers:
            if manager.poll() is None:
                manager.terminate()
                manager.wait(_PATIENCE)
            if manager.stdout is not None:
                manager.stdout.close()


@pytest.fixture(params=["", "pids", None], ids=["version-2", "version-1", "no-group"])
def scene(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Scene]:
    hierarchies = [] if request.param is None else [request.param]
    if hierarchies and Groups.find(tuple(hierarchies)).place is None:
        pytest.fail("no such control group may be made here")
    made = Scene(tmp_path, hierarchies)
    yield made
    made.close()


def test_a_stop_ends_a_grandchild_that_did_everything_to_get_away(scene: Scene) -> None:
    scene.plugin()
    manager = scene.manager()
    scene.until_running(manager)
    pid = scene.escaped()
    assert read_stat(pid).parent == manager.pid
    assert Path(f"/proc/{pid}/environ").read_bytes() == b""
    manager.terminate()
    assert manager.wait(_PATIENCE) == 0
    assert not _lives(pid)


def test_who_escaped_is_ended_with_a_component_that_dies(scene: Scene) -> None:
    scene.plugin()
    leader = scene.until_running(scene.manager())
    pid = scene.escaped()
    os.kill(leader, signal.SIGKILL)
    _until(lambda: not _is_there(pid))


def test_who_escaped_and_ends_by_itself_is_collected(scene: Scene) -> None:
    scene.plugin()
    leader = scene.until_running(scene.manager())
    pid = scene.escaped()
    (scene.directory / "end").touch()
    _until(lambda: not _is_there(pid))
    assert _lives(leader)


def test_who_escaped_is_ended_after_the_death_of_the_manager(scene: Scene) -> None:
    scene.plugin()
    first = scene.manager()
    leader = scene.until_running(first)
    pid = scene.escaped()
    first.kill()
    first.wait(_PATIENCE)
    second = scene.manager()
    assert scene.until_running(second) == leader
    second.terminate()
    assert second.wait(_PATIENCE) == 0
    assert not _lives(pid)


def test_children_that_are_kept_keep_who_escaped_from_them(scene: Scene) -> None:
    scene.plugin()
    first = scene.manager()
    leader = scene.until_running(first)
    pid = scene.escaped()
    first.send_signal(signal.SIGUSR1)
    assert first.wait(_PATIENCE) == 0
    assert _lives(pid)
    second = scene.manager()
    assert scene.until_running(second) == leader
    second.terminate()
    assert second.wait(_PATIENCE) == 0
    assert not _lives(pid)


@pytest.mark.parametrize("scene", ["", "pids"], ids=["version-2", "version-1"], indirect=True)
def test_who_takes_even_its_mark_away_stays_in_its_control_group(scene: Scene) -> None:
    scene.plugin(UNMARKED)
    manager = scene.manager()
    scene.until_running(manager)
    pid = scene.escaped()
    manager.terminate()
    assert manager.wait(_PATIENCE) == 0
    assert not _lives(pid)


def test_no_group_is_left_when_nobody_is(scene: Scene) -> None:
    scene.plugin()
    manager = scene.manager()
    leader = scene.until_running(manager)
    (run_id,) = run_ids_of(leader) if scene.hierarchies else ("",)
    place = Groups.find(tuple(scene.hierarchies)).place
    assert place is None or (place / f"domogik-run-{run_id}").exists()
    manager.terminate()
    assert manager.wait(_PATIENCE) == 0
    assert place is None or not (place / f"domogik-run-{run_id}").exists()


def test_who_is_watched_by_twisted_or_by_us_is_collected_by_its_watcher_only() -> None:
    ours, twisted, nobodys = (os.spawnv(os.P_NOWAIT, "/bin/true", ["true"]) for _ in range(3))
    _until(lambda: not any(_lives(pid) for pid in (ours, twisted, nobodys)))
    spawn.watched.add(ours)
    reapProcessHandlers[twisted] = None  # type: ignore[assignment]
    try:
        orphans = Orphans(Clock())
        orphans.look()
        assert _is_there(nobodys), "somebody may still be about to collect it"
        orphans.look()
        assert not _is_there(nobodys)
        assert os.waitpid(ours, os.WNOHANG) == (ours, 0)
        assert os.waitpid(twisted, os.WNOHANG) == (twisted, 0)
    finally:
        spawn.watched.discard(ours)
        del reapProcessHandlers[twisted]
