"""What dbmgr answers to plugins: the texts of the reference, and always an answer."""

import attrs
import pytest

from domogik.components.model import ConfigurationKey
from domogik.control.config import ConfigControl
from domogik.manager.plugins.password_recipients import PATIENCE, PasswordRecipients, is_port_of
from domogik.manager.plugins.values import Values
from domogik.manager.trust import Trust
from domogik.storage.database import BrokenDatabase
from domogik.testing.local_host import LOCAL, REMOTE, FakeNetwork
from domogik.testing.store import MemoryStore
from domogik.threads import at_once
from domogik.xpl.codec.message import CMND, STAT
from domogik.xpl.node.configuration import MASK
from domogik.xpl.node.datagrams import Address

STRANGE = "a\x01b\tc\x7f"


@attrs.define
class Dbmgr:
    network: FakeNetwork = attrs.field(factory=FakeNetwork)
    store: MemoryStore = attrs.field(factory=MemoryStore)
    trust: Trust = attrs.field(factory=lambda: Trust("127.0.0.1", (), dict))
    #: plugin, host and the address that its process has
    ports: list[tuple[str, str, Address]] = attrs.field(factory=list)

    def __attrs_post_init__(self):
        identity = self.network.port.identity("dbmgr", "vm")
        values = Values(self.store, self._declared, "vm")
        recipients = PasswordRecipients(identity, self.trust, self._is_port_of)
        ConfigControl(identity, self.network.bus, values, self.trust, recipients).start()

    async def _is_port_of(self, look, plugin, host, address):
        assert look is is_port_of
        return (plugin, host, address) in self.ports

    @staticmethod
    def _declared(plugin):
        declared = (
            ConfigurationKey(0, "interval", "number", default="5"),
            ConfigurationKey(2, "login", "password", interface=True),
            ConfigurationKey(1, "startup-plugin", "boolean", default="False"),
        )
        return declared if plugin == "clock" else None

    def ask(self, *body, target="*", address=LOCAL):
        self.network.said.clear()
        self.network.hear(CMND, "domogik-clock.vm", "domogik.config", body, target, address)
        return [message.body for message in self.network.of("domogik.config")]

    def key(self, key, *more, **where):
        (body,) = self.ask(
            ("technology", "clock"), ("hostname", "vm"), ("key", key), *more, **where
        )
        return body


HEAD = (("technology", "clock"), ("hostname", "vm"))


@pytest.fixture
def dbmgr():
    return Dbmgr()


def test_the_answer_has_the_key_as_the_name_of_the_value(dbmgr):
    dbmgr.store.values["vm", "clock", "city"] = "Paris"
    assert dbmgr.key("city") == (*HEAD, ("city", "Paris"))
    (message,) = dbmgr.network.of("domogik.config")
    assert (message.type, message.source, message.target) == (STAT, "domogik-dbmgr.vm", "*")


def test_what_is_not_set_has_the_declared_default_and_else_is_none_as_text(dbmgr):
    assert dbmgr.key("interval") == (*HEAD, ("interval", "5"))
    assert dbmgr.key("q-timeout") == (*HEAD, ("q-timeout", "None"))


def test_a_value_is_set_and_repeated(dbmgr):
    assert dbmgr.key("interval", ("value", "7")) == (*HEAD, ("key", "interval"), ("value", "7"))
    assert dbmgr.key("interval") == (*HEAD, ("interval", "7"))


def test_an_empty_value_is_a_question(dbmgr):
    dbmgr.store.values["vm", "clock", "interval"] = "7"
    assert dbmgr.key("interval", ("value", "")) == (*HEAD, ("interval", "7"))


def test_a_value_of_the_wrong_type_is_refused_in_words(dbmgr):
    body = dbmgr.key("startup-plugin", ("value", "perhaps"))
    assert body[2:] == (
        ("key", "startup-plugin"),
        ("error", "startup-plugin is True or False, not 'perhaps'"),
    )
    assert dbmgr.store.values == {}


def test_a_key_that_is_not_declared_is_refused_with_the_nearest(dbmgr):
    body = dbmgr.key("intervall", ("value", "7"))
    assert body[-1] == ("error", "clock has no key 'intervall'. Did you mean interval?")
    assert dbmgr.store.values == {}


def test_strangers_may_ask_and_not_set(dbmgr):
    assert dbmgr.key("interval", address=REMOTE)[-1] == ("interval", "5")
    body = dbmgr.key("interval", ("value", "7"), address=REMOTE)
    assert body[-1] == ("error", "Not allowed from 192.0.2.7")
    assert dbmgr.trust.refused == 1
    assert dbmgr.store.values == {}


def test_questions_to_another_dbmgr_and_of_elements_are_not_answered(dbmgr):
    body = (*HEAD, ("key", "interval"))
    assert dbmgr.ask(*body, target="domogik-dbmgr.kitchen") == []
    assert dbmgr.ask(*HEAD, ("element", "x"), ("key", "interval")) == []
    assert len(dbmgr.ask(*body, target="domogik-dbmgr.vm")) == 1


@pytest.mark.parametrize(
    "body",
    [
        [],
        HEAD,
        [*HEAD, ("key", "")],
        [*HEAD, ("key", "Name")],
        [*HEAD, ("key", "TTS software")],
        [*HEAD, ("key", "x" * 5000)],
        [*HEAD, ("key", STRANGE)],
        [("technology", STRANGE), ("hostname", STRANGE), ("key", "interval")],
        [("technology", "x" * 5000), ("hostname", "vm"), ("key", "interval"), ("value", STRANGE)],
    ],
)
def test_whatever_is_asked_there_is_one_answer_that_can_be_sent(dbmgr, body):
    assert len(dbmgr.ask(*body)) == 1


def test_a_key_that_xpl_cannot_say_is_answered_with_an_error(dbmgr):
    assert dbmgr.key("Name")[-1] == (
        "error",
        "'Name' is no key: it is 1 to 16 of a-z, 0-9 and '-'",
    )


def test_a_stored_value_that_xpl_cannot_carry_is_no_half_value(dbmgr):
    for value in ("two\nlines", "x" * 5000):
        dbmgr.store.values["vm", "clock", "city"] = value
        assert dbmgr.key("city")[-1] == ("error", "the value of city cannot be sent over xPL")


@pytest.mark.parametrize("error", [BrokenDatabase("domogik.db: disk full"), ValueError("oops")])
def test_a_database_that_fails_is_answered_too(dbmgr, error):
    dbmgr.store.broken = error
    assert dbmgr.key("interval")[-1][0] == "error"


def test_who_closed_the_door_answers_no_more():
    network = FakeNetwork()
    identity = network.port.identity("dbmgr", "vm")
    trust = Trust("127.0.0.1")
    recipients = PasswordRecipients(identity, trust, at_once)
    control = ConfigControl(identity, network.bus, Values(MemoryStore()), trust, recipients)
    control.start()
    control.stop()
    network.hear(CMND, "domogik-clock.vm", "domogik.config", [*HEAD, ("key", "interval")])
    assert network.said == []


# Passwords

HUB = ("127.0.0.1", 3865)


@pytest.fixture
def secret():
    """Two passwords of the plugin clock are set."""
    made = Dbmgr(trust=Trust("127.0.0.1", ["192.0.2.9"], dict))
    made.store.values["vm", "clock", "login"] = "sesame"
    made.store.values["vm", "clock", "login-2"] = "sesame"
    return made


def told(dbmgr):
    """Where a password went to, in clear; everyone gets what goes to the hub."""
    return [
        address
        for message, address in dbmgr.network.socket.sent
        if message.schema == "domogik.config" and "sesame" in dict(message.body).values()
    ]


def everyone(dbmgr):
    return [
        dict(message.body)
        for message, address in dbmgr.network.socket.sent
        if message.schema == "domogik.config" and address == HUB
    ]


@pytest.mark.parametrize("key", ["login", "login-2"])
def test_a_password_goes_straight_to_the_plugin_and_masked_to_everyone(secret, key):
    secret.ports.append(("clock", "vm", LOCAL))
    secret.ask(*HEAD, ("key", key))
    assert told(secret) == [LOCAL]
    assert [body[key] for body in everyone(secret)] == [MASK]
    # the plugin has it before the mask comes by way of the hub
    schemas = [(m.schema, to) for m, to in secret.network.socket.sent]
    assert schemas.index(("domogik.config", LOCAL)) < schemas.index(("domogik.config", HUB))


def test_a_password_goes_to_a_trusted_address_of_another_host(secret):
    secret.ask(*HEAD, ("key", "login"), address=("192.0.2.9", 50123))
    assert told(secret) == [("192.0.2.9", 50123)]


@pytest.mark.parametrize("address", [LOCAL, REMOTE])
def test_nobody_else_is_told_a_password_and_the_answer_is_the_mask(secret, address):
    secret.ask(*HEAD, ("key", "login"), address=address)
    secret.network.turn(PATIENCE)
    assert told(secret) == []
    assert [body["login"] for body in everyone(secret)] == [MASK]


def test_the_plugin_of_another_host_is_no_reason_to_tell_a_program_of_this_one(secret):
    secret.store.values["kitchen", "clock", "login"] = "sesame"
    secret.ports.append(("clock", "vm", LOCAL))
    head = (("technology", "clock"), ("hostname", "kitchen"))
    secret.ask(*head, ("key", "login"))
    secret.network.turn(PATIENCE)
    assert told(secret) == []


def test_behind_a_hub_the_plugin_is_asked_where_it_listens(secret):
    secret.ports.append(("clock", "vm", ("127.0.0.1", 50007)))
    secret.ask(*HEAD, ("key", "login"), address=HUB)
    body = [("interval", "5"), ("port", "50007"), ("remote-ip", "127.0.0.1")]
    secret.network.hear(STAT, "domogik-clock.vm", "hbeat.app", body, address=HUB)
    assert told(secret) == [("127.0.0.1", 50007)]


def test_behind_a_hub_nobody_gets_it_by_saying_that_he_listens_elsewhere(secret):
    secret.ask(*HEAD, ("key", "login"), address=HUB)
    body = [("interval", "5"), ("port", "50007"), ("remote-ip", REMOTE[0])]
    secret.network.hear(STAT, "domogik-clock.vm", "hbeat.app", body, address=HUB)
    assert told(secret) == []


def test_a_password_that_is_set_is_not_repeated_to_everyone(secret):
    body = secret.key("login", ("value", "open"))
    assert body[2:] == (("key", "login"), ("value", MASK))
    assert secret.store.values["vm", "clock", "login"] == "open"
    secret.key("login", ("value", MASK))
    assert secret.store.values["vm", "clock", "login"] == "open"


def test_a_password_that_is_not_set_is_no_secret(secret):
    del secret.store.values["vm", "clock", "login"]
    assert secret.key("login") == (*HEAD, ("login", "None"))


def test_where_no_descriptor_says_it_the_name_does(secret):
    secret.store.values["cellar", "lamp", "password"] = "sesame"
    secret.store.values["cellar", "lamp", "path"] = "/tmp"
    head = (("technology", "lamp"), ("hostname", "cellar"))
    for key, value in (("password", MASK), ("path", "/tmp")):
        secret.ask(*head, ("key", key), address=("192.0.2.9", 50123))
        assert everyone(secret)[-1][key] == value
    assert told(secret) == [("192.0.2.9", 50123)]
