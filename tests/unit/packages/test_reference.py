"""A package's type, id and release come from outside and become names of files."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.packages.descriptor.reference import InvalidReference, PackageRef, parse_fullname


def test_a_reference_names_the_package_and_its_archive() -> None:
    ref = PackageRef("plugin", "diskfree", "1.0")
    assert ref.fullname == "plugin-diskfree"
    assert ref.file_stem == "plugin-diskfree-1.0"
    assert str(ref) == "plugin-diskfree 1.0"


def test_versions_are_compared_as_numbers() -> None:
    releases = ["0.10", "0.9", "0.9a1", "1!0.1", "0.10.dev1"]
    refs = sorted((PackageRef("plugin", "x", r) for r in releases), key=lambda ref: ref.version)
    assert [ref.release for ref in refs] == ["0.9a1", "0.9", "0.10.dev1", "0.10", "1!0.1"]


def test_what_is_no_version_is_older_than_every_version() -> None:
    assert PackageRef("plugin", "x", "today").version < PackageRef("plugin", "x", "0a0").version


@pytest.mark.parametrize(
    ("type", "id", "release"),
    [
        ("plugins", "x", "1"),
        ("", "x", "1"),
        ("../plugin", "x", "1"),
        ("plugin", "", "1"),
        ("plugin", "..", "1"),
        ("plugin", "a/b", "1"),
        ("plugin", "Upper", "1"),
        ("plugin", "ninechars", "1"),
        ("plugin", "x\n", "1"),
        ("plugin", "x", ""),
        ("plugin", "x", "."),
        ("plugin", "x", ".."),
        ("plugin", "x", ".hidden"),
        ("plugin", "x", "../1"),
        ("plugin", "x", "1/2"),
        ("plugin", "x", "1\0"),
        ("plugin", "x", "1\n"),
        ("plugin", "x", "1" * 65),
        ("plugin", "x", "é"),
    ],
)
def test_no_part_of_it_can_be_a_path(type: str, id: str, release: str) -> None:
    with pytest.raises(InvalidReference):
        PackageRef(type, id, release)


@given(st.text(), st.text())
def test_whatever_is_accepted_is_one_name_in_its_directory(id: str, release: str) -> None:
    try:
        ref = PackageRef("plugin", id, release)
    except InvalidReference:
        return
    assert not set("/\\\0") & set(ref.file_stem)
    assert not ref.release.startswith(".")


def test_a_full_name_is_taken_apart() -> None:
    assert parse_fullname("external-my_box") == ("external", "my_box")
    for wrong in ("diskfree", "plugin-", "-x", "plugin-a-b", "service-x"):
        with pytest.raises(InvalidReference):
            parse_fullname(wrong)
