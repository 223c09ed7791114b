"""Redis itself, in a directory of its own."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import redis
from daemons.cases import ManagedDaemonCases
from redis.backoff import NoBackoff
from redis.retry import Retry
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from domogik.daemons.core import backups
from domogik.daemons.redis.daemon import RedisDaemon

pytestmark = pytest.mark.integration


def client(daemon, **more):
    options = {"password": daemon.parameters.password, "decode_responses": True, **more}
    host, port = daemon.parameters.reachable_host, daemon.get_port()
    return redis.Redis(host, port, retry=Retry(NoBackoff(), 0), **options)


def wrote_much(daemon):
    """Of every type, in two databases, binary and large, with and without a time."""
    with client(daemon, decode_responses=False) as one, client(daemon, db=5) as five:
        one.set(b"\x00\xff key", os.urandom(100_000))
        one.rpush("list", *range(500))
        one.sadd("set", "a", "b")
        one.zadd("sorted", {"a": 1.5, "b": 2})
        one.hset("hash", mapping={"ü": "☃"})
        one.xadd("stream", {"a": 1})
        one.set("later", 1, ex=100_000)
        five.set("five", 5)


def everything(daemon):
    """Each key of each database with its value, and whether it has a time."""
    values = {
        b"string": lambda one, key: one.get(key),
        b"list": lambda one, key: one.lrange(key, 0, -1),
        b"set": lambda one, key: one.smembers(key),
        b"zset": lambda one, key: one.zrange(key, 0, -1, withscores=True),
        b"hash": lambda one, key: one.hgetall(key),
        b"stream": lambda one, key: one.xrange(key),
    }
    found = {}
    for number in range(16):
        with client(daemon, db=number, decode_responses=False) as one:
            for key in one.scan_iter():
                found[number, key] = values[one.type(key)](one, key), one.ttl(key) > 0
    return found


class RedisTests(ManagedDaemonCases, TestCase):
    daemon_class = RedisDaemon

    def write(self, daemon, text):
        with client(daemon) as one:
            one.set("what", text)

    def read(self, daemon):
        with client(daemon) as one:
            return one.get("what")

    def read_without_password(self, daemon):
        with client(daemon, password=None) as one:
            return one.get("what")

    async def test_it_is_given_another_password_place_and_limit_while_it_runs(self):
        daemon = await self.running(password="one")
        pid, first = daemon.get_pid(), daemon.get_port()
        await self.wrote(daemon, "kept")
        chosen = daemon.tools.ports.reserve("127.0.0.2")
        chosen.release()
        await daemon.configure(
            self.directory, port=chosen.port, bind_host="127.0.0.2", password="two",
            maxmemory="32mb", appendonly=True, run_as=self.run_as,
        )  # fmt: skip
        await daemon.reload()
        self.assertEqual(daemon.get_pid(), pid)
        self.assertNotEqual(daemon.get_port(), first)
        await self.assert_reads(daemon, "kept")
        found = await deferToThread(lambda: client(daemon).config_get("maxmemory", "appendonly"))
        self.assertEqual(found, {"maxmemory": str(32 * 2**20), "appendonly": "yes"})
        await daemon.stop()
        await daemon.start()
        await self.assert_reads(daemon, "kept")

    async def test_a_stop_after_another_password_was_configured_is_a_stop(self):
        daemon = await self.running(password="one")
        await self.wrote(daemon, "kept")
        await daemon.configure(self.directory, password="two", run_as=self.run_as)
        await daemon.stop()
        await daemon.start()
        await self.assert_reads(daemon, "kept")

    async def test_an_option_of_the_wrong_type_is_refused_before_anything_is_made(self):
        for name, wrong, words in (
            ("appendonly", "no", "True or False, not 'no'"),
            ("databases", True, "a whole number, not True"),
            ("save", None, "text, not None"),
            ("binary", 3, "as text, not 3"),
            ("password", 3, "a password is text, not of type int"),
            ("password", "\udcff", "one line of letters"),
        ):
            operation = self.make().configure(self.directory, **{name: wrong})
            await self.assert_refused(operation, words)
        self.assertFalse(self.directory.exists())

    async def test_what_it_says_of_a_bad_option_is_in_the_error(self):
        daemon = await self.configured(maxmemory="rather much")
        error = await self.assert_refused(daemon.start(), "maxmemory")
        self.assertEqual(error.exit_status, 1)
        self.assertEqual(Path(error.command[0]).name, "redis-server")
        self.assertIn("maxmemory", error.output)

    async def test_a_directory_name_cannot_add_a_line_to_its_configuration(self):
        daemon = await self.running(self.top / "new\nrequirepass x")
        await self.wrote(daemon, "one")
        await self.assert_reads(daemon, "one")

    # Backups

    async def test_what_comes_back_is_what_went_in(self):
        for appendonly in (False, True):
            daemon = await self.running(
                self.top / f"from-{appendonly}", appendonly=appendonly, password=self.password
            )
            await deferToThread(wrote_much, daemon)
            before = await deferToThread(everything, daemon)
            target = self.top / f"backup-{appendonly}"
            await daemon.backup(target)
            self.assertEqual(target.stat().st_mode & 0o777, 0o600)
            with client(daemon) as one:
                one.flushall()
            await self.wrote(daemon, "later")
            await daemon.restore(target)
            self.assertEqual(await deferToThread(everything, daemon), before)
            self.assertTrue(daemon.is_running())
            await daemon.stop()
            await daemon.start()
            self.assertEqual(await deferToThread(everything, daemon), before)
            other = await self.configured(self.top / f"to-{appendonly}", appendonly=True)
            await other.restore(target)
            self.assertFalse(other.is_running())
            await other.start()
            self.assertEqual(await deferToThread(everything, other), before)

    async def test_one_that_does_not_run_is_started_for_its_backup(self):
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        await daemon.stop()
        await daemon.backup(self.top / "backup")
        self.assertFalse(daemon.is_running())
        await self.assert_refused(daemon.backup(self.top / "backup"), "there already")
        await daemon.start()
        await self.wrote(daemon, "later")
        await daemon.restore(self.top / "backup")
        await self.assert_reads(daemon, "kept")

    async def test_a_damaged_backup_or_another_kinds_is_refused_before_anything_is_touched(self):
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        pid = daemon.get_pid()
        good = self.top / "good"
        await daemon.backup(good)
        data = good.read_bytes()
        payload = self.top / "payload"
        payload.write_bytes(b"x")
        backups.write(self.top / "gopher", payload, "gopher", "", backups.BackupContents("1"))
        for name, content in {
            "empty": b"",
            "cut": data[:-1],
            "longer": data + b"x",
            "changed": data[:-20] + bytes([data[-20] ^ 1]) + data[-19:],
            "other": b"REDIS0011",
            "no-manifest": data.split(b"\n")[0] + b"\n{}\n",
            "gopher": None,
        }.items():
            if content is not None:
                (self.top / name).write_bytes(content)
            await self.assert_refused(daemon.restore(self.top / name), name)
        await self.assert_refused(daemon.restore(self.top / "missing"), "missing")
        self.assertEqual(daemon.get_pid(), pid)
        await self.assert_reads(daemon, "kept")

    async def test_what_the_server_does_not_take_changes_nothing(self):
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        payload = self.top / "payload"
        payload.write_bytes(b"REDIS0009 and no more")
        bad = self.top / "bad"
        backups.write(bad, payload, "redis", "", backups.BackupContents("7"))
        await self.assert_refused(daemon.restore(bad), "not whole")
        self.assertTrue(daemon.is_running())
        await self.assert_reads(daemon, "kept")
        good = self.top / "good"
        await daemon.backup(good)
        with good.open("rb") as file:
            backups.Manifest.read(file)
            payload.write_bytes(file.read())
        more = self.top / "more"
        backups.write(more, payload, "redis", "", backups.BackupContents("7", {"keys": 2}))
        await self.assert_refused(daemon.restore(more), "1 keys came back of 2")
        await self.assert_reads(daemon, "kept")
        self.assertEqual([path.name for path in self.directory.glob("*.before")], [])

    async def test_a_restore_that_was_killed_leaves_the_data_of_before(self):
        daemon = await self.running()
        await self.wrote(daemon, "kept")
        await daemon.stop()
        # as it is in the middle of one
        (self.directory / "data").rename(self.directory / "data.before")
        (self.directory / "data").mkdir()
        (self.directory / "data" / "dump.rdb").write_bytes(b"half")
        await daemon.start()
        await self.assert_reads(daemon, "kept")
