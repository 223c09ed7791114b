"""What nginx and Apache promise beside what every kind of daemon does."""

from __future__ import annotations

import http.client
import os
import signal
import socket
from typing import ClassVar

import psutil
import treq
from daemons.cases import ManagedDaemonCases, until
from daemons.supervised import ID, supervised
from twisted.internet.threads import deferToThread

from domogik.components.model import State
from domogik.daemons.web.server import WebDaemon
from domogik.supervisor.ports.listeners import listeners


class WebCases(ManagedDaemonCases):
    """To be mixed in as `ManagedDaemonCases` is, of which it is one."""

    daemon_class: type[WebDaemon]
    #: what is in its log after a start and a request for `/nowhere`
    said: ClassVar[str]
    takes_password = False
    small_disk = "1m"

    def get(self, daemon, path="/what", **headers):
        host = daemon.parameters.reachable_host
        connection = http.client.HTTPConnection(host, daemon.get_port(), timeout=60)
        try:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read().decode(), dict(answer.getheaders())
        finally:
            connection.close()

    def write(self, daemon, text):
        path = daemon.root / "what"
        path.write_text(text)
        path.chmod(0o644)

    def read(self, daemon):
        status, text, _ = self.get(daemon)
        assert status == 200, (status, text)
        return text

    async def test_its_files_have_media_types_and_treq_reads_them(self) -> None:
        daemon = await self.running()
        for name, type in (
            ("page.html", "text/html"),
            ("code.js", "text/javascript"),
            ("drawing.svg", "image/svg+xml"),
        ):
            (daemon.root / name).write_text("<x/>")
            (daemon.root / name).chmod(0o644)
            answer = await treq.get(f"{daemon.url}{name}", persistent=False)
            self.assertEqual(answer.code, 200)
            self.assertEqual(await answer.text(), "<x/>")
            [found] = answer.headers.getRawHeaders("Content-Type")
            self.assertEqual(found.partition(";")[0], type)

    async def test_it_serves_by_ipv6(self) -> None:
        daemon = await self.running(bind_host="::1")
        self.assertEqual(daemon.url, f"http://[::1]:{daemon.get_port()}/")
        await self.wrote(daemon, "six")
        await self.assert_reads(daemon, "six")
        self.assertEqual({one.address for one in listeners(daemon.get_port())}, {"::1"})

    async def test_a_directory_of_somebody_else_is_served_where_it_is(self) -> None:
        root = self.top / "some where ☃"
        root.mkdir(mode=0o755)
        daemon = await self.running(root=str(root))
        await self.wrote(daemon, "there")
        self.assertEqual((root / "what").read_text(), "there")
        await self.assert_reads(daemon, "there")
        await daemon.destroy()
        self.assertTrue((root / "what").exists())

    async def test_of_a_killed_one_no_worker_keeps_the_port(self) -> None:
        daemon = await self.running()
        workers = psutil.Process(daemon.get_pid()).children()
        self.assertTrue(workers)
        os.kill(daemon.get_pid(), signal.SIGKILL)
        await until(lambda: all(has_ended(one) for one in workers))
        self.assertEqual(listeners(daemon.get_port()), ())
        await daemon.start()
        await self.wrote(daemon, "again")
        await self.assert_reads(daemon, "again")

    async def test_a_manager_keeps_it_running_and_has_its_words(self) -> None:
        """Its output is a FIFO that belongs to the manager, and not to the user in `run_as`."""
        daemon = self.make()
        await daemon.configure(self.directory, **self.given({}))
        await self.wrote(daemon, "kept")
        supervisor = supervised(self, daemon)
        await supervisor.start(ID)
        first = psutil.Process(supervisor.status(ID).pid)
        workers = first.children()
        self.assertTrue(workers)
        first.kill()
        await until(lambda: supervisor.status(ID).restarts == 1)
        await until(lambda: supervisor.status(ID).state is State.ALIVE)
        self.assertTrue(all(has_ended(one) for one in workers))
        await self.assert_reads(daemon, "kept")
        await deferToThread(self.get, daemon, "/nowhere")
        await supervisor.stop(ID)
        self.assertEqual(listeners(daemon.get_port()), ())
        self.assertIn(self.said, supervisor.output(ID).file.read_text())

    async def test_a_request_that_is_under_way_is_finished_by_a_stop(self) -> None:
        daemon = await self.running()
        (daemon.root / "large").write_bytes(b"x" * 2**24)
        (daemon.root / "large").chmod(0o644)
        with socket.create_connection(("127.0.0.1", daemon.get_port())) as client:
            client.settimeout(60)
            client.sendall(b"GET /large HTTP/1.0\r\n\r\n")
            first = await deferToThread(client.recv, 1000)
            stopping = daemon.stop()
            received = len(first) + await deferToThread(_rest, client)
        self.assertGreater(received, 2**24)
        self.assertEqual(await stopping, "Process has finished.")

    async def test_what_requests_it_had_is_written_down_when_it_is_asked_to(self) -> None:
        daemon = await self.running(access_log=True)
        await deferToThread(self.get, daemon, "/nowhere")
        await daemon.stop()
        self.assertIn("GET /nowhere", (self.directory / "log/access.log").read_text())

    async def test_to_be_asked_how_it_is_is_no_error_in_its_log(self) -> None:
        daemon = await self.running()
        await daemon.probe()
        await daemon.stop()
        log = self.directory / "log" / f"{daemon.kind}.log"
        self.assertNotIn("error]", log.read_text())

    async def test_what_makes_no_sense_is_refused_before_anything_is_made(self) -> None:
        for options in ({"root": 3}, {"root": ""}, {"workers": 0}, {"workers": "many"}):
            await self.assert_refused(
                self.make().configure(self.directory, **self.given(options)), *options
            )
            self.assertFalse((self.directory / "service.json").exists())


def has_ended(process):
    """Zombies have: whose parent they are now collects them when it likes."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def _rest(client):
    count = 0
    while data := client.recv(2**20):
        count += len(data)
    return count
