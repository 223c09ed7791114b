"""Redis itself, in a directory of its own."""

from __future__ import annotations

import pytest
import redis
from daemons.cases import ManagedDaemonCases
from twisted.trial.unittest import TestCase

from domogik.daemons.redis import RedisDaemon

pytestmark = pytest.mark.integration


class RedisTests(ManagedDaemonCases, TestCase):
    daemon_class = RedisDaemon

    def client(self, daemon, **more):
        return redis.Redis(
            daemon.parameters.reachable_host,
            daemon.get_port(),
            **{"password": daemon.parameters.password, "decode_responses": True, **more},
        )

    def write(self, daemon, text):
        with self.client(daemon) as client:
            client.set("what", text)

    def read(self, daemon):
        with self.client(daemon) as client:
            return client.get("what")

    def read_without_password(self, daemon):
        with self.client(daemon, password=None) as client:
            return client.get("what")
