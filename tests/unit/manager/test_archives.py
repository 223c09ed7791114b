"""Archives: fetched once, checked, kept while there is room."""

import hashlib
import os
from pathlib import Path

import pytest
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from domogik.errors import FetchFailed
from domogik.manager.packages import archives
from domogik.manager.packages.archives import Archives
from domogik.packages.descriptor.reference import PackageRef
from domogik.packages.http.fetch import Fetcher
from domogik.packages.store.installation import Place
from domogik.threads import at_once

REF = PackageRef("plugin", "lamp", "1.0")


def got(work):
    found = []
    Deferred.fromCoroutine(work).addBoth(found.append)
    (result,) = found
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


@pytest.fixture
def kept(tmp_path: Path) -> Archives:
    return Archives(tmp_path / "archives", Fetcher(Clock(), at_once), at_once)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    path = tmp_path / "lamp.tgz"
    path.write_bytes(b"an archive")
    return Place(path.as_uri(), hashlib.sha256(b"an archive").hexdigest())


def test_an_archive_is_fetched_once(kept, place, tmp_path):
    first = got(kept.get(REF, place))
    assert first.read_bytes() == b"an archive"
    (tmp_path / "lamp.tgz").unlink()
    assert got(kept.get(REF, place)) == first


def test_one_that_was_changed_on_the_disk_is_fetched_anew(kept, place):
    got(kept.get(REF, place)).write_bytes(b"damaged")
    assert got(kept.get(REF, place)).read_bytes() == b"an archive"


def test_one_that_is_not_what_was_promised_is_not_kept(kept, place):
    with pytest.raises(FetchFailed):
        got(kept.get(REF, Place(place.url, "0" * 64)))
    assert list(kept._directory.glob("*.tgz")) == []


def test_the_same_release_with_other_bytes_is_another_archive(kept, place, tmp_path):
    first = got(kept.get(REF, place))
    other = tmp_path / "other.tgz"
    other.write_bytes(b"rebuilt")
    second = got(kept.get(REF, Place(other.as_uri(), hashlib.sha256(b"rebuilt").hexdigest())))
    assert (first.read_bytes(), second.read_bytes()) == (b"an archive", b"rebuilt")


def test_those_that_nobody_wanted_for_long_make_room(kept, place, tmp_path, monkeypatch):
    monkeypatch.setattr(archives, "ROOM_BYTES", 15)
    first = got(kept.get(REF, place))
    os.utime(first, (1, 1))
    other = tmp_path / "other.tgz"
    other.write_bytes(b"0123456789")
    second = got(kept.get(PackageRef("plugin", "bell", "1.0"), Place(other.as_uri())))
    assert (first.exists(), second.exists()) == (False, True)
