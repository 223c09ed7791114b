"""The health centre says what keeps processes together, and warns where nothing does."""

from __future__ import annotations

from domogik.components.health import Result
from domogik.manager.kinds.escape_checks import escape_check


def test_it_is_said_what_keeps_processes_with_their_component() -> None:
    check = escape_check("vm", "a control group each", True)
    assert check.result is Result.PASSED
    assert check.parameters == {"mechanisms": "a control group each"}


def test_where_nothing_keeps_them_it_is_an_issue() -> None:
    check = escape_check("vm", "no control group may be made here", False)
    assert check.result.is_issue
    assert [one.action for one in check.suggestions] == ["delegate"]
