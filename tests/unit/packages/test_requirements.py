"""What a package needs: both ways to write it, and the words for what nobody can look for."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.packages.descriptor.requirements import (
    OTHER,
    PLUGIN,
    PYTHON,
    BadRequirement,
    parse_requirement,
)


@pytest.mark.parametrize(
    ("text", "name", "fitting", "not_fitting"),
    [
        ("foo (>=1.0, <1.8)", "foo", "1.7", "1.8"),
        ("pyserial (>=2.5)", "pyserial", "3.0", "2.4"),
        ("six (>=2)", "six", "2.0", "1.17.0"),
        ("Twisted (>=99)", "Twisted", "100", "26.10"),
        ("foo (1.8)", "foo", "1.8", "1.9"),
        ("foo(>1.0)", "foo", "1.10", "1.0"),
        ("pySerial > 2.4", "pySerial", "2.10", "2.4"),
        ("foo>=1.0,<1.8", "foo", "1.7", "1.8"),
        ("foo ~= 1.4", "foo", "1.9", "2.0"),
        ("foo[extra]>=2", "foo", "2.0", "1.9"),
        ("foo (>=1.0)", "foo", "1.1rc1", "0.9"),
    ],
)
def test_versions_are_numbers_in_both_forms(
    text: str, name: str, fitting: str, not_fitting: str
) -> None:
    requirement = parse_requirement(text)
    assert requirement.name == name
    assert requirement.fits(fitting)
    assert not requirement.fits(not_fitting)


def test_without_a_version_any_release_will_do_even_one_that_is_no_version() -> None:
    requirement = parse_requirement("cjson")
    assert requirement.fits("1.0")
    assert requirement.fits("not a version")
    assert not parse_requirement("cjson (>=1)").fits("not a version")


@pytest.mark.parametrize(
    "text",
    ["", "foo (", "foo (>=1", "foo bar", "-r (>=1)", "--index-url=http://x/", "; x"],
)
def test_what_is_no_requirement_gets_the_seeds_words(text: str) -> None:
    with pytest.raises(BadRequirement) as caught:
        parse_requirement(text)
    assert str(caught.value) == f"Wrong version format for '{text}' : should be 'foo (...)'"


@pytest.mark.parametrize("text", ["foo (>=abc)", "pytz (>=2011k)", "foo (>=1.0, <x)", "foo (>>1)"])
def test_what_is_no_version_gets_the_seeds_words(text: str) -> None:
    with pytest.raises(BadRequirement) as caught:
        parse_requirement(text)
    assert str(caught.value) == f"Irrational version for dependency {text}"


def test_nobody_is_sent_to_an_address_by_a_dependency() -> None:
    with pytest.raises(BadRequirement, match="Wrong version format"):
        parse_requirement("foo @ http://evil.example/foo.whl")


def test_a_marker_says_for_which_python_it_is_meant() -> None:
    assert not parse_requirement('enum34; python_version < "3.4"').applies
    assert parse_requirement('foo; python_version >= "3"').applies
    assert parse_requirement("foo").applies


@pytest.mark.parametrize(
    "text", ["foo (>=1.0, <1.8)", "foo[a,b] (==2)", 'foo>1; os_name == "posix"']
)
def test_pip_is_told_the_same_as_was_written(text: str) -> None:
    written = parse_requirement(text)
    again = parse_requirement(written.for_pip)
    assert (again.name, again.specifier, again.extras, again.marker) == (
        written.name,
        written.specifier,
        written.extras,
        written.marker,
    )


def test_plugins_and_commands_may_be_called_what_no_python_project_is() -> None:
    assert parse_requirement("xpl_time", PLUGIN).name == "xpl_time"
    assert parse_requirement("_time (>=1)", PLUGIN).fits("1.0")
    assert parse_requirement("libstdc++", OTHER).name == "libstdc++"
    assert parse_requirement("owfs (>=2.8.4)", OTHER).fits("2.10")


@given(st.text(max_size=300), st.sampled_from([PYTHON, PLUGIN, OTHER]))
def test_any_text_is_a_requirement_or_is_refused_and_never_an_option(text: str, kind: str) -> None:
    try:
        requirement = parse_requirement(text, kind)
    except BadRequirement:
        return
    assert not requirement.name.startswith("-")
    assert not requirement.for_pip.startswith("-")
    assert "://" not in requirement.for_pip
    assert requirement.fits("1.0") in (True, False)
    assert requirement.applies in (True, False)
