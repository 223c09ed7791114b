"""Addresses of databases, as `[database] url` has them."""

from pathlib import Path

import pytest

from domogik.storage.database import UnsupportedDatabase
from domogik.storage.values import path_of, sqlite_url


@pytest.mark.parametrize("url", ["sqlite:///srv/domogik.db", "sqlite:////srv/domogik.db"])
def test_a_path_is_absolute_however_many_slashes_begin_it(url: str) -> None:
    assert path_of(url) == Path("/srv/domogik.db")


def test_the_address_of_a_file_means_that_file() -> None:
    assert path_of(sqlite_url(Path("/srv/100% mine/a.db"))) == Path("/srv/100% mine/a.db")


@pytest.mark.parametrize(
    "url",
    ["", "domogik.db", "sqlite:", "sqlite:a.db", "sqlite://a.db", "sqlite:///", "sqlite:///\0"],
)
def test_what_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(UnsupportedDatabase, match=r"use sqlite:///<path>|address of a database"):
        path_of(url)


@pytest.mark.parametrize("kind", ["postgresql", "daemon", "mysql"])
def test_other_kinds_of_database_are_refused_and_their_password_is_not_shown(kind: str) -> None:
    with pytest.raises(UnsupportedDatabase) as caught:
        path_of(f"{kind}://ann:secret@db/domogik")
    assert f"'{kind}' is not supported" in str(caught.value)
    assert "secret" not in str(caught.value)
