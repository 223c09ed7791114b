"""What every kind of daemon promises, kept by the real server: one class for each kind inherits it.

A class names its kind and says how a real client of that server writes, reads and is refused; it
may add what only its own server can do. Everything that is started is destroyed, also by a test
that fails; what is waited for are events.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import psutil
import pytest
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread

from domogik.daemons.core.base import ManagedDaemon
from domogik.daemons.core.errors import ManagedDaemonError
from domogik.supervisor.ports.listeners import listeners
from domogik.supervisor.processes.adoption import ProcessRecord
from domogik.supervisor.processes.identity import ProcessIdentity

reactor: Any = _reactor
ALONE = Path(__file__).with_name("alone.py")
#: what is an error in one quoting or another: each kind's files, SQL, shells and URLs
AWKWARD = 'it\'s "a" p\\w #1 ;{$x} %41 ünï ☃'


def turn(seconds: float = 0.01) -> Deferred[None]:
    waiter: Deferred[None] = Deferred()
    reactor.callLater(seconds, waiter.callback, None)
    return waiter


async def until(condition: Callable[[], bool]) -> None:
    """The time limit is the test's own."""
    while not condition():
        await turn()


def processes_of(directory: Path) -> list[psutil.Process]:
    """Who lives there: stands in it, has it for a home, or bears a mark that is on record there.

    Several, since some servers overwrite what they were started with. No zombies.
    """
    run = directory / "run"
    ids = {
        json.loads(line)["run_id"]
        for record in (run.glob("*.json") if run.is_dir() else ())
        for line in record.read_text().splitlines()
    }
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.pid == os.getpid() or process.status() == psutil.STATUS_ZOMBIE:
                continue
            environment = process.environ()
            if (
                process.cwd().startswith(str(directory))
                or environment.get("DOMOGIK_RUN_ID") in ids
                or environment.get("HOME") == str(directory)
            ):
                found.append(process)
    return found


@contextlib.contextmanager
def taken_port() -> Iterator[int]:
    """Held by this very program."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


class ManagedDaemonCases:
    """Mix it into a `twisted.trial.unittest.TestCase`.

    `write(daemon, text)` and `read(daemon)` are called in a thread and use a real client, with the
    daemon's password; `read` raises when it is refused.
    """

    daemon_class: ClassVar[type[ManagedDaemon]]
    #: of `configure`, for a small and quick one
    options: ClassVar[dict[str, Any]] = {}
    #: whether it knows passwords at all
    takes_password: ClassVar[bool] = True
    #: the name of a directory that it has to live in
    awkward_name: ClassVar[str] = "a dir's ünïcode ☃"
    #: the awkward password; some servers cannot have all of it
    password: ClassVar[str] = AWKWARD
    #: a disk that has just room for it
    small_disk: ClassVar[str] = "16m"
    #: an ordinary user, for servers that have to be one
    user: ClassVar[str | None] = None

    def write(self, daemon: ManagedDaemon, text: str) -> None:
        raise NotImplementedError

    def read(self, daemon: ManagedDaemon) -> str:
        raise NotImplementedError

    def read_without_password(self, daemon: ManagedDaemon) -> str:
        """As `read`, by a client that does not know it."""
        raise NotImplementedError

    # What the cases use

    def setUp(self) -> None:
        # Not below pytest's own, where no other user may go.
        self.top = Path(tempfile.mkdtemp(prefix="domogik-daemon-"))
        self.top.chmod(0o711)
        self.addCleanup(shutil.rmtree, self.top)
        self.directory = self.top / "it"
        self.known: list[ManagedDaemon] = []
        self.addCleanup(self._end_all)

    @property
    def run_as(self) -> str | None:
        if os.geteuid() != 0:
            return None
        return "nobody" if self.daemon_class.refuses_root else self.user

    def make(self) -> ManagedDaemon:
        """One more object."""
        daemon = self.daemon_class(reactor)
        self.known.append(daemon)
        return daemon

    def known_at(self, directory: Path) -> ManagedDaemon:
        daemon = self.make()
        daemon.load_parameters(directory)
        return daemon

    async def configured(self, directory: Path | None = None, **options: Any) -> ManagedDaemon:
        daemon = self.make()
        await daemon.configure(directory or self.directory, **self.given(options))
        return daemon

    def given(self, options: dict[str, Any]) -> dict[str, Any]:
        return {"run_as": self.run_as, **self.options, **options}

    async def running(self, directory: Path | None = None, **options: Any) -> ManagedDaemon:
        daemon = await self.configured(directory, **options)
        await daemon.start()
        return daemon

    async def wrote(self, daemon: ManagedDaemon, text: str) -> None:
        await deferToThread(self.write, daemon, text)

    async def assert_reads(self, daemon: ManagedDaemon, text: str) -> None:
        self.assertEqual(await deferToThread(self.read, daemon), text)

    async def assert_refused(self, operation: Deferred[Any], *words: str) -> ManagedDaemonError:
        """It fails with the kind's own error, which says all of `words`."""
        error = await self.assertFailure(operation, self.daemon_class.error)
        for word in words:
            self.assertIn(word, str(error))
        return error

    async def _end_all(self) -> None:
        for daemon in self.known:
            daemon.release_processes()
        for place in {self.directory, *(marker.parent for marker in self.top.glob("*/.managed"))}:
            for process in processes_of(place):
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
            await until(lambda at=place: not processes_of(at))

    def program(self, what: str, *prefix: str) -> Program:
        """Another program that works in `directory`; see alone.py."""
        argv = [*prefix, sys.executable, str(ALONE), self.daemon_class.kind, str(self.directory)]
        program = Program([*argv, what, json.dumps(self.given({}))])
        self.addCleanup(program.end)
        return program

    # The ordinary way

    async def test_a_fresh_one_serves_and_is_gone_when_it_is_destroyed(self) -> None:
        daemon = self.make()
        await daemon.configure(self.directory, **self.given({}))
        self.assertFalse(daemon.is_running())
        self.assertIsNone(daemon.get_pid())
        self.assertEqual(await daemon.start(), "In appropriate state.")
        self.assertTrue(daemon.is_running())
        await self.wrote(daemon, "one")
        await self.assert_reads(daemon, "one")
        for name in ("service.conf", "service.json"):
            self.assertTrue((self.directory / name).is_file(), name)
        self.assertEqual(stat.S_IMODE(self.directory.stat().st_mode), 0o700)
        port = daemon.get_port()
        await daemon.destroy()
        self.assertFalse(self.directory.exists())
        self.assertEqual(listeners(port), ())
        self.assertEqual(processes_of(self.directory), [])

    async def test_it_starts_again_on_its_data(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        self.assertEqual(await daemon.stop(), "Process has finished.")
        self.assertFalse(daemon.is_running())
        self.assertEqual(processes_of(self.directory), [])
        await daemon.start()
        await self.assert_reads(daemon, "kept")

    async def test_a_start_of_what_runs_is_refused_or_nothing_as_one_asks(self) -> None:
        daemon = await self.running()
        pid = daemon.get_pid()
        await self.assert_refused(daemon.start(), "already running")
        self.assertEqual(await daemon.start_if_not_running(), "Already running.")
        self.assertEqual(daemon.get_pid(), pid)
        await daemon.stop()
        self.assertEqual(await daemon.stop(), "Not running, no action taken.")

    async def test_two_starts_at_once_are_one(self) -> None:
        daemon = await self.configured()
        said = await gatherResults([daemon.start(), daemon.start(), daemon.start_if_not_running()])
        self.assertEqual(said[:2], ["In appropriate state."] * 2)
        self.assertEqual(len({*listeners_of(daemon)}), 1)

    async def test_of_two_programs_that_start_it_at_once_one_does(self) -> None:
        daemon = await self.configured()
        other = self.known_at(self.directory)
        first, second = daemon.start(), other.start()
        results = [await _outcome(first), await _outcome(second)]
        refused = [one for one in results if isinstance(one, Exception)]
        self.assertEqual(len(refused), 1, results)
        self.assertIsInstance(refused[0], self.daemon_class.error)
        self.assertEqual(daemon.get_pid(), other.get_pid())
        await self.wrote(daemon, "one")
        await self.assert_reads(other, "one")

    async def test_another_object_finds_it_and_both_know_when_it_is_stopped(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        other = self.known_at(self.directory)
        self.assertTrue(other.is_running())
        self.assertEqual(other.get_pid(), daemon.get_pid())
        self.assertEqual(other.get_port(), daemon.get_port())
        await self.assert_refused(other.start(), "already running")
        await self.assert_reads(other, "kept")
        await other.stop()
        self.assertFalse(daemon.is_running())
        await daemon.stop()
        await daemon.start()
        await self.assert_reads(other, "kept")

    async def test_a_reload_keeps_the_process(self) -> None:
        daemon = await self.running()
        pid = daemon.get_pid()
        await self.wrote(daemon, "one")
        await daemon.reload()
        self.assertEqual(daemon.get_pid(), pid)
        await self.assert_reads(daemon, "one")
        await daemon.stop()
        await self.assert_refused(daemon.reload(), "not running")

    async def test_callbacks_are_told_what_the_deferreds_fire_with(self) -> None:
        daemon, said = self.make(), []
        failed: list[str] = []
        told = (said.append, lambda sentence, error: failed.append(sentence))
        given = self.given({})
        await daemon.configure(self.directory, callback=told[0], error_callback=told[1], **given)
        await daemon.start(*told)
        await daemon.start_if_not_running(*told)
        await daemon.start(*told)
        await daemon.stop(*told, sig=signal.SIGTERM)
        await daemon.destroy(*told)
        await daemon.start(*told)
        self.assertEqual(
            said,
            [
                daemon.configured_sentence,
                "In appropriate state.",
                "Already running.",
                "Process has finished.",
                f"Removed {daemon.title} instance.",
            ],
        )
        self.assertEqual(len(failed), 2)
        self.assertIn("already running", failed[0])
        self.assertIn("is not configured", failed[1])

    async def test_what_cannot_be_is_the_kinds_own_error_with_the_value(self) -> None:
        for given, word in (
            ({"port": "x"}, "'x'"),
            ({"port": 1.5}, "1.5"),
            ({"port": True}, "True"),
            ({"port": 0}, "0"),
            ({"port": []}, "[]"),
            ({"error_callback": "x"}, "error_callback is of type str"),
            ({"bind_host": 5}, "5"),
            ({"run_as": 5}, "5"),
        ):
            options = {**self.given({}), **given}
            await self.assert_refused(self.make().configure(self.directory, **options), word)
        for place in (5, None, "", "a\0b"):
            await self.assert_refused(self.make().configure(place, **self.given({})), repr(place))
            with self.assertRaises(self.daemon_class.error):
                self.make().load_parameters(place)
        await self.assert_refused(self.make().stop(15), "callback is of type int", "sig=")
        self.assertFalse(self.directory.exists())

    # Where it listens, and for whom

    async def test_it_listens_where_it_was_told_and_nowhere_else(self) -> None:
        daemon = await self.running(bind_host="127.0.0.2")
        self.assertEqual({one.address for one in listeners(daemon.get_port())}, {"127.0.0.2"})
        await self.wrote(daemon, "one")
        await self.assert_reads(daemon, "one")

    async def test_a_password_with_everything_in_it_is_asked_for_and_kept_secret(self) -> None:
        if not self.takes_password:
            await self.assert_refused(self.make().configure(self.directory, password="x"))
            return
        daemon = await self.running(password=self.password)
        await self.wrote(daemon, "secret")
        await self.assert_reads(daemon, "secret")
        error = await _outcome(deferToThread(self.read_without_password, daemon))
        self.assertIsInstance(error, Exception)
        self.assertNotIn(self.password, (self.directory / "service.json").read_text())
        for process in processes_of(self.directory):
            self.assertNotIn(self.password, " ".join(process.cmdline()))
            self.assertNotIn(self.password, process.environ().values())
        self._assert_private(self.directory)
        await daemon.stop()
        await daemon.start()
        await self.assert_reads(self.known_at(self.directory), "secret")

    def _assert_private(self, directory: Path) -> None:
        """Nobody may enter; of its own files those with secrets are not even readable inside."""
        self.assertEqual(stat.S_IMODE(directory.stat().st_mode) & 0o077, 0)
        for path in directory.iterdir():
            if path.is_file():
                self.assertEqual(stat.S_IMODE(path.stat().st_mode) & 0o007, 0, path)
            if path.name in ("password", "service.json", "service.conf"):
                self.assertEqual(stat.S_IMODE(path.stat().st_mode), 0o600, path)

    async def test_it_belongs_to_the_user_it_runs_as(self) -> None:
        if os.geteuid() != 0:
            error = await self.assert_refused(
                self.make().configure(self.directory, **{**self.given({}), "run_as": "root"})
            )
            self.assertIn("only root", str(error))
            return
        daemon = await self.running(run_as="nobody")
        uid = self.directory.stat().st_uid
        self.assertNotEqual(uid, 0)
        self.assertEqual({one.uids().real for one in processes_of(self.directory)}, {uid})
        await self.wrote(daemon, "one")
        await self.assert_reads(daemon, "one")

    async def test_a_server_that_refuses_root_gets_another_user_who_has_to_be_there(self) -> None:
        if os.geteuid() == 0 and self.daemon_class.refuses_root:
            daemon = self.make()
            await daemon.configure(self.directory, **{**self.given({}), "run_as": None})
            self.assertEqual(daemon.parameters.run_as, self.daemon_class.usual_user())
            self.assertNotEqual(self.directory.stat().st_uid, 0)
        options = {**self.given({}), "run_as": "nobody-of-that-name"}
        await self.assert_refused(
            self.make().configure(self.top / "other", **options), "nobody-of-that-name"
        )

    async def test_a_port_that_another_program_has_is_refused_by_its_name(self) -> None:
        name = psutil.Process().name()
        with taken_port() as port:
            operation = self.make().configure(self.top / "other", port=port, **self.given({}))
            await self.assert_refused(operation, str(port), name, str(os.getpid()))
        daemon = await self.configured()
        with socket.create_server(("127.0.0.1", daemon.get_port())):
            await self.assert_refused(
                daemon.start(), str(daemon.get_port()), name, str(os.getpid())
            )
        self.assertFalse(daemon.is_running())
        self.assertEqual(processes_of(self.directory), [])
        await daemon.start()
        await self.wrote(daemon, "one")

    # Where it lives

    async def test_a_path_with_spaces_quotes_and_unicode(self) -> None:
        daemon = await self.running(self.top / self.awkward_name)
        await self.wrote(daemon, "one")
        await daemon.stop()
        await daemon.start()
        await self.assert_reads(daemon, "one")

    async def test_a_path_too_long_for_a_socket_works_or_is_refused_with_words(self) -> None:
        daemon = self.make()
        try:
            await daemon.configure(self.top / ("long" * 30), **self.given({}))
            await daemon.start()
        except self.daemon_class.error as error:
            self.assertIn("long", str(error).replace("longlong", ""))
            self.assertEqual(processes_of(self.top / ("long" * 30)), [])
        else:
            await self.wrote(daemon, "one")
            await self.assert_reads(daemon, "one")

    async def test_a_directory_that_is_not_ours_is_neither_taken_nor_destroyed(self) -> None:
        self.directory.mkdir()
        precious = self.directory / "precious"
        precious.write_text("precious")
        if self.daemon_class.needed_names is None:
            await self.assert_refused(
                self.make().configure(self.directory, **self.given({})), "not made by this program"
            )
        with self.assertRaises(self.daemon_class.error):
            self.make().load_parameters(self.directory)
        daemon = await self.configured(self.top / "ours")
        (self.top / "ours" / ".managed").unlink()
        await self.assert_refused(daemon.destroy(), "not made by this program")
        self.assertTrue((self.top / "ours" / "service.json").exists())
        self.assertEqual(precious.read_text(), "precious")

    async def test_a_directory_of_another_kind_or_a_link_is_refused(self) -> None:
        self.directory.mkdir()
        (self.directory / ".managed").write_text('{"format": 1, "kind": "gopher", "id": "1"}')
        await self.assert_refused(self.make().configure(self.directory, **self.given({})), "gopher")
        await self.configured(self.top / "ours")
        link = self.top / "link"
        link.symlink_to(self.top / "ours")
        with self.assertRaises(self.daemon_class.error):
            self.make().load_parameters(link)
        await self.assert_refused(self.make().configure(link, **self.given({})), "directory")

    async def test_broken_parameters_are_told_and_the_data_stay(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        await daemon.stop()
        path = daemon.get_parameters_path(self.directory)
        good = path.read_bytes()
        for broken in (b"", b"{", b"[]", b"\xff\xfe", b'{"format": 99}', b"[" * 100_000, None):
            if broken is None:
                path.unlink()
            else:
                path.write_bytes(broken)
            with self.assertRaises(self.daemon_class.error) as caught:
                self.make().load_parameters(self.directory)
            self.assertIn("service.json", str(caught.exception))
            await self.assert_refused(
                self.make().configure(self.directory, **self.given({})), "service.json"
            )
        path.write_bytes(good)
        await daemon.start()
        await self.assert_reads(daemon, "kept")

    # What becomes of it when something is killed

    async def test_one_that_was_killed_is_not_running_and_starts_again(self) -> None:
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        os.kill(daemon.get_pid(), signal.SIGKILL)
        await until(lambda: not daemon.is_running())
        self.assertIsNone(daemon.get_pid())
        await daemon.start()
        await self.wrote(daemon, "again")
        await self.assert_reads(daemon, "again")

    async def test_of_one_that_was_killed_while_nobody_watched_nobody_is_left(self) -> None:
        daemon = await self.running()
        pid = daemon.get_pid()
        daemon.release_processes()
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not daemon.is_running())
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, 0)
        other = self.known_at(self.directory)
        self.assertFalse(other.is_running())
        begun = reactor.seconds()
        await other.stop()  # nothing of it is left, and none is started in its place
        self.assertLess(reactor.seconds() - begun, 10)  # Apache's workers would take 20 s to go
        self.assertEqual(processes_of(self.directory), [])
        self.assertFalse(other.is_running())
        await other.start()
        await self.wrote(other, "again")
        await self.assert_reads(other, "again")
        await other.destroy()
        self.assertEqual(processes_of(self.directory), [])

    async def test_a_stale_pid_file_that_names_a_stranger_harms_nobody(self) -> None:
        daemon = await self.running()
        await daemon.stop()
        stranger = self._stranger()
        daemon.get_pid_path().parent.mkdir(exist_ok=True)
        for content in (f"{stranger.pid}\n", "rubbish\n1\n", ""):
            daemon.get_pid_path().write_text(content)
            self.assertFalse(daemon.is_running())
            self.assertIsNone(daemon.get_pid())
            self.assertEqual(await daemon.stop(), "Not running, no action taken.")
            daemon.get_pid_path().write_text(content)
        await daemon.start()
        self.assertNotEqual(daemon.get_pid(), stranger.pid)
        await daemon.destroy()
        self.assertIsNone(stranger.poll())

    async def test_a_stranger_with_the_number_of_our_process_is_left_alone(self) -> None:
        daemon = await self.configured()
        stranger = self._stranger()
        now = ProcessIdentity.of(stranger.pid)
        was = ProcessIdentity(now.pid, now.start_ticks - 1, now.boot_id)
        daemon.directory.records.begin(ProcessRecord(f"daemon:{daemon.kind}", "gone", 1.0, was))
        other = self.known_at(self.directory)
        self.assertFalse(other.is_running())
        self.assertEqual(await other.stop(), "Not running, no action taken.")
        await other.start()
        await other.destroy()
        self.assertIsNone(stranger.poll())

    def _stranger(self) -> subprocess.Popen:
        stranger = subprocess.Popen(["sleep", "1000"])
        self.addCleanup(_end_program, stranger)
        return stranger

    async def test_a_configure_that_was_killed_is_begun_again(self) -> None:
        for where in ("before", "within", "after"):
            await self.program(f"die-{where}").ended()
            daemon = await self.running()
            await self.wrote(daemon, where)
            await self.assert_reads(daemon, where)
            self.assertFalse((self.directory / "data" / "half").exists())
            await daemon.destroy()

    async def test_a_tool_whose_program_was_killed_goes_with_its_directory(self) -> None:
        daemon = await self.configured()
        mark = {**os.environ, "DOMOGIK_RUN_ID": daemon.directory.id}
        tool = subprocess.Popen(["sleep", "1000"], env=mark, start_new_session=True)
        self.addCleanup(_end_program, tool)
        environment = Path(f"/proc/{tool.pid}/environ")
        while not environment.read_bytes():  # a moment of each exec, as long as the kernel likes
            await deferLater(reactor, 0.01)
        await daemon.destroy()
        await deferToThread(tool.wait)

    async def test_it_outlives_the_program_that_started_it_and_is_found_again(self) -> None:
        program = self.program("obey")
        await program.does("configure")
        await program.does("start")
        pid = await program.does("get_pid")
        program.end()
        daemon = self.known_at(self.directory)
        self.assertTrue(daemon.is_running())
        self.assertEqual(daemon.get_pid(), pid)
        await self.wrote(daemon, "one")
        await self.assert_reads(daemon, "one")
        await daemon.destroy()
        self.assertEqual(processes_of(self.directory), [])

    async def test_a_full_disk_is_told_and_nothing_is_lost(self) -> None:
        program = self.program("obey", *small_disk(self.top, self.small_disk))
        await program.asks("full")
        self.assertIn("space", (await program.asks("configure"))["error"].lower())
        await program.does("free")
        await program.does("configure")
        await program.does("start")
        daemon = self.daemon_class(reactor)
        seen = Path(f"/proc/{program.pid}/root{self.directory}")  # a disk that only it sees
        daemon.load_parameters(seen)
        await self.wrote(daemon, "kept")
        await program.does("full")
        await program.asks("stop")
        await program.asks("start")
        await program.does("free")
        await program.does("start_if_not_running")
        await self.assert_reads(daemon, "kept")
        await program.does("destroy")
        self.assertEqual(processes_of(self.directory), [])

    # What goes wrong with its program

    async def test_a_missing_program_is_named(self) -> None:
        operation = self.make().configure(
            self.directory, **self.given({"binary": "/nowhere/server"})
        )
        try:
            await operation
        except self.daemon_class.error as error:
            self.assertIn("/nowhere/server", str(error))
        else:
            await self.assert_refused(self.known[-1].start(), "/nowhere/server")

    async def test_an_option_nobody_knows_is_refused(self) -> None:
        await self.assert_refused(
            self.make().configure(self.directory, gopher=1, **self.given({})), "gopher"
        )
        self.assertFalse((self.directory / "service.json").exists())


def listeners_of(daemon: ManagedDaemon) -> list[Any]:
    return list(listeners(daemon.get_port()))


async def _outcome(operation: Deferred[Any]) -> Any:
    try:
        return await operation
    except Exception as error:
        return error


def _end_program(process: subprocess.Popen) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    process.wait()


class Program:
    """alone.py, and what it says."""

    def __init__(self, argv: list[str]) -> None:
        self._process = subprocess.Popen(
            argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )
        self.pid = self._process.pid

    async def asks(self, order: str) -> dict[str, Any]:
        """Have it done; the answer is `{"said": ...}` or `{"error": ...}`."""
        self._process.stdin.write(f"{order}\n")
        self._process.stdin.flush()
        return json.loads(await deferToThread(self._process.stdout.readline))

    async def does(self, order: str) -> Any:
        """Have it done without an error."""
        answer = await self.asks(order)
        if "error" in answer:
            raise AssertionError(f"{order}: {answer['error']}")
        return answer["said"]

    async def ended(self) -> None:
        await deferToThread(self._process.wait)

    def end(self) -> None:
        """kill -9; and whoever shares a disk with it that only they can see."""
        companions = _same_disks(self.pid) if self._process.poll() is None else []
        _end_program(self._process)
        for process in companions:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.stdin.close()
        self._process.stdout.close()


def _same_disks(pid: int) -> list[psutil.Process]:
    """Who lives in the mount namespace of `pid`, where that is not our own."""
    spaces = {}
    for process in psutil.process_iter():
        with contextlib.suppress(OSError):
            spaces[process] = Path(f"/proc/{process.pid}/ns/mnt").readlink()
    wanted = Path(f"/proc/{pid}/ns/mnt").readlink()
    if wanted == Path("/proc/self/ns/mnt").readlink():
        return []
    return [process for process, space in spaces.items() if space == wanted]


def small_disk(directory: Path, size: str) -> tuple[str, ...]:
    """In front of a command: `directory` is a disk of that size, for that command alone."""
    if os.geteuid() != 0:
        if os.environ.get("CI") == "true":
            pytest.fail("a small disk needs root's rights")
        pytest.skip("a small disk needs root's rights")
    mount = f"mount -t tmpfs -o size={size},mode=711 none '{directory}' && exec \"$@\""
    return ("unshare", "--mount", "sh", "-c", mount, "sh")
