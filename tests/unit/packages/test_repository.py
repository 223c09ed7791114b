"""Static repositories: what is offered, what a second look costs, and what may go wrong."""

import fcntl
import hashlib
import json
import os
import shutil
import tarfile
from itertools import pairwise
from pathlib import Path

import attrs
import pytest

from domogik.packages.descriptor.files import draft, read
from domogik.packages.descriptor.validation import validate
from domogik.packages.descriptor.writing import to_json
from domogik.packages.publish.build import create
from domogik.packages.publish.repository import Built, RepositoryBusy, build_repository

EXAMPLES = Path(__file__).parents[3] / "examples"
DESCRIPTOR = "src/share/domogik/plugins/{}.xml"


@pytest.fixture
def archives(tmp_path: Path) -> Path:
    directory = tmp_path / "archives"
    directory.mkdir()
    for name in ("clock", "diskfree", "ping"):
        create(EXAMPLES / name, directory)
    return directory


def release(archives: Path, name: str, version: str, description: str = "") -> Path:
    """One more release of an example."""
    work = archives.parent / f"{name}-{version}"
    shutil.copytree(EXAMPLES / name, work)
    path = work / DESCRIPTOR.format(name)
    text = path.read_text().replace("<version>1.0.0<", f"<version>{version}<")
    path.write_text(text.replace("<description>", f"<description>{description}", 1))
    try:
        return create(work, archives)
    finally:
        shutil.rmtree(work)


def build(archives: Path, target: Path, url: str = "") -> Built:
    return build_repository(archives, target, generated="2024-05-01", url=url, name="Test")


def data(target: Path) -> dict[str, bytes]:
    """The members of the archive of the JSON era."""
    with tarfile.open(target / "data") as tar:
        return {member.name: tar.extractfile(member).read() for member in tar}  # type: ignore[union-attr]


def items(target: Path) -> list[dict[str, object]]:
    found: list[dict[str, object]] = json.loads(data(target)["repo.info"])["packages"]
    return found


def everything(target: Path) -> dict[str, tuple[int, int, int]]:
    """All files: inode, size and time of the last change."""
    return {
        str(path.relative_to(target)): (status.st_ino, status.st_size, status.st_mtime_ns)
        for path in target.rglob("*")
        if path.is_file() and (status := path.stat())
    }


def test_every_package_is_in_the_list_of_the_old_clients(archives: Path, tmp_path: Path) -> None:
    built = build(archives, tmp_path / "repo")
    assert (tmp_path / "repo" / "index.html").read_text() == (
        "Domogik Repository\nplugin/clock/1.0.0\nplugin/diskfree/1.0.0\nplugin/ping/1.0.0\n"
    )
    assert [str(ref) for ref in built.packages] == [
        "plugin-clock 1.0.0",
        "plugin-diskfree 1.0.0",
        "plugin-ping 1.0.0",
    ]
    assert (built.problems, built.changed, built.count) == ((), True, 1)


def test_digest_and_size_are_those_of_what_is_served(archives: Path, tmp_path: Path) -> None:
    build(archives, tmp_path / "repo")
    for item in items(tmp_path / "repo"):
        served = (tmp_path / "repo" / str(item["archive_url"])).read_bytes()
        assert item["sha256"] == hashlib.sha256(served).hexdigest()
        assert item["size"] == len(served)


def test_whole_addresses_are_given_where_the_place_is_known(archives: Path, tmp_path: Path) -> None:
    build(archives, tmp_path / "repo", url="http://repo.example/stable/")
    item = items(tmp_path / "repo")[0]
    assert item["archive_url"] == "http://repo.example/stable/download/plugin/clock/1.0.0"
    assert item["source"] == "http://repo.example/stable"
    status = json.loads((tmp_path / "repo" / "repository.json").read_text())
    assert status["data_url"] == "http://repo.example/stable/data"
    assert build(archives, tmp_path / "repo", url="http://other.example/").changed


def test_descriptors_of_both_forms_say_what_the_archive_says(
    archives: Path, tmp_path: Path
) -> None:
    build(archives, tmp_path / "repo")
    texts = [
        (Path("info.xml"), tmp_path / "repo/xml/plugin/ping/1.0.0"),
        (Path("info.json"), tmp_path / "repo/info/plugin/ping/1.0.0"),
    ]
    first, second = (validate(draft(name, path.read_bytes())) for name, path in texts)
    assert first.warnings == second.warnings == ()
    assert first.configuration == second.configuration
    assert first.description == second.description


def test_nothing_is_touched_when_nothing_has_changed(archives: Path, tmp_path: Path) -> None:
    build(archives, tmp_path / "repo")
    before = everything(tmp_path / "repo")
    built = build(archives, tmp_path / "repo")
    assert everything(tmp_path / "repo") == before
    assert (built.changed, built.count, len(built.packages)) == (False, 1, 3)


def test_changes_within_a_second_differ_for_who_counts_in_seconds(
    archives: Path, tmp_path: Path
) -> None:
    stamps = []
    for version in ("1.1", "1.2", "1.3", "1.4"):
        release(archives, "ping", version)
        build(archives, tmp_path / "repo")
        stamps.append((tmp_path / "repo" / "repository.json").stat().st_mtime)
    for one, next_one in pairwise(stamps):
        assert next_one - one >= 1


def test_a_new_release_touches_nothing_of_the_others(archives: Path, tmp_path: Path) -> None:
    build(archives, tmp_path / "repo")
    before = everything(tmp_path / "repo")
    release(archives, "ping", "1.10")
    built = build(archives, tmp_path / "repo")
    after = everything(tmp_path / "repo")
    changed = {name for name in before if after.get(name) != before[name]}
    assert changed == {
        ".repository-memory",
        "data",
        "index.html",
        "json/data",
        "json/index.html",
        "repository.json",
    }
    assert (built.changed, built.count) == (True, 2)
    assert (tmp_path / "repo/download/plugin/ping/1.10").is_file()


def test_releases_are_in_the_order_of_their_numbers(archives: Path, tmp_path: Path) -> None:
    for version in ("1.10", "1.9", "1.10a1"):
        release(archives, "ping", version)
    built = build(archives, tmp_path / "repo")
    assert [ref.release for ref in built.packages if ref.id == "ping"] == [
        "1.0.0",
        "1.9",
        "1.10a1",
        "1.10",
    ]


def test_a_package_that_was_taken_away_is_gone_with_all_its_files(
    archives: Path, tmp_path: Path
) -> None:
    build(archives, tmp_path / "repo")
    (tmp_path / "repo" / "download" / "notes.txt").write_text("somebody's own")
    (archives / "plugin-ping-1.0.0.tgz").unlink()
    build(archives, tmp_path / "repo")
    assert not [name for name in everything(tmp_path / "repo") if "ping" in name]
    assert (tmp_path / "repo" / "download" / "notes.txt").is_file()
    assert "images/icon_plugin_ping_1.0.0.png" not in data(tmp_path / "repo")


def test_an_archive_that_was_replaced_is_offered_as_it_is_now(
    archives: Path, tmp_path: Path
) -> None:
    build(archives, tmp_path / "repo")
    work = archives.parent / "ping"
    shutil.copytree(EXAMPLES / "ping", work)
    (work / "src/domogik_packages/xpl/lib/ping.py").write_text("# another\n")
    archive = create(work, archives)
    assert build(archives, tmp_path / "repo").changed
    served = tmp_path / "repo/download/plugin/ping/1.0.0"
    assert served.read_bytes() == archive.read_bytes()
    assert items(tmp_path / "repo")[2]["sha256"] == hashlib.sha256(served.read_bytes()).hexdigest()


def test_one_broken_archive_hides_no_other(archives: Path, tmp_path: Path) -> None:
    (archives / "broken.tgz").write_bytes(b"not gzip")
    (archives / "half.tgz").write_bytes((archives / "plugin-ping-1.0.0.tgz").read_bytes()[:900])
    built = build(archives, tmp_path / "repo")
    assert len(built.packages) == 3
    assert [problem.split(":")[0] for problem in built.problems] == ["broken.tgz", "half.tgz"]


def test_what_is_called_like_an_archive_and_is_none_is_told(archives: Path, tmp_path: Path) -> None:
    os.mkfifo(archives / "a.tgz")
    (archives / "b.tgz").mkdir()
    (archives / "c.tgz").symlink_to("nowhere")
    built = build(archives, tmp_path / "repo")
    assert built.problems == tuple(f"{name}.tgz: is not a file" for name in "abc")
    assert len(built.packages) == 3


def test_a_release_that_is_there_twice_is_offered_once(archives: Path, tmp_path: Path) -> None:
    shutil.copy(archives / "plugin-ping-1.0.0.tgz", archives / "z.tgz")
    built = build(archives, tmp_path / "repo")
    assert built.problems == ("z.tgz: plugin-ping 1.0.0 is in plugin-ping-1.0.0.tgz already",)
    assert len(built.packages) == 3
    (archives / "plugin-ping-1.0.0.tgz").unlink()
    built = build(archives, tmp_path / "repo")
    assert (built.problems, len(built.packages)) == ((), 3)
    assert (tmp_path / "repo/download/plugin/ping/1.0.0").is_file()


def test_the_directory_of_the_archives_can_be_the_repository(archives: Path) -> None:
    build(archives, archives)
    built = build(archives, archives)
    assert (built.changed, len(built.packages)) == (False, 3)
    original = archives / "plugin-ping-1.0.0.tgz"
    assert (archives / "download/plugin/ping/1.0.0").stat().st_ino == original.stat().st_ino


def test_an_icon_that_is_no_picture_is_not_served_as_one(archives: Path, tmp_path: Path) -> None:
    work = tmp_path / "ping"
    shutil.copytree(EXAMPLES / "ping", work)
    (work / "src/share/domogik/design/plugin/ping/icon.png").write_text("<html>404</html>")
    create(work, archives)
    build(archives, tmp_path / "repo")
    assert not (tmp_path / "repo/icon/plugin/ping/1.0.0").exists()
    assert (tmp_path / "repo/icon/plugin/clock/1.0.0").read_bytes().startswith(b"\x89PNG")


def test_a_descriptor_that_older_clients_could_not_read_is_left_out_and_told(
    archives: Path, tmp_path: Path
) -> None:
    work = tmp_path / "ping"
    shutil.copytree(EXAMPLES / "ping", work)
    xml = work / DESCRIPTOR.format("ping")
    package = attrs.evolve(read(xml), changelog="rings a bell: \a", release="2.0")
    xml.with_suffix(".json").write_bytes(to_json(package))
    xml.unlink()
    listed = f'"{DESCRIPTOR.format("ping")}"'
    text = xml.with_suffix(".json").read_text().replace(listed, listed.replace("xml", "json"))
    xml.with_suffix(".json").write_text(text)
    create(work, archives)
    built = build(archives, tmp_path / "repo")
    assert len(built.packages) == 3
    assert "cannot be written as XML" in built.problems[0]


def test_a_directory_of_archives_that_is_not_there_empties_no_repository(
    archives: Path, tmp_path: Path
) -> None:
    build(archives, tmp_path / "repo")
    with pytest.raises(FileNotFoundError):
        build(tmp_path / "mistyped", tmp_path / "repo")
    assert (tmp_path / "repo/download/plugin/ping/1.0.0").is_file()


def test_an_empty_repository_is_one(tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    assert build(tmp_path / "none", tmp_path / "repo").packages == ()
    assert (tmp_path / "repo" / "index.html").read_text() == "Domogik Repository\n"
    assert items(tmp_path / "repo") == []


@pytest.mark.parametrize("memory", ["", "{}", "[]", '{"version": 1}', "nonsense", '{"version": 9}'])
def test_a_memory_that_is_lost_costs_time_and_the_count_goes_on(
    archives: Path, tmp_path: Path, memory: str
) -> None:
    build(archives, tmp_path / "repo")
    (tmp_path / "repo" / ".repository-memory").write_text(memory)
    built = build(archives, tmp_path / "repo")
    assert (built.changed, built.count, len(built.packages)) == (True, 2, 3)


def test_a_memory_that_leads_elsewhere_removes_nothing_there(
    archives: Path, tmp_path: Path
) -> None:
    build(archives, tmp_path / "repo")
    memory = tmp_path / "repo" / ".repository-memory"
    memory.write_text(memory.read_text().replace('"id": "ping"', '"id": "../../../x"'))
    precious = tmp_path / "x"
    precious.mkdir()
    (precious / "1.0.0").write_text("precious")
    build(archives, tmp_path / "repo")
    assert (precious / "1.0.0").read_text() == "precious"


def test_what_somebody_removed_from_the_repository_is_put_back(
    archives: Path, tmp_path: Path
) -> None:
    build(archives, tmp_path / "repo")
    for name in ("download/plugin/ping/1.0.0", "xml/plugin/clock/1.0.0", "data"):
        (tmp_path / "repo" / name).unlink()
    build(archives, tmp_path / "repo")
    for name in ("download/plugin/ping/1.0.0", "xml/plugin/clock/1.0.0", "data"):
        assert (tmp_path / "repo" / name).is_file()


def test_two_builders_of_one_repository_do_not_mix(archives: Path, tmp_path: Path) -> None:
    build(archives, tmp_path / "repo")
    descriptor = os.open(tmp_path / "repo" / ".repository-lock", os.O_RDWR)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        with pytest.raises(RepositoryBusy, match="another program"):
            build(archives, tmp_path / "repo")
    finally:
        os.close(descriptor)
    assert build(archives, tmp_path / "repo").packages


def test_the_same_archives_make_the_same_repository(archives: Path, tmp_path: Path) -> None:
    build(archives, tmp_path / "one")
    build(archives, tmp_path / "two")
    for name in ("data", "index.html", "repository.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


def test_what_a_killed_builder_left_is_cleared_away(archives: Path, tmp_path: Path) -> None:
    rest = tmp_path / "repo" / ".building-x"
    rest.mkdir(parents=True)
    (rest / "archive").write_bytes(b"half")
    build(archives, tmp_path / "repo")
    assert not rest.exists()


def test_anybody_may_read_what_is_published_and_nothing_unfinished_stays(
    archives: Path, tmp_path: Path
) -> None:
    build(archives, tmp_path / "repo")
    for name in ("data", "index.html", "repository.json", "xml/plugin/ping/1.0.0"):
        assert (tmp_path / "repo" / name).stat().st_mode & 0o777 == 0o644
    assert sorted(path.name for path in (tmp_path / "repo").glob(".*")) == [
        ".repository-lock",
        ".repository-memory",
    ]
