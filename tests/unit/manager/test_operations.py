"""The table of operations: what is declared once holds for every interface."""

from __future__ import annotations

import pytest

from domogik.components.model import State
from domogik.errors import NotAllowed, UnknownComponent
from domogik.manager.operations.all import TABLE
from domogik.manager.operations.answers import COMPONENT
from domogik.manager.operations.parameters import InvalidParameter, Parameter, flag
from domogik.manager.operations.shape import TEXT, WHOLE, Shape, listed, maybe, record
from domogik.manager.operations.table import Context, Right
from domogik.testing.all_hosts import FakeAllHosts, plugin

NAMES = {"id": "demo"}


@pytest.fixture
def all_hosts() -> FakeAllHosts:
    return FakeAllHosts().put(plugin("demo", state=State.STOPPED))


def test_nothing_is_done_for_a_caller_that_nobody_named(all_hosts):
    with pytest.raises(NotAllowed):
        TABLE["component.start"].order(Context(all_hosts), names=NAMES)


def test_the_right_is_asked_before_anything_is_looked_for(all_hosts):
    asked = []

    def refuse(right: Right) -> None:
        asked.append(right)
        raise NotAllowed("no")

    with pytest.raises(NotAllowed):
        TABLE["component.start"].order(Context(all_hosts, allow=refuse), names={"id": "nobody"})
    assert asked == [Right.CHANGE]


def test_what_it_acts_on_is_found_before_it_begins(all_hosts):
    context = Context(all_hosts, allow=lambda right: None)
    with pytest.raises(UnknownComponent):
        TABLE["component.start"].order(context, names={"id": "nobody"})
    order = TABLE["component.start"].order(context, names=NAMES)
    assert (str(order.found.id), order.is_elsewhere) == ("plugin:demo", False)
    assert order.job_subject == "plugin:demo"


def test_what_only_looks_is_a_get_and_the_rest_needs_a_right():
    for operation in TABLE.values():
        reads = operation.right is Right.READ
        assert reads or operation.right in (Right.CHANGE, Right.PRIVATE), operation.name
        assert (operation.method == "GET") or not reads, operation.name


def test_each_operation_has_an_address_and_a_name_of_its_own():
    for values in (
        [one.route for one in TABLE.values()],
        [one.identifier for one in TABLE.values()],
    ):
        assert len(values) == len(set(values))


def test_each_operation_says_in_a_sentence_what_it_does():
    for operation in TABLE.values():
        assert operation.summary[:1].isupper(), operation.name
        assert not operation.summary.endswith("."), operation.name


@pytest.mark.parametrize(
    ("parameter", "given", "value"),
    [
        (flag("loud", "In capitals."), None, False),
        (flag("loud", "In capitals."), "Yes", True),
        (Parameter("word", "A word.", TEXT.schema), "", None),
        (Parameter("word", "A word.", TEXT.schema), "hello", "hello"),
        (Parameter("many", "A number.", {"type": "integer", "default": 3}), None, 3),
        (Parameter("many", "A number.", {"type": "integer", "maximum": 9}), "9", 9),
    ],
)
def test_a_parameter_is_read_as_it_is_described(parameter, given, value):
    assert parameter.read(given) == value


@pytest.mark.parametrize(
    ("schema", "given", "why"),
    [
        ({"type": "integer", "maximum": 9}, "10", "word is from 0 to 9"),
        ({"type": "integer"}, "-1", "word is not a number"),
        ({"type": "integer", "maximum": 9}, "9" * 5000, "word is from 0 to 9"),
        ({"type": "string", "enum": ["a", "b"]}, "c", "word is one of a, b"),
        ({"type": "string", "pattern": "^[a-z]+$"}, "a\n", "word does not match"),
    ],
)
def test_a_parameter_that_is_not_as_described_is_refused(schema, given, why):
    with pytest.raises(InvalidParameter, match=why):
        Parameter("word", "A word.", schema).read(given)


def test_a_record_takes_its_fields_from_attributes_paths_the_whole_and_dicts():
    length = Shape({"type": "integer"}, lambda component: len(component.name), WHOLE)
    shape = record(kind=TEXT.of("id.kind.value"), pid=maybe(TEXT), size=length)
    assert shape.json(plugin("demo")) == {"kind": "plugin", "pid": None, "size": 4}
    given = record(host=TEXT, components=listed(COMPONENT)).json(
        {"host": "vm", "components": (plugin("demo"),)}
    )
    assert (given["host"], given["components"][0]["id"]) == ("vm", "plugin:demo")
    assert shape.schema["required"] == ["kind", "pid", "size"]
    assert shape.schema["properties"]["pid"] == {"type": ["string", "null"]}
