"""The rule for a manager that is not root."""

from __future__ import annotations

import json
import re

import pytest

from domogik.units.systemd.names import InvalidUnitName
from domogik.units.systemd.polkit import InvalidUser, polkit_rule


def named(rule):
    return json.loads(re.search(r"var units = (\[.*?\]);", rule, re.DOTALL)[1])


def test_it_names_the_declared_units_the_user_and_nothing_else():
    rule = polkit_rule(["web", "old-web.service", "a.socket"], "domogik")
    assert named(rule) == ["a.service", "a.socket", "old-web.service", "web.service"]
    assert 'subject.user == "domogik"' in rule
    assert 'action.id == "org.freedesktop.systemd1.manage-units"' in rule
    assert rule.count("return polkit.Result.YES") == 1


def test_without_units_it_allows_nothing():
    assert named(polkit_rule([], "domogik")) == []


@pytest.mark.parametrize("name", ['x"', "x'", "x\n", "x);", "x\\\n", "*", "é", ""])
def test_what_is_no_unit_does_not_get_into_it(name):
    with pytest.raises(InvalidUnitName):
        polkit_rule(["web", name], "domogik")


@pytest.mark.parametrize("user", ["", 'a"', "a b", "a\n// x", "-x", "0", "x" * 40, "é"])
def test_what_is_no_user_does_not_get_into_it(user):
    with pytest.raises(InvalidUser):
        polkit_rule(["web"], user)


def test_a_name_with_an_escape_is_a_text_of_javascript():
    rule = polkit_rule([r"a\x2db"], "domogik")
    assert r'"a\\x2db.service"' in rule
    assert named(rule) == [r"a\x2db.service"]
