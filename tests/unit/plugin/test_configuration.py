"""What a plugin gets to know of its configuration, and from whom."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from domogik.config.remembered import Remembered
from domogik.xpl.codec.message import STAT, Message
from domogik.xpl.node.configuration import MASK, ConfigurationClient, Value
from domogik.xpl.node.identity import NoReply

HEAD = (("technology", "hello"), ("hostname", "vm"))


class Network:
    """An identity with a database manager at the other end, for as long as `values` is one."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.values: dict[str, str] | None = {}
        self.asked: list[tuple[str, str, float]] = []
        self.answers: list[Message] = []

    def request(
        self,
        schema: str,
        body: tuple[tuple[str, str], ...],
        *,
        answer: Callable[[Message], bool],
        target: str,
        timeout: float,
        repeat: float,
    ) -> Deferred[Message]:
        assert (schema, body[:2]) == ("domogik.config", HEAD)
        key = dict(body)["key"]
        self.asked.append((key, target, timeout))
        result: Deferred[Message] = Deferred()
        offered = list(self.answers)
        if self.values is not None:
            offered.append(said((key, self.values.get(key, "None"))))
        fitting = [message for message in offered if answer(message)]
        if fitting:
            result.callback(fitting[0])
        else:
            self.clock.callLater(timeout, result.errback, NoReply("nobody"))
        return result


def said(*pairs: tuple[str, str], source: str = "domogik-dbmgr.main", host: str = "vm") -> Message:
    head = (("technology", "hello"), ("hostname", host))
    return Message(STAT, source, "*", schema="domogik.config", body=(*head, *pairs))


class ConfigurationCase(SynchronousTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.network = Network(self.clock)
        self.path = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.path)
        self.config = self.client()

    def client(self, provider: str = "") -> ConfigurationClient:
        return ConfigurationClient(
            identity=self.network,
            technology="hello",
            hostname="vm",
            remembered=Remembered(self.path / "configuration.json"),
            now=lambda: 1000.0 + self.clock.seconds(),
            timeout=10.0,
            provider=provider,
        )

    def get(self, asking: Coroutine[Any, Any, Any]) -> Any:
        """The result, however long it takes."""
        deferred = Deferred.fromCoroutine(asking)
        self.clock.pump([0.1] * 400)
        return self.successResultOf(deferred)


class Asking(ConfigurationCase):
    def test_a_value_is_what_the_database_manager_says_now(self) -> None:
        self.network.values = {"colour": "red"}
        self.assertEqual(self.get(self.config("colour")), "red")
        self.network.values = {"colour": "blue"}
        self.assertEqual(self.get(self.config("colour")), "blue")

    def test_what_is_not_set_is_the_default(self) -> None:
        self.network.values = {"empty": "", "none": "None"}
        for key in ("empty", "none", "unknown"):
            self.assertEqual(self.get(self.config(key, "grey")), "grey")

    def test_answers_for_others_and_from_others_are_no_answers(self) -> None:
        self.network.values = None
        self.network.answers = [
            said(("colour", "red"), source="acme-thing.main"),
            said(("colour", "red"), host="elsewhere"),
            said(("size", "red")),
        ]
        self.assertIsNone(self.get(self.config("colour")))

    def test_a_mask_is_no_password_whatever_comes_first(self) -> None:
        self.network.values = None
        self.network.answers = [said(("pass", MASK)), said(("pass", "sesame"))]
        self.assertEqual(self.get(self.config("pass")), "sesame")

    def test_who_gets_nothing_but_the_mask_goes_on_with_what_it_had(self) -> None:
        self.network.values = {"pass": "sesame"}
        self.assertEqual(self.get(self.config("pass")), "sesame")
        self.network.values = {"pass": MASK, "colour": "red"}
        self.assertEqual(self.get(self.config("pass")), "sesame")
        # dbmgr is there: what is asked next has all the time it needs
        self.assertEqual(self.get(self.config("colour")), "red")
        self.assertEqual(self.network.asked[-1][2], 10.0)

    def test_a_named_provider_alone_is_asked_and_believed(self) -> None:
        self.config = self.client(provider="other")
        self.assertIsNone(self.get(self.config("colour")))
        self.network.answers = [said(("colour", "red"), source="domogik-dbmgr.other")]
        self.assertEqual(self.get(self.config("colour")), "red")
        self.assertEqual(self.network.asked[0][1], "domogik-dbmgr.other")

    def test_an_error_is_an_answer_that_is_not_waited_for_again(self) -> None:
        self.network.values = None
        self.network.answers = [said(("key", "colour"), ("error", "database is locked"))]
        self.assertEqual(self.get(self.config("colour", "grey")), "grey")


class Silence(ConfigurationCase):
    def test_the_last_answer_is_used_and_marked(self) -> None:
        self.network.values = {"colour": "red"}
        self.assertEqual(
            self.get(self.config.value("colour")), Value("red", 1000.0, remembered=False)
        )
        self.network.values = None
        self.config = self.client()
        self.assertEqual(
            self.get(self.config.value("colour")), Value("red", 1000.0, remembered=True)
        )

    def test_what_was_never_heard_is_the_default(self) -> None:
        self.network.values = None
        self.assertEqual(self.get(self.config.value("colour")), Value(None, None, remembered=True))

    def test_ten_keys_cost_one_time_out_until_it_answers_again(self) -> None:
        self.network.values = None
        for number in range(3):
            self.get(self.config(f"key-{number}"))
        self.network.values = {}
        self.get(self.config("key-3"))
        self.get(self.config("key-4"))
        waits = [wait for _, _, wait in self.network.asked]
        self.assertEqual(waits, [10.0, 0.3, 0.3, 0.3, 10.0])


class Reading(ConfigurationCase):
    def test_numbers_and_words_are_read(self) -> None:
        self.network.values = {"n": " 7 ", "x": "0.5", "yes": "True", "no": "off"}
        self.assertEqual(self.get(self.config.integer("n", 1)), 7)
        self.assertEqual(self.get(self.config.number("x", 1.0)), 0.5)
        self.assertIs(self.get(self.config.boolean("yes")), True)
        self.assertIs(self.get(self.config.boolean("no", True)), False)

    def test_what_makes_no_sense_is_the_default(self) -> None:
        self.network.values = {"n": "0", "x": "nan", "b": "perhaps", "huge": "9" * 5000}
        self.assertEqual(self.get(self.config.integer("n", 5, minimum=1)), 5)
        self.assertEqual(self.get(self.config.integer("huge", 5)), 5)
        self.assertEqual(self.get(self.config.integer("x", 5)), 5)
        self.assertEqual(self.get(self.config.number("x", 5.0)), 5.0)
        self.assertIs(self.get(self.config.boolean("b", True)), True)

    def test_interfaces_are_read_as_many_as_there_are(self) -> None:
        self.network.values = {"nb-int": "3", "path-1": "/", "path-3": "/home", "name-3": "home"}
        self.assertEqual(
            self.get(self.config.interfaces("path", "name")),
            [{"path": "/", "name": ""}, {"path": "/home", "name": "home"}],
        )

    def test_interfaces_without_a_count_end_where_nothing_is_set(self) -> None:
        self.network.values = {"path-1": "/", "path-2": "/home", "path-4": "/var"}
        found = self.get(self.config.interfaces("path"))
        self.assertEqual([one["path"] for one in found], ["/", "/home"])

    def test_a_default_for_every_interface_does_not_go_on_for_ever(self) -> None:
        self.network.answers = [said(*((f"path-{n}", "/") for n in range(1, 200)))]
        self.assertEqual(self.get(self.config.interfaces("path")), [{"path": "/"}])
