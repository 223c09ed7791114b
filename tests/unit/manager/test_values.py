"""Configuration values as people set them and plugins get them."""

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from domogik.components.model import ConfigurationKey, ConfigValue
from domogik.errors import OperationFailed
from domogik.manager.plugins.values import Values, check
from domogik.storage.database import BrokenDatabase
from domogik.storage.values import InvalidConfigValue
from domogik.testing.store import MemoryStore

DECLARED = {
    "interval": ConfigurationKey(0, "interval", "number", default="5"),
    "path": ConfigurationKey(1, "path", "string", default="/", interface=True),
    "size": ConfigurationKey(2, "size", "number", interface=True),
    "unit": ConfigurationKey(3, "unit", "enum", options=("mm", "inch")),
    "room-1": ConfigurationKey(4, "room-1", "string"),
}


class TestValues(SynchronousTestCase):
    def setUp(self):
        self.store = MemoryStore()
        keys = {"clock": tuple(DECLARED.values())}
        self.values = Values(self.store, keys.get, "here")

    def done(self, coroutine):
        return self.successResultOf(Deferred.fromCoroutine(coroutine))

    def refused(self, coroutine):
        failure = self.failureResultOf(Deferred.fromCoroutine(coroutine), OperationFailed)
        return str(failure.value)

    def get(self, key):
        return self.done(self.values.get("vm", "clock", key))

    def set(self, key, value):
        return self.done(self.values.set("vm", "clock", key, value))

    def delete(self, key=None):
        return self.done(self.values.delete("vm", "clock", key))

    def refusal(self, key, value):
        return self.refused(self.values.set("vm", "clock", key, value))

    def test_what_was_set_counts_then_the_default_then_none_as_text(self):
        self.assertEqual(self.get("interval"), "5")
        self.assertEqual(self.set("interval", "7"), ConfigValue("vm", "clock", "interval", "7"))
        self.assertEqual(self.get("interval"), "7")
        self.assertEqual(self.get("size"), "None")

    def test_an_empty_value_and_none_as_text_unset(self):
        for nothing in ("", "None"):
            self.set("interval", "7")
            self.assertEqual(self.set("interval", nothing).value, "")
            self.assertEqual(self.get("interval"), "5")

    def test_there_is_no_default_for_an_interface_by_number(self):
        """A plugin that asks for path-1, path-2, ... would never come to an end."""
        self.assertEqual(self.get("path-1"), "None")
        self.assertEqual(self.get("path"), "/")

    def test_the_number_of_interfaces_follows_what_is_set(self):
        self.set("path-1", "/")
        self.assertEqual(self.get("nb-int"), "1")
        self.set("path-3", "/home")
        self.set("size-2", "4")
        self.assertEqual(self.get("nb-int"), "3")

    def test_the_number_of_interfaces_follows_what_is_deleted(self):
        for key in ("path-1", "size-1", "path-2", "size-2"):
            self.set(key, "4")
        self.delete("path-1")
        self.delete("path-2")
        self.assertEqual(self.get("nb-int"), "2")
        self.set("size-2", "")
        self.assertEqual(self.get("nb-int"), "1")
        self.delete("size-1")
        self.assertEqual(self.get("nb-int"), "None")

    def test_a_number_that_somebody_set_is_believed(self):
        self.set("nb-int", "3")
        self.set("path-1", "/")
        self.assertEqual(self.get("nb-int"), "3")
        self.set("path-4", "/")
        self.assertEqual(self.get("nb-int"), "4")

    def test_a_number_that_is_none_counts_as_none(self):
        for silly in ("many", "99999", "-1"):
            self.store.values["vm", "clock", "nb-int"] = silly
            self.set("path-2", "/")
            self.assertEqual(self.get("nb-int"), "2")

    def test_keys_that_only_look_like_an_interface_have_no_number(self):
        for key in ("room-1", "other-2", "path-0", "path-01", "path-1000", "interval-2"):
            self.set(key, "4")
        self.assertEqual(self.get("nb-int"), "None")

    def test_deleting_everything_of_a_plugin_leaves_nothing(self):
        self.set("path-1", "/")
        self.set("interval", "7")
        self.assertEqual([value.key for value in self.delete()], ["interval", "nb-int", "path-1"])
        self.assertEqual(self.store.values, {})

    def test_deleting_what_is_not_there_deletes_nothing(self):
        self.assertEqual(self.delete("path-1"), [])

    def test_a_list_is_of_a_host_a_plugin_or_a_key(self):
        self.set("interval", "7")
        self.assertEqual(len(self.done(self.values.list())), 1)
        self.assertEqual(self.done(self.values.list("kitchen")), [])

    def test_interfaces_have_the_type_of_their_key(self):
        self.assertEqual(self.refusal("size-2", "big"), "size is a number, not 'big'")
        self.assertEqual(self.store.values, {})

    def test_what_xpl_cannot_carry_is_not_stored(self):
        self.assertIn("one line", self.refusal("city", "two\nlines"))
        self.assertIn("at most 1000 bytes", self.refusal("city", "é" * 501))
        for key in ("Name", "TTS software", "x" * 17, "under_score"):
            self.assertIn("is no key", self.refusal(key, "x"))
        self.assertEqual(self.store.values, {})
        self.set("city", "é" * 500)

    def test_a_key_that_the_plugin_does_not_declare_is_refused_with_the_nearest(self):
        refused = self.refused(self.values.set("here", "clock", "intervall", "7"))
        self.assertEqual(refused, "clock has no key 'intervall'. Did you mean interval?")
        for key in ("city", "interval-2", "path-0", "path-01", "path-1000", "room-2"):
            self.assertIn(
                f"no key '{key}'", self.refused(self.values.set("here", "clock", key, "4"))
            )
        self.assertIn(
            "dmg_ctl config clock", self.refused(self.values.set("here", "clock", "qqq", "4"))
        )
        self.assertEqual(self.store.values, {})
        for key in ("interval", "path", "path-2", "room-1", "nb-int"):
            self.done(self.values.set("here", "clock", key, "4"))
        self.done(self.values.set("here", "clock", "startup-plugin", "False"))

    def test_where_no_descriptor_is_known_any_key_is_kept(self):
        self.done(self.values.set("here", "cat", "colour", "red"))
        self.done(self.values.set("elsewhere", "clock", "city", "Paris"))
        self.assertEqual(len(self.store.values), 2)

    def test_an_unknown_key_that_is_stored_can_be_read_and_deleted(self):
        for forget in (self.values.delete, lambda *where: self.values.set(*where, "")):
            self.store.values["here", "clock", "intervall"] = "7"
            self.assertEqual(self.done(self.values.get("here", "clock", "intervall")), "7")
            self.done(forget("here", "clock", "intervall"))
            self.assertEqual(self.store.values, {})

    def test_a_store_that_fails_is_said_in_its_words(self):
        for error in (BrokenDatabase("disk full"), InvalidConfigValue("no name")):
            self.store.broken = error
            for coroutine in (
                self.values.get("vm", "clock", "city"),
                self.values.list(),
                self.values.delete("vm", "clock"),
                self.values.set("vm", "clock", "city", "x"),
            ):
                self.assertEqual(self.refused(coroutine), str(error))


class TestTypes(SynchronousTestCase):
    def allowed(self, declared, *values):
        for value in values:
            check(declared, value)

    def refused(self, declared, *values):
        for value in values:
            self.assertRaises(OperationFailed, check, declared, value)

    def test_booleans_are_true_and_false_as_domogik_writes_them(self):
        key = ConfigurationKey(0, "startup-plugin", "boolean")
        self.allowed(key, "True", "False")
        self.refused(key, "true", "yes", "1")

    def test_numbers_are_numbers_that_every_language_reads(self):
        key = ConfigurationKey(0, "interval", "number")
        self.allowed(key, "5", "-1", "+2", "0.5")
        self.refused(key, "nan", "inf", "1_000", "1e5", "five", "5 minutes", "٣", "1.")

    def test_an_enum_is_one_of_its_options(self):
        self.allowed(DECLARED["unit"], "mm")
        self.refused(DECLARED["unit"], "MM", "metre")

    def test_other_types_and_unknown_keys_take_any_text(self):
        self.allowed(ConfigurationKey(0, "secret", "password"), "x y z")
        self.allowed(ConfigurationKey(0, "when", "fortnight"), "x")
        self.allowed(None, "anything")
