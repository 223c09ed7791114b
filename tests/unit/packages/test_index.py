"""Of all that is offered, the right one."""

from pathlib import Path

import attrs
import pytest

from domogik.packages.descriptor.package import Package
from domogik.packages.repositories.index import Index, Offer, UnknownRelease, fits
from domogik.packages.sources import Source

STABLE, TESTING, NIGHTLY = (
    Source(1000, "http://stable"),
    Source(500, "http://testing"),
    Source(500, "http://nightly"),
)


def package(release: str, id: str = "foo", min_version: str = "0.1.0") -> Package:
    texts = dict.fromkeys(
        ("technology", "description", "documentation", "author", "author_email", "changelog"), ""
    )
    return Package("plugin", id, release, **texts, min_version=min_version, path=Path("x.xml"))


def offer(release: str, source: Source = STABLE, **other: str) -> Offer:
    return Offer(package(release, **other), source, f"{source.url}/{release}")


def index(*offers: Offer, running: str = "0.4.0") -> Index:
    return Index(offers, 1.0, running)


def releases(offers: tuple[Offer, ...]) -> list[str]:
    return [one.package.release for one in offers]


def test_ten_is_newer_than_nine() -> None:
    found = index(offer("0.9"), offer("0.10"))
    assert found.find("plugin", "foo").package.release == "0.10"
    assert releases(found.updates("plugin", "foo", "0.9")) == ["0.10"]
    assert releases(found.updates("plugin", "foo", "0.10")) == []


def test_of_one_release_in_two_repositories_the_higher_priority_wins() -> None:
    for offers in ((offer("1.0", TESTING), offer("1.0")), (offer("1.0"), offer("1.0", TESTING))):
        assert index(*offers).find("plugin", "foo", "1.0").source is STABLE
        assert len(index(*offers).available("plugin")) == 1


def test_of_equal_priorities_the_first_line_wins() -> None:
    found = index(offer("1.0", TESTING), offer("1.0", NIGHTLY))
    assert found.find("plugin", "foo").source is TESTING


def test_a_newer_release_wins_over_a_higher_priority() -> None:
    assert index(offer("1.0"), offer("1.1", TESTING)).find("plugin", "foo").source is TESTING


def test_two_ways_to_write_one_release_are_told_apart_and_priority_decides() -> None:
    found = index(offer("1.0", TESTING), offer("1.0.0"))
    assert found.find("plugin", "foo").package.release == "1.0.0"
    assert found.find("plugin", "foo", "1.0").source is TESTING


def test_a_pre_release_counts_when_asked_for_or_where_there_is_nothing_else() -> None:
    found = index(offer("1.0"), offer("1.1a0"), offer("0.1a0", id="bar"))
    assert found.find("plugin", "foo").package.release == "1.0"
    assert found.find("plugin", "foo", pre_releases=True).package.release == "1.1a0"
    assert found.find("plugin", "foo", "1.1a0").package.release == "1.1a0"
    assert found.find("plugin", "bar").package.release == "0.1a0"


def test_updates_to_pre_releases_are_for_who_has_one_already() -> None:
    found = index(offer("1.0"), offer("1.1a0"), offer("1.1a1"))
    assert releases(found.updates("plugin", "foo", "1.0")) == []
    assert releases(found.updates("plugin", "foo", "1.1a0")) == ["1.1a1"]
    assert releases(found.updates("plugin", "foo", "1.0", pre_releases=True)) == ["1.1a1", "1.1a0"]


def test_all_newer_releases_are_listed_newest_first() -> None:
    found = index(*(offer(release) for release in ("1.2", "1.10", "1.1", "1.9.1")))
    assert releases(found.updates("plugin", "foo", "1.1")) == ["1.10", "1.9.1", "1.2"]


def test_a_release_that_needs_a_newer_domogik_is_no_update_but_can_be_named() -> None:
    found = index(offer("1.0"), offer("2.0", min_version="0.10"))
    assert found.find("plugin", "foo").package.release == "1.0"
    assert releases(found.updates("plugin", "foo", "1.0")) == []
    assert found.find("plugin", "foo", "2.0").package.release == "2.0"
    assert index(*found.offers, running="0.10.1").find("plugin", "foo").package.release == "2.0"


@pytest.mark.parametrize(
    ("running", "needed", "enough"),
    [
        ("0.4.0", "0.4.0", True),
        ("0.4.0.dev0", "0.4.0", True),
        ("0.10", "0.9", True),
        ("0.9", "0.10", False),
        ("0.4.0", "anything", True),
    ],
)
def test_versions_of_domogik_are_compared_as_versions(
    running: str, needed: str, enough: bool
) -> None:
    assert fits(package("1.0", min_version=needed), running) is enough


def test_what_is_no_version_comes_last_and_can_be_named() -> None:
    found = index(offer("0.3.a-b"), offer("0.1"))
    assert found.find("plugin", "foo").package.release == "0.1"
    assert found.find("plugin", "foo", "0.3.a-b").package.release == "0.3.a-b"


def test_an_unknown_package_is_told_in_the_words_clients_know() -> None:
    with pytest.raises(UnknownRelease) as caught:
        index(offer("1.0")).find("plugin", "foo", "9")
    assert str(caught.value) == "No package corresponding to 'plugin-foo' in version '9'"
    with pytest.raises(UnknownRelease, match="'external-foo'"):
        index(offer("1.0")).find("external", "foo")


def test_the_list_is_by_id_and_newest_first() -> None:
    found = index(offer("1.0", id="b"), offer("0.9", id="a"), offer("0.10", id="a"))
    assert [(one.package.id, one.package.release) for one in found.available("plugin")] == [
        ("a", "0.10"),
        ("a", "0.9"),
        ("b", "1.0"),
    ]
    assert found.available("external") == ()
    assert releases(found.releases("plugin", "a")) == ["0.10", "0.9"]


def test_nothing_is_offered_before_the_first_refresh() -> None:
    assert Index().available("plugin") == ()
    assert Index().as_of is None


def test_an_offer_knows_its_reference() -> None:
    one = attrs.evolve(offer("1.0"), size=5)
    assert one.ref.file_stem == "plugin-foo-1.0"
