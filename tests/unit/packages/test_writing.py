"""Packages as text: what is written is read back the same, in either form and from one to other."""

from pathlib import Path

import attrs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from domogik.components.model import ConfigurationKey
from domogik.packages.descriptor.files import draft, read
from domogik.packages.descriptor.package import (
    Dependency,
    DeviceType,
    FeatureModel,
    Package,
    Repository,
    UdevRule,
)
from domogik.packages.descriptor.validation import validate
from domogik.packages.descriptor.writing import CannotWrite, to_json, to_xml, write

ROOT = Path(__file__).parents[3]
DESCRIPTORS = sorted((Path(__file__).parent / "descriptors").iterdir())
EXAMPLES = sorted(ROOT.glob("examples/*/src/share/domogik/plugins/*.xml"))

#: any character that XML has; a descriptor's texts are stripped when they are read
_CHARACTERS = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff")
_PRINTED = st.text(_CHARACTERS | st.sampled_from("\n\t\r<&>\"']]>"), max_size=20)
TEXTS = _PRINTED.map(str.strip)
WORDS = TEXTS.filter(bool)


def keys() -> st.SearchStrategy[tuple[ConfigurationKey, ...]]:
    one = st.builds(
        ConfigurationKey,
        id=st.just(0),
        key=WORDS,
        type=WORDS,
        description=TEXTS,
        default=st.none() | WORDS,
        options=st.lists(TEXTS, max_size=3).map(tuple),
        interface=st.booleans(),
        optional=st.booleans(),
    )
    return st.lists(one, max_size=4, unique_by=lambda key: key.key).map(
        lambda some: tuple(attrs.evolve(key, id=number) for number, key in enumerate(some))
    )


def lists(kind: type, **fields: st.SearchStrategy[object]) -> st.SearchStrategy[tuple]:
    return st.lists(st.builds(kind, **fields), max_size=3).map(tuple)


PACKAGES = st.builds(
    Package,
    type=st.just("external"),
    id=st.from_regex(r"[a-z0-9_]{1,8}", fullmatch=True),
    release=st.from_regex(r"[0-9]\.[0-9](a[0-9])?", fullmatch=True),
    technology=TEXTS,
    description=TEXTS,
    documentation=TEXTS,
    author=TEXTS,
    author_email=TEXTS,
    changelog=TEXTS,
    min_version=st.just("0.1.0") | WORDS,
    path=st.just(Path("info.xml")),
    configuration=keys(),
    vendor=st.just("acme"),
    device=st.just("lamp"),
    technology_name=TEXTS,
    technology_description=TEXTS,
    generated=TEXTS,
    files=st.lists(TEXTS, max_size=3).map(tuple),
    external_files=st.lists(TEXTS, max_size=3).map(tuple),
    dependencies=lists(Dependency, type=TEXTS, id=WORDS),
    udev_rules=lists(UdevRule, model=TEXTS, description=TEXTS, filename=TEXTS, rule=TEXTS),
    device_types=lists(DeviceType, id=TEXTS, name=TEXTS, description=TEXTS),
    feature_models=lists(
        FeatureModel,
        id=TEXTS,
        name=TEXTS,
        feature_type=TEXTS,
        device_type_id=TEXTS,
        value_type=TEXTS,
        return_confirmation=st.booleans(),
        parameters=WORDS,
        stat_key=TEXTS,
    ),
    repository=st.none() | st.builds(Repository, WORDS, TEXTS, st.none() | st.integers(-9, 999)),
)


def _same(one: Package, other: Package) -> None:
    assert attrs.evolve(one, path=other.path, warnings=()) == attrs.evolve(other, warnings=())


def _through(package: Package, name: str) -> Package:
    path = Path(name)
    return validate(draft(path, write(package, path)))


@pytest.mark.parametrize("path", [*DESCRIPTORS, *EXAMPLES], ids=lambda path: path.name)
@pytest.mark.parametrize("form", ["again.xml", "again.json"])
def test_a_real_descriptor_is_written_without_loss(path: Path, form: str) -> None:
    package = read(path)
    _same(_through(package, form), package)


@given(PACKAGES)
def test_any_package_comes_back_from_xml(package: Package) -> None:
    _same(_through(package, "info.xml"), package)


@given(PACKAGES)
def test_any_package_comes_back_from_json(package: Package) -> None:
    _same(_through(package, "info.json"), package)


@given(PACKAGES)
def test_going_from_one_form_to_the_other_and_back_changes_no_byte(package: Package) -> None:
    text = to_xml(package)
    assert to_xml(_through(_through(package, "info.json"), "info.xml")) == text


@pytest.mark.parametrize("text", ["a\0b", "bell\a", "\ufffe", "half \ud800"])
def test_what_xml_has_no_character_for_is_refused_and_not_dropped(text: str) -> None:
    package = attrs.evolve(read(EXAMPLES[0]), description=text)
    with pytest.raises(CannotWrite, match="control"):
        to_xml(package)


def test_clients_that_take_the_first_element_of_a_name_find_the_packages_own() -> None:
    text = to_xml(read(EXAMPLES[0])).decode()
    for name in ("id", "description"):
        assert text.index(f"<{name}>") < text.index("<device_technology>")
        assert text.index(f"<{name}>") < text.index("<configuration-keys>")


def test_the_json_form_has_the_members_of_domogik_0_3() -> None:
    text = to_json(read(EXAMPLES[0])).decode()
    for member in ("json_version", "identity", "udev-rules", "optionnal", "device_feature_models"):
        assert f'"{member}"' in text
