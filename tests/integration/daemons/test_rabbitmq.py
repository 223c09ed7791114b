"""RabbitMQ itself, in a directory of its own. It takes its time to start: few starts here."""

from __future__ import annotations

import contextlib
import os
import signal

import pika
import pika.exceptions
import psutil
import pytest
from daemons.cases import ManagedDaemonCases, processes_of, reactor, taken_port, until
from daemons.supervised import ID, supervised
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.components.model import State
from domogik.daemons.rabbitmq.daemon import ManagedRabbitMQ, RabbitMQDaemon
from domogik.supervisor.ports.listeners import listeners

pytestmark = pytest.mark.integration


class RabbitMQTests(ManagedDaemonCases, TestCase):
    daemon_class = RabbitMQDaemon
    awkward_name = 'a "dir" ünïcode ☃'
    small_disk = "128m"
    timeout = 600

    # what depends on no server, and is kept for the others
    test_a_start_of_what_runs_is_refused_or_nothing_as_one_asks = None
    test_two_starts_at_once_are_one = None
    test_of_two_programs_that_start_it_at_once_one_does = None
    test_another_object_finds_it_and_both_know_when_it_is_stopped = None
    test_a_stranger_with_the_number_of_our_process_is_left_alone = None

    @contextlib.contextmanager
    def channel(self, daemon, url=None):
        connection = pika.BlockingConnection(pika.URLParameters(url or daemon.url))
        try:
            yield connection.channel()
        finally:
            connection.close()

    def write(self, daemon, text):
        """A persistent message in a durable queue, and nothing else in it."""
        with self.channel(daemon) as channel:
            channel.confirm_delivery()
            channel.queue_declare("what", durable=True)
            channel.queue_purge("what")
            channel.basic_publish(
                "", "what", text.encode(), pika.BasicProperties(delivery_mode=2), mandatory=True
            )

    def read(self, daemon, url=None):
        with self.channel(daemon, url) as channel:
            method, _, body = channel.basic_get("what")
            channel.basic_reject(method.delivery_tag, requeue=True)
            return body.decode()

    def read_without_password(self, daemon):
        return self.read(daemon, f"amqp://guest:guest@127.0.0.1:{daemon.get_port()}/%2F")

    async def assert_not_let_in(self, daemon, url):
        await self.assertFailure(
            deferToThread(self.read, daemon, url), pika.exceptions.ProbableAuthenticationError
        )

    async def test_a_path_that_its_scripts_cannot_quote_is_refused_at_once(self) -> None:
        await self.assert_refused(
            self.make().configure(self.top / "it's", **self.given({})), "it's", "no quoting"
        )

    async def test_a_purpose_and_a_password_by_position_are_told_apart_by_name(self) -> None:
        operation = self.make().configure(self.directory, None, "127.0.0.1", "which")
        await self.assert_refused(operation, "'which'", "nodepurpose=", "password=")

    async def test_only_its_own_port_is_for_others_and_epmd_ends_with_it(self) -> None:
        daemon = await self.running(bind_host="0.0.0.0", nodepurpose="testing")
        family = processes_of(self.directory)
        names = {one.name() for one in family}
        self.assertIn("epmd", names)
        found = {
            (one.laddr.port, one.laddr.ip)
            for process in family
            for one in process.net_connections()
            if one.status == psutil.CONN_LISTEN
        }
        ports = (daemon.get_port(), daemon.option("dist_port"), daemon.option("epmd_port"))
        self.assertEqual({port for port, _ in found}, set(ports))
        for port, address in found:
            if port == daemon.get_port():
                self.assertEqual(address, "0.0.0.0")
            else:
                self.assertIn(address, ("127.0.0.1", "::1"))
        for end in (self.kill_it, daemon.stop, daemon.destroy):
            await daemon.start_if_not_running()
            await end()
            self.assertEqual(processes_of(self.directory), [])
            for port in ports:
                self.assertEqual(listeners(port), ())

    async def test_a_configure_that_was_killed_is_begun_again(self) -> None:
        """No start within it, unlike the others': one start shows that nothing is amiss."""
        for where in ("before", "after"):
            await self.program(f"die-{where}").ended()
            daemon = await self.configured()
            self.assertFalse((self.directory / "data" / "half").exists())
            if where == "before":
                await daemon.destroy()
        await daemon.start()
        await self.wrote(daemon, "one")
        await self.assert_reads(daemon, "one")

    async def kill_it(self):
        [daemon] = self.known
        pid = daemon.get_pid()
        self.assertEqual(psutil.Process(pid).name(), "beam.smp")
        self.assertEqual(int(daemon.get_pid_path().read_text()), pid)
        os.kill(pid, signal.SIGKILL)
        await until(lambda: not processes_of(self.directory))

    async def test_a_manager_keeps_it_running_as_another_user(self) -> None:
        """Whose socket for news that user may not use, as the manager may be root."""
        daemon = self.make()
        run_as = "nobody" if os.geteuid() == 0 else None
        await daemon.configure(self.directory, **self.given({"run_as": run_as}))
        supervisor = supervised(self, daemon)
        await supervisor.start(ID)
        await self.wrote(daemon, "kept")
        os.kill(supervisor.status(ID).pid, signal.SIGKILL)
        await until(lambda: supervisor.status(ID).restarts == 1)
        await until(lambda: supervisor.status(ID).state is State.ALIVE)
        # what was declared just now may not be on the disk yet, and is lost with a kill
        await self.wrote(daemon, "again")
        await self.assert_reads(daemon, "again")
        await supervisor.stop(ID)
        self.assertEqual(processes_of(self.directory), [])

    async def test_a_new_password_counts_from_a_reload_or_the_next_start(self) -> None:
        daemon = await self.running(password="the first")
        await self.wrote(daemon, "kept")
        first, pid = daemon.url, daemon.get_pid()
        await daemon.configure(self.directory, **self.given({"password": "the second"}))
        await daemon.reload()
        self.assertEqual(daemon.get_pid(), pid)
        await self.assert_reads(daemon, "kept")
        await self.assert_not_let_in(daemon, first)
        second = daemon.url
        await daemon.configure(self.directory, **self.given({"password": "the third"}))
        await daemon.stop()
        await daemon.start()
        await self.assert_reads(daemon, "kept")
        await self.assert_not_let_in(daemon, second)

    async def test_one_that_knows_another_password_is_hopeless_and_says_so(self) -> None:
        class Forgetful(RabbitMQDaemon):
            def configuration(self):
                return {**super().configuration(), "definitions.json": remembered}

        daemon = await self.configured(password="the first")
        remembered = daemon.configuration()["definitions.json"]
        daemon = Forgetful(reactor)
        self.known.append(daemon)
        await daemon.configure(self.directory, **self.given({"password": "the second"}))
        await self.assert_refused(daemon.start(), "another password")
        self.assertEqual(processes_of(self.directory), [])

    async def test_it_is_reached_by_ipv6(self) -> None:
        daemon = await self.running(bind_host="::1")
        self.assertIn("@[::1]:", daemon.url)
        await self.wrote(daemon, "six")
        await self.assert_reads(daemon, "six")

    async def test_what_was_chosen_stays(self) -> None:
        daemon = await self.configured()
        before = daemon.parameters
        self.assertGreaterEqual(len(before.password), 24)
        self.assertEqual(
            len({before.port, before.options["dist_port"], before.options["epmd_port"]}), 3
        )
        self.assertTrue(daemon.is_configured_as(None, "127.0.0.1", None, None, {}))
        await daemon.configure(self.directory, **self.given({}))
        self.assertEqual(daemon.parameters, before)
        self.assertEqual(self.known_at(self.directory).parameters, before)
        for name, value in (("user", "other"), ("nodepurpose", "other")):
            self.assertFalse(daemon.is_configured_as(None, "127.0.0.1", None, None, {name: value}))
            await self.assert_refused(
                daemon.configure(self.directory, **self.given({name: value})), name
            )
        self.assertEqual(self.known_at(self.directory).parameters, before)

    async def test_each_of_its_ports_can_be_taken_by_somebody_else(self) -> None:
        for name in ("dist_port", "epmd_port"):
            with taken_port() as port:
                await self.assert_refused(
                    self.make().configure(self.top / name, **{name: port}), str(port)
                )
        daemon = await self.configured()
        with taken_port() as port:
            await self.assert_refused(
                daemon.configure(self.directory, port=port, dist_port=port), str(port)
            )
        port = daemon.option("dist_port")
        await self.assert_refused(
            daemon.configure(self.directory, epmd_port=port), "three different"
        )

    async def test_names_and_ports_that_make_no_sense_are_refused(self) -> None:
        for options in (
            {"user": ""},
            {"user": None},
            {"user": 'a"b'},
            {"nodepurpose": "a b"},
            {"nodepurpose": 3},
            {"dist_port": 70000},
            {"epmd_port": "some"},
        ):
            await self.assert_refused(self.make().configure(self.directory, **options), *options)
            self.assertFalse((self.directory / "service.json").exists())

    async def test_it_has_its_documented_name(self) -> None:
        self.assertIs(ManagedRabbitMQ, RabbitMQDaemon)
