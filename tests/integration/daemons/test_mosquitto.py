"""Mosquitto itself, in a directory of its own."""

from __future__ import annotations

import queue
import ssl
from pathlib import Path

import paho.mqtt.client as mqtt
import pytest
from certificate import self_signed
from daemons.cases import ManagedDaemonCases
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.daemons.core.errors import BrokenBackup
from domogik.daemons.mosquitto.daemon import MosquittoDaemon, counts

pytestmark = pytest.mark.integration

PATIENCE_S = 30


class Client:
    """One connection, for a `with` block; a login that is refused raises `ConnectionError`."""

    def __init__(self, daemon, password=True, ca=None):
        self.messages = queue.Queue()
        self._connected = queue.Queue()
        self._client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2)
        if password:
            user, word = daemon.option("user"), daemon.parameters.password
            self._client.username_pw_set(user, word)
        if ca is not None:
            self._client.tls_set(ca_certs=str(ca), cert_reqs=ssl.CERT_REQUIRED)
            self._client.tls_insecure_set(True)  # the name; its issuer is checked
        self._client.on_connect = lambda *given: self._connected.put(given[3])
        self._client.on_message = lambda *given: self.messages.put(given[2])
        self._client.on_subscribe = lambda *_: self._connected.put(None)
        self._where = daemon.parameters.reachable_host, daemon.get_port()

    def __enter__(self):
        self._client.connect(*self._where)
        self._client.loop_start()
        code = self._connected.get(timeout=PATIENCE_S)
        if code.is_failure:
            self.__exit__()
            raise ConnectionError(str(code))
        return self

    def __exit__(self, *_):
        self._client.disconnect()
        self._client.loop_stop()

    def publish(self, topic, text):
        said = self._client.publish(topic, text, qos=1, retain=True)
        said.wait_for_publish(PATIENCE_S)

    def subscribe(self, topic):
        self._client.subscribe(topic, qos=1)
        self._connected.get(timeout=PATIENCE_S)

    def retained(self, topic):
        self.subscribe(topic)
        return self.messages.get(timeout=PATIENCE_S).payload.decode()


class MosquittoTests(ManagedDaemonCases, TestCase):
    daemon_class = MosquittoDaemon
    user = "mosquitto"

    def write(self, daemon, text):
        with Client(daemon) as one:
            one.publish("what", text)

    def read(self, daemon):
        with Client(daemon) as one:
            return one.retained("what")

    def read_without_password(self, daemon):
        with Client(daemon, password=False) as one:
            return one.retained("what")

    async def test_another_password_is_taken_by_a_reload_and_a_port_is_not(self):
        daemon = await self.running(password="one")
        pid = daemon.get_pid()
        await self.wrote(daemon, "kept")
        await daemon.configure(self.directory, password="two", run_as=self.run_as)
        await daemon.reload()
        self.assertEqual(daemon.get_pid(), pid)
        await self.assert_reads(daemon, "kept")
        chosen = daemon.tools.ports.reserve("127.0.0.1")
        chosen.release()
        await daemon.configure(self.directory, port=chosen.port, run_as=self.run_as)
        await self.assert_refused(daemon.reload(), "has to be restarted for port")
        await daemon.stop()
        await daemon.start()
        await self.assert_reads(daemon, "kept")

    async def test_with_a_certificate_it_speaks_tls_alone(self):
        certificate = self_signed(self.top, "broker")
        certificate.chmod(0o644)
        daemon = await self.running(certificate=str(certificate), key=str(certificate))
        self.assertTrue(daemon.url.startswith("mqtts://domogik:"))

        def by_tls():
            with Client(daemon, ca=certificate) as one:
                one.publish("what", "secret")
                return one.retained("what")

        self.assertEqual(await deferToThread(by_tls), "secret")
        await self.assertFailure(deferToThread(self.read, daemon), OSError, queue.Empty)

    test_with_a_certificate_it_speaks_tls_alone.timeout = 120

    async def test_an_access_list_decides_who_writes_what(self):
        rules = self.top / "acl"
        rules.write_text("user domogik\ntopic readwrite open/#\n")
        rules.chmod(0o644)
        daemon = await self.running(acl_file=str(rules))

        def told():
            with Client(daemon) as one:
                one.publish("closed/a", "unheard")
                one.publish("open/a", "heard")
                return one.retained("#")

        self.assertEqual(await deferToThread(told), "heard")

    async def test_what_it_says_of_a_bad_option_is_in_the_error(self):
        daemon = await self.configured(certificate="/nothing/here", key="/nothing/here")
        error = await self.assert_refused(daemon.start(), "/nothing/here")
        self.assertEqual(Path(error.command[0]).name, "mosquitto")

    async def test_options_that_cannot_be_are_refused_when_it_is_configured(self):
        for options, words in (
            ({"user": "a:b"}, "user"),
            ({"certificate": "/a"}, "TLS needs both"),
            ({"max_connections": "rather many"}, "a whole number"),
            ({"max_connections": -2}, "is no number"),
            ({"acl_file": "a\nallow_anonymous true"}, "is not a path"),
        ):
            daemon = self.make()
            await self.assert_refused(
                daemon.configure(self.directory, run_as=self.run_as, **options), words
            )

    # Backups

    async def test_what_comes_back_is_what_went_in(self):
        daemon = await self.running()

        def filled():
            with Client(daemon) as one:
                for number in range(100):
                    one.publish(f"many/{number}", f"text {number} ☃")

        def everything():
            with Client(daemon) as one:
                one.subscribe("#")
                found = {}
                while len(found) < 100:
                    message = one.messages.get(timeout=PATIENCE_S)
                    found[message.topic] = message.payload.decode()
                return found

        await deferToThread(filled)
        before = await deferToThread(everything)
        await daemon.backup(self.top / "backup")
        await self.wrote(daemon, "later")
        await daemon.restore(self.top / "backup")
        self.assertTrue(daemon.is_running())
        self.assertEqual(await deferToThread(everything), before)
        other = await self.configured(self.top / "other")
        await other.restore(self.top / "backup")
        self.assertFalse(other.is_running())
        await other.start()
        self.assertEqual(len(await deferToThread(lambda: _topics(other))), 100)

    async def test_a_store_that_is_cut_off_is_no_backup(self):
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        await daemon.stop()
        store = self.directory / "data" / "mosquitto.db"
        self.assertEqual(counts(store)["retained"], 1)
        whole = store.read_bytes()
        for broken in (whole[:-3], whole[:30], b"something else"):
            store.write_bytes(broken)
            self.assertRaises(BrokenBackup, counts, store)

    async def test_without_persistence_there_is_nothing_to_back_up(self):
        daemon = await self.running(persistence=False)
        await self.assert_refused(daemon.backup(self.top / "backup"), "persistence is off")


def _topics(daemon):
    with Client(daemon) as one:
        one.subscribe("#")
        found = set()
        while len(found) < 100:
            found.add(one.messages.get(timeout=PATIENCE_S).topic)
        return found
