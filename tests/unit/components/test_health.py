"""Checks: what they say whatever they carry."""

from __future__ import annotations

import enum
import json

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.components.health import (
    DiagnosticCheck,
    InvalidCheck,
    Result,
    Suggestion,
    issues,
)


class Odd:
    def __str__(self):
        raise RuntimeError("no")

    __repr__ = __str__


class Word(str):
    def __str__(self):
        raise RuntimeError("no")


class Colour(enum.IntEnum):
    RED = 3


def test_a_check_that_was_only_declared_is_not_done():
    check = DiagnosticCheck("a", "b")
    assert check.result is Result.NOT_DONE
    assert (check.parameters, check.component_id, check.suggestions) == ({}, None, ())


def test_the_words_of_results_are_those_that_programs_compare():
    words = ["not_done", "skipped", "passed", "warning", "failed", "error"]
    assert [result.value for result in Result] == words
    assert [result.value for result in Result if result.is_issue] == words[3:]
    assert DiagnosticCheck("a", "b", "failed").result is Result.FAILED


def test_a_check_needs_an_id():
    with pytest.raises(InvalidCheck):
        DiagnosticCheck("", "b")


def test_the_description_is_filled_in_and_a_missing_parameter_shows():
    check = DiagnosticCheck("a", "{kind} port {port}, {{x}} {missing}", parameters={"kind": "tcp"})
    assert check.filled == "tcp port ?port?, {x} ?missing?"


@pytest.mark.parametrize(
    "template", ["{", "}", "{}", "{0}", "{a.b}", "{a[0]}", "{a!r:>99999999999}", "{a b}", "%s"]
)
def test_a_template_that_is_none_stays_as_it_is(template):
    assert DiagnosticCheck("a", template, parameters={"a": 1}).filled in (template, "?0?")


def test_odd_parameters_become_values_that_can_be_said():
    given = {
        "odd": Odd(),
        "word": Word("text"),
        "colour": Colour.RED,
        "nan": float("nan"),
        "bytes": b"\xff",
        "list": [1, {"a": Odd()}],
        "deep": [[[[[[1]]]]]],
        7: "number",
        "huge": 10**5000,
    }
    check = DiagnosticCheck("a", "{odd} {word} {colour} {nan} {7} {huge}", parameters=given)
    assert check.filled == "<Odd> text 3 nan number <int>"
    assert check.parameters["list"] == (1, {"a": "<Odd>"})
    json.dumps(check.to_json(), allow_nan=False)


def test_parameters_are_as_they_were_when_the_check_was_made():
    names = ["one"]
    check = DiagnosticCheck("a", "b", parameters={"names": names})
    names.append("two")
    assert check.parameters["names"] == ("one",)
    with pytest.raises(TypeError):
        check.parameters["names"] = ()


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.sets(st.integers()),
    max_leaves=10,
)


@given(st.text(), st.dictionaries(st.text() | st.integers(), _VALUES, max_size=4))
def test_whatever_a_check_carries_it_can_be_shown(template, parameters):
    check = DiagnosticCheck("a", template, parameters=parameters)
    assert isinstance(check.filled, str)
    assert json.loads(json.dumps(check.to_json(), allow_nan=False))["template"] == template


def test_doors_show_it_in_one_form():
    suggestion = Suggestion("unit-start", "Start the unit")
    check = DiagnosticCheck(
        "daemon-running-x",
        "Service {service_name} is running",
        Result.FAILED,
        {"service_name": "x"},
        "daemon-x",
        [suggestion],
    )
    assert check.to_json() == {
        "__class__": "DiagnosticCheck",
        "check_id": "daemon-running-x",
        "description": "Service x is running",
        "template": "Service {service_name} is running",
        "result": "failed",
        "parameters": {"service_name": "x"},
        "component_id": "daemon-x",
        "suggestions": [{"action": "unit-start", "sentence": "Start the unit", "repairable": True}],
        "finding": "Service x is running",
    }
    found = attrs.evolve(check, finding="x.service does not run: failed")
    assert found.to_json()["finding"] == found.finding_text == "x.service does not run: failed"
    assert DiagnosticCheck.from_json(found.to_json()) == found
    assert DiagnosticCheck.from_json(check.to_json()) == check
    assert check.translated_description == check.filled


def test_why_and_what_to_do_make_no_other_check_of_it():
    plain = DiagnosticCheck("a", "{x} runs", "failed", {"x": 1}, "daemon-x")
    told = DiagnosticCheck(
        "a", "{x} runs", "failed", {"x": 1, "reason": "no"}, "daemon-x",
        [Suggestion("start", "Start it")], "x does not run",
    )  # fmt: skip
    assert plain == told
    assert plain != attrs.evolve(plain, parameters={"x": 2})
    assert plain.result == "failed"


def test_checks_of_two_components_are_told_apart_though_their_ids_are_equal():
    one = DiagnosticCheck("daemon-listening-tcp-80", "b", component_id="daemon-a")
    other = DiagnosticCheck("daemon-listening-tcp-80", "b", component_id="daemon-b")
    assert one.check_id == other.check_id
    assert one.key != other.key


def test_those_to_be_looked_at_keep_their_order():
    checks = [DiagnosticCheck(result.value, "b", result) for result in Result]
    assert [check.check_id for check in issues(checks)] == ["warning", "failed", "error"]


def test_checks_are_values():
    one, same = (DiagnosticCheck("a", "b", parameters={"x": [1]}) for _ in range(2))
    assert one == same
    assert hash(one) == hash(same)
