"""Ports: the truth table, and who has the socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from twisted.internet.defer import maybeDeferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.components.health import Result
from domogik.supervisor.ports.listeners import Listener
from domogik.supervisor.ports.sock_diag import CannotSeeSockets
from domogik.units.checks.port_owners import OpenPort, PortOwner, PortOwners, control_group
from domogik.units.checks.ports import InvalidPort, diagnose_port_listening
from domogik.units.systemd.status import UnitStatus

KINDS = ("tcp", "tcp4", "tcp6", "udp", "udp4", "udp6")


class PortTests(SynchronousTestCase):
    def setUp(self):
        self.clock = Clock()
        self.found = []
        self.looks = 0

        def look(ports):
            self.looks += 1
            return {port: tuple(one for one in self.found) for port in ports}

        self.look = look
        self.table = PortOwners(self.clock, maybeDeferred, lambda ports: self.look(ports))

    def check(self, *args, **kwargs):
        result = diagnose_port_listening(self.table, *args, **kwargs)
        self.clock.advance(0)
        return self.successResultOf(result)

    def passes(self, listener, *args):
        self.found = [OpenPort(listener)]
        return self.check(80, *args).result is Result.PASSED

    def test_the_truth_table(self):
        table = {
            ("tcp4", "0.0.0.0", None): {"tcp", "tcp4"},
            ("tcp4", "127.0.0.1", None): {"tcp", "tcp4"},
            ("tcp6", "::", False): {"tcp", "tcp4", "tcp6"},
            ("tcp6", "::", None): {"tcp", "tcp4", "tcp6"},
            ("tcp6", "::", True): {"tcp", "tcp6"},
            ("tcp6", "::1", False): {"tcp", "tcp6"},
            ("udp4", "0.0.0.0", None): {"udp", "udp4"},
            ("udp6", "::", False): {"udp", "udp4", "udp6"},
            ("udp6", "::", True): {"udp", "udp6"},
            ("udp6", "::1", False): {"udp", "udp6"},
        }
        for (kind, address, v6only), expected in table.items():
            listener = Listener(kind=kind, address=address, port=80, inode=1, v6only=v6only, uid=0)
            passing = {asked for asked in KINDS if self.passes(listener, asked)}
            self.assertEqual((kind, address, v6only, passing), (kind, address, v6only, expected))

    def test_the_kinds_of_psutil_that_cover_several_are_understood(self):
        table = {
            ("tcp4", "0.0.0.0", None): {"all", "inet", "inet4"},
            ("udp4", "127.0.0.1", None): {"all", "inet", "inet4"},
            ("tcp6", "::", False): {"all", "inet", "inet4", "inet6"},
            ("tcp6", "::", True): {"all", "inet", "inet6"},
            ("udp6", "::1", False): {"all", "inet", "inet6"},
        }
        for (kind, address, v6only), expected in table.items():
            listener = Listener(kind=kind, address=address, port=80, inode=1, v6only=v6only, uid=0)
            kinds = ("all", "inet", "inet4", "inet6", "unix")
            passing = {asked for asked in kinds if self.passes(listener, asked)}
            self.assertEqual((kind, address, v6only, passing), (kind, address, v6only, expected))
        check = self.check(80, "inet")
        self.assertEqual(check.check_id, "daemon-listening-inet-80")
        self.assertEqual(check.filled, "Listening on inet port 80")

    def test_a_wildcard_serves_every_address_of_its_family(self):
        every = Listener(kind="tcp4", address="0.0.0.0", port=80, inode=1, v6only=None, uid=0)
        self.assertTrue(self.passes(every, "tcp", "127.0.0.5"))
        self.assertFalse(self.passes(every, "tcp", "1.1.1.1"))  # no address of this host
        self.assertFalse(self.passes(every, "tcp", "::1"))
        one = Listener(kind="tcp4", address="127.0.0.1", port=80, inode=1, v6only=None, uid=0)
        self.assertTrue(self.passes(one, "tcp", "127.0.0.1"))
        self.assertFalse(self.passes(one, "tcp", "127.0.0.5"))

    def test_where_nobody_listens_it_is_said_who_should(self):
        for unit, words in (
            (None, "Start the program that should listen there"),
            (
                UnitStatus("web.service"),
                "See why web.service does not run: systemctl status web.service",
            ),
            (
                UnitStatus("web.service", active_state="active"),
                "See in its configuration where web.service listens: systemctl cat web.service",
            ),
        ):
            (suggestion,) = self.check(80, unit=unit).suggestions
            self.assertEqual((suggestion.sentence, suggestion.is_repairable), (words, False))

    def test_ids_and_texts_are_the_documented_ones(self):
        check = self.check(80)
        self.assertEqual(
            (check.check_id, check.description, check.filled, check.parameters, check.result),
            (
                "daemon-listening-tcp-80",
                "Listening on {kind} port {port}",
                "Listening on tcp port 80",
                {"kind": "tcp", "port": 80},
                Result.FAILED,
            ),
        )
        check = self.check(53, "udp", "10.0.0.1", "daemon-dns")
        self.assertEqual(
            (check.check_id, check.description, check.filled, check.component_id),
            (
                "daemon-listening-address-udp-53-10.0.0.1",
                "Listening on {kind} port {listen_address}:{port}",
                "Listening on udp port 10.0.0.1:53",
                "daemon-dns",
            ),
        )
        self.assertEqual(
            check.parameters, {"kind": "udp", "port": 53, "listen_address": "10.0.0.1"}
        )

    def test_many_ports_are_one_look(self):
        asked = [diagnose_port_listening(self.table, port) for port in range(1, 101)]
        self.clock.advance(0)
        for one in asked:
            self.successResultOf(one)
        self.assertEqual(self.looks, 1)

    def test_what_is_no_port_kind_or_address_is_told(self):
        self.failureResultOf(diagnose_port_listening(self.table, 0), InvalidPort)
        for kind in ("sctp", "", None, ["tcp"]):
            self.failureResultOf(diagnose_port_listening(self.table, 80, kind), InvalidPort)
        self.found = [
            OpenPort(Listener(kind="tcp4", address="0.0.0.0", port=80, inode=1, v6only=None, uid=0))
        ]
        check = self.check(80, "tcp", "localhost")
        self.assertEqual(check.result, Result.ERROR)
        self.assertIn("'localhost' is no IP address", check.parameters["reason"])

    def test_sockets_that_cannot_be_seen_are_an_error(self):
        def look(ports):
            raise CannotSeeSockets("out of descriptors")

        self.look = look
        check = self.check(80)
        self.assertEqual(check.result, Result.ERROR)
        self.assertEqual(check.parameters["reason"], "out of descriptors")

    def test_several_owners_are_named_but_not_a_hundred(self):
        listener = Listener(kind="tcp4", address="0.0.0.0", port=80, inode=1, v6only=None, uid=0)
        holders = tuple(PortOwner(pid, "web", "") for pid in (1, 2, 3, 4, 4))
        self.found = [OpenPort(listener, holders)]
        self.assertEqual(
            self.check(80).parameters["owner"],
            "web (process 1), web (process 2), web (process 3), ...",
        )

    def test_one_of_several_sockets_of_the_unit_will_do(self):
        unit = UnitStatus("web.service", control_group="/system.slice/web.service")
        ours = PortOwner(7, "web", "/system.slice/web.service")
        other = PortOwner(8, "other", "/system.slice/other.service")
        self.found = [
            OpenPort(
                Listener(kind="tcp4", address="127.0.0.1", port=80, inode=1, v6only=None, uid=0),
                (other,),
            ),
            OpenPort(
                Listener(kind="tcp6", address="::1", port=80, inode=2, v6only=None, uid=0), (ours,)
            ),
        ]
        self.assertEqual(self.check(80, "tcp", unit=unit).result, Result.PASSED)
        self.assertEqual(self.check(80, "tcp4", unit=unit).result, Result.WARNING)


@pytest.mark.parametrize(
    ("content", "group"),
    [
        ("0::/system.slice/web.service\n", "/system.slice/web.service"),
        ("1:name=systemd:/system.slice/web.service\n0::/\n", "/system.slice/web.service"),
        ("4:memory:/x\n1:name=systemd:/a\n", "/a"),
        ("0::/a:b.service\n", "/a:b.service"),
        ("0::/\n", ""),
        ("", ""),
        ("what is this\n", ""),
    ],
)
def test_the_control_group_of_a_process_is_the_one_that_systemd_made(tmp_path, content, group):
    (tmp_path / "7").mkdir()
    Path(tmp_path, "7", "cgroup").write_text(content)
    assert control_group(7, str(tmp_path)) == group
    assert control_group(8, str(tmp_path)) == ""
