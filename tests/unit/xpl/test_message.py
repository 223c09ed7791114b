"""What a message promises to those who hold one."""

from __future__ import annotations

import copy
import pickle
import subprocess
import sys

import pytest

from domogik.errors import DomogikError
from domogik.xpl.codec.message import CMND, STAT, TRIG, Address, InvalidMessage, Message

PAIRS = (("command", "list"), ("host", "vm"), ("command", "again"), ("empty", ""))


def a_message(**changes: object) -> Message:
    fields: dict[str, object] = {
        "type": TRIG,
        "source": "domogik-manager.vm",
        "target": "*",
        "schema": "domogik.system",
        "body": PAIRS,
        "hop": 2,
    }
    return Message(**{**fields, **changes})  # type: ignore[arg-type]


class TestReading:
    def test_a_name_reads_as_its_first_value(self) -> None:
        assert a_message().get("command") == "list"

    def test_an_absent_name_reads_as_the_default(self) -> None:
        assert a_message().get("absent") is None
        assert a_message().get("absent", "none") == "none"

    def test_an_empty_value_is_not_an_absent_one(self) -> None:
        assert a_message().get("empty", "none") == ""

    def test_all_values_of_a_repeated_name_are_kept_in_order(self) -> None:
        assert a_message().values("command") == ("list", "again")
        assert a_message().values("absent") == ()

    def test_names_are_listed_once_as_they_first_appear(self) -> None:
        assert a_message().names == ("command", "host", "empty")

    def test_the_source_is_split_at_its_dot(self) -> None:
        assert a_message().vendor_device == "domogik-manager"
        assert a_message().instance == "vm"

    def test_a_source_without_a_dot_has_no_instance(self) -> None:
        odd = a_message(source="acme-old-thing")
        assert (odd.vendor_device, odd.instance) == ("acme-old-thing", "")

    def test_it_comes_from_one_network_unless_said_otherwise(self) -> None:
        assert Message(STAT, "a-b.c", "*", schema="x.y").hop == 1
        assert Message(STAT, "a-b.c", "*", schema="x.y").body == ()


class TestFrozen:
    @pytest.mark.parametrize("name", ["type", "source", "body", "hop", "_wire", "another"])
    def test_nothing_of_it_can_be_set_or_deleted(self, name: str) -> None:
        message = a_message()
        with pytest.raises(AttributeError):
            setattr(message, name, "other")
        with pytest.raises(AttributeError):
            delattr(message, name)
        assert message == a_message()

    def test_building_does_not_alter_or_keep_what_it_was_given(self) -> None:
        pairs = [("a", "1"), ("b", "2")]
        message = a_message(body=pairs)
        assert pairs == [("a", "1"), ("b", "2")]
        pairs.append(("c", "3"))
        assert message.body == (("a", "1"), ("b", "2"))

    def test_equal_messages_are_one_key(self) -> None:
        assert {a_message(): 1}[a_message(body=list(PAIRS))] == 1

    @pytest.mark.parametrize(
        "change",
        [
            {"type": STAT},
            {"source": "domogik-rest.vm"},
            {"target": "a-b.c"},
            {"schema": "domogik.package"},
            {"body": PAIRS[::-1]},
            {"hop": 3},
        ],
    )
    def test_every_field_counts_in_a_comparison(self, change: dict[str, object]) -> None:
        assert a_message() != a_message(**change)
        assert a_message() != "a message"

    def test_it_can_be_copied_and_pickled(self) -> None:
        assert copy.deepcopy(a_message()) == a_message()
        assert pickle.loads(pickle.dumps(a_message())) == a_message()

    def test_its_text_for_a_log_says_all(self) -> None:
        assert repr(a_message(body=(("a", "1"),))) == (
            "Message('xpl-trig', 'domogik-manager.vm', '*', 'domogik.system', (('a', '1'),), hop=2)"
        )


class TestType:
    @pytest.mark.parametrize("type_", [CMND, STAT, TRIG])
    def test_there_are_three(self, type_: str) -> None:
        assert a_message(type=type_).type == type_

    @pytest.mark.parametrize("type_", ["", "xpl-cmndX", "XPL-CMND", "xpl-stat\n", "stat"])
    def test_no_other_is_accepted(self, type_: str) -> None:
        with pytest.raises(InvalidMessage, match="the type is"):
            a_message(type=type_)

    def test_the_error_is_one_of_ours_and_short(self) -> None:
        with pytest.raises(DomogikError) as caught:
            a_message(type="x" * 60_000)
        assert len(str(caught.value)) < 200


class TestAddress:
    @pytest.mark.parametrize(
        ("text", "parts"),
        [
            ("domogik-manager.vm", ("domogik", "manager", "vm")),
            ("domogik-wol_ping.living-room", ("domogik", "wol_ping", "living-room")),
            ("xpl-group.kitchen", ("xpl", "group", "kitchen")),
            ("12345678-12345678.1234567890123456", ("12345678", "12345678", "1234567890123456")),
        ],
    )
    def test_its_parts_are_told_apart(self, text: str, parts: tuple[str, str, str]) -> None:
        assert Address.parse(text) == parts
        assert str(Address.parse(text)) == text

    @pytest.mark.parametrize(
        "text",
        [
            "",
            "*",
            "domogik",
            "domogik-manager",
            "domogik.vm",
            "a-b-c.d",
            "a_b-c.d",
            "a-b.c_d",
            "A-b.c",
            "a-b.c.d",
            "a-b.c\n",
            "123456789-b.c",
            "a-123456789.c",
            "a-b.12345678901234567",
            "a-.c",
            "é-b.c",
            "٣-b.c",
        ],
    )
    def test_what_is_none_is_refused_by_name(self, text: str) -> None:
        with pytest.raises(InvalidMessage, match="is not an address"):
            Address.parse(text)


def test_a_terminal_command_can_use_messages_without_waiting_for_twisted() -> None:
    code = (
        "import sys, domogik.xpl.codec.codec\n"
        "sys.exit(any(m in sys.modules for m in ('twisted','attr')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
