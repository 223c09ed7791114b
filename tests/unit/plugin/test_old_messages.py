"""Messages as plugins of Domogik 0.2 and 0.3 build them."""

from twisted.trial.unittest import SynchronousTestCase

from domogik.common.dmg_exceptions import XplMessageError
from domogik.plugin import TRIG, Message
from domogik.xpl.common.xplmessage import XplMessage

PACKET = (
    "xpl-trig\n{\nhop=1\nsource=acme-lamp.attic\ntarget=*\n}\n"
    "sensor.basic\n{\ndevice=a\ncurrent=1\ncurrent=2\n}\n"
)


class OldMessages(SynchronousTestCase):
    def test_what_is_read_is_written_again(self) -> None:
        message = XplMessage(PACKET)
        self.assertEqual(message.to_packet(), PACKET)
        self.assertEqual(str(message), PACKET)
        self.assertTrue(message.is_valid())

    def test_its_parts_have_their_old_names(self) -> None:
        message = XplMessage(PACKET)
        self.assertEqual(
            (message.type, message.schema, message.schema_class, message.schema_type),
            ("xpl-trig", "sensor.basic", "sensor", "basic"),
        )
        self.assertEqual(
            (message.source_vendor_id, message.source_device_id, message.source_instance_id),
            ("acme", "lamp", "attic"),
        )
        self.assertEqual(message.data, {"device": "a", "current": ["1", "2"]})
        self.assertTrue(message.data.has_key("device"))

    def test_it_is_what_domogik_plugin_has(self) -> None:
        message = XplMessage(PACKET).message()
        body = (("device", "a"), ("current", "1"), ("current", "2"))
        self.assertEqual(message, Message(TRIG, "acme-lamp.attic", "*", "sensor.basic", body))

    def test_what_xpl_does_not_allow_is_refused(self) -> None:
        message = XplMessage()
        for refused in (
            lambda: message.set_type("xpl-what"),
            lambda: message.set_schema("nodot"),
            lambda: message.set_source("noaddress"),
            lambda: message.set_target("no-address"),
            lambda: message.add_data({"a": "two\nlines"}),
            lambda: XplMessage("no message"),
            message.to_packet,
        ):
            self.assertRaises(XplMessageError, refused)
        self.assertFalse(message.is_valid())

    def test_set_data_replaces_and_clear_data_removes(self) -> None:
        message = XplMessage(PACKET)
        message.set_data({"device": "b"})
        self.assertEqual(message.data, {"device": "b"})
        message.clear_data()
        self.assertEqual(message.data, {})

    def test_the_hop_counts(self) -> None:
        message = XplMessage(PACKET)
        message.inc_hop_count()
        self.assertIn("hop=2\n", message.to_packet())
