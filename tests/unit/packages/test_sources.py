"""sources.list: which repositories there are, and which of them wins."""

from pathlib import Path

import pytest

from domogik.packages.sources import (
    NoRootFile,
    Source,
    normalised_url,
    read_root_file,
    read_sources,
)


def written(tmp_path: Path, text: str | bytes) -> Path:
    path = tmp_path / "sources.list"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def urls(path: Path) -> list[tuple[int, str]]:
    found = read_sources(path, Path("/home/uploads"))
    return [(source.priority, source.url) for source in found.entries if not source.is_uploads]


def problems(path: Path) -> tuple[str, ...]:
    return read_sources(path, Path("/home/uploads")).problems


def test_priorities_are_numbers(tmp_path: Path) -> None:
    path = written(tmp_path, "500 http://a\n1000 http://b\n9 http://c\n")
    assert urls(path) == [(1000, "http://b"), (500, "http://a"), (9, "http://c")]


def test_equal_priorities_keep_the_order_of_the_file(tmp_path: Path) -> None:
    path = written(tmp_path, "5 http://b\n5 http://a\n5 http://c\n")
    assert [url for _, url in urls(path)] == ["http://b", "http://a", "http://c"]


def test_blank_lines_and_comments_say_nothing(tmp_path: Path) -> None:
    path = written(tmp_path, "\n   \n# 500 http://no\n  # no\n\t500\t http://a/stable/ \r\n\n")
    assert urls(path) == [(500, "http://a/stable")]
    assert problems(path) == ()


def test_a_line_that_cannot_be_understood_hides_no_other_and_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "500 http://a\nhigh http://b\n400\n300 ftp://c\n200 http://d\n")
    assert [url for _, url in urls(path)] == ["http://a", "http://d"]
    told = problems(path)
    assert len(told) == 3
    assert [sentence.split(": ")[0] for sentence in told] == [f"{path}:{n}" for n in (2, 3, 4)]


def test_options_follow_the_address_and_others_are_told(tmp_path: Path) -> None:
    path = written(tmp_path, "500 http://a signed=root.json colour=red stable\n")
    (source, _) = read_sources(path, tmp_path / "uploads").entries
    assert dict(source.options) == {"signed": str(tmp_path / "root.json")}
    (tmp_path / "root.json").write_text("{}")
    assert len(problems(path)) == 2


def test_the_same_address_counts_once(tmp_path: Path) -> None:
    path = written(tmp_path, "500 http://a/x\n600 http://A/x/\n")
    assert urls(path) == [(500, "http://a/x")]
    assert "line" not in problems(path)[0]
    assert f"{path}:2" in problems(path)[0]


def test_a_directory_of_lists_is_read_by_name(tmp_path: Path) -> None:
    directory = tmp_path / "sources.list"
    directory.mkdir()
    (directory / "b.list").write_text("5 http://b\n")
    (directory / "a.list").write_text("5 http://a\n")
    (directory / "c.list.bak").write_text("5 http://c\n")
    (directory / ".d.list").write_text("5 http://d\n")
    assert [url for _, url in urls(directory)] == ["http://a", "http://b"]


def test_a_file_whose_name_does_not_end_in_list_is_not_read_and_named(tmp_path: Path) -> None:
    directory = tmp_path / "sources.list"
    directory.mkdir()
    (directory / "stable").write_text("5 http://a\n")
    (directory / ".stable.swp").write_text("")
    assert urls(directory) == []
    (problem,) = problems(directory)
    assert problem.startswith(f"{directory}/stable: is not read")


def test_a_line_says_that_its_repository_may_be_unsigned(tmp_path: Path) -> None:
    path = written(tmp_path, "2 http://a unsigned=accepted\n1 http://b unsigned=yes\n")
    a, b, _ = read_sources(path, tmp_path / "uploads").entries
    assert (a.is_accepted, b.is_accepted) == (True, False)
    (problem,) = problems(path)
    assert problem.startswith(f"{path}:2: 'unsigned=yes'")


def test_uploads_are_there_whatever_the_file_says(tmp_path: Path) -> None:
    uploads = tmp_path / "uploads"
    for path in (tmp_path / "nowhere", written(tmp_path, ""), written(tmp_path, b"\xff\xfe5")):
        (only,) = read_sources(path, uploads).entries
        assert only.is_uploads
        assert only.priority == 0
        assert only.url == uploads.as_uri()


def test_a_file_that_is_no_text_is_a_problem_and_no_crash(tmp_path: Path) -> None:
    assert "UTF-8" in problems(written(tmp_path, b"500 http://\xff\n"))[0]
    assert problems(written(tmp_path, "5" * 2_000_000))


@pytest.mark.parametrize(
    "address",
    [
        "http://",
        "http:///x",
        "https://user:secret@host/x",
        "http://host/x?y=1",
        "http://host/#x",
        "http://host:99999/",
        "http://host:0/",
        "http://[::1/",
        "file://elsewhere/x",
        "file:///a%00b",
        "file:///a%0ab",
        "relative/path",
        "javascript:alert(1)",
        "http://h\u00f6st/",
        "http://" + "x" * 5000,
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        normalised_url(address)


def test_a_password_in_an_address_is_never_repeated(tmp_path: Path) -> None:
    path = written(tmp_path, "500 https://user:secret@host/x\n")
    assert "secret" not in problems(path)[0]


def test_a_directory_is_a_repository_too() -> None:
    assert normalised_url("/srv/my packages".replace(" ", "_") + "/") == "file:///srv/my_packages"
    assert normalised_url("file:///srv/my%20packages/") == "file:///srv/my%20packages"


def test_a_source_is_a_value() -> None:
    assert Source(5, "http://a", {"signed": "x"}) == Source(5, "http://a", {"signed": "x"})
    assert hash(Source(5, "http://a")) == hash(Source(5, "http://a"))


def test_a_root_file_is_looked_for_beside_the_file_that_names_it(tmp_path: Path) -> None:
    (tmp_path / "root.json").write_text("{}")
    (tmp_path / "sources.list").mkdir()
    listed = tmp_path / "sources.list" / "other.list"
    listed.write_text(f"1 http://a signed=../root.json\n2 http://b signed={tmp_path}/root.json\n")
    found = read_sources(tmp_path / "sources.list", tmp_path / "uploads")
    assert found.problems == ()
    assert [read_root_file(one) for one in found.entries if one.root_file] == [b"{}", b"{}"]


def test_a_root_file_that_cannot_be_read_is_told_with_file_and_line(tmp_path: Path) -> None:
    path = written(tmp_path, "\n500 http://a signed=root.json\n")
    found = read_sources(path, tmp_path / "uploads")
    (problem,) = found.problems
    assert problem.startswith(f"{path}:2: signed={tmp_path}/root.json cannot be read: No such")
    # it stays in the list: what it offered before is not forgotten
    assert found.entries[0].url == "http://a"
    with pytest.raises(NoRootFile, match="No such file"):
        read_root_file(found.entries[0])


def test_a_line_that_says_signed_and_names_nothing_is_left_out(tmp_path: Path) -> None:
    for word in ("signed", "signed="):
        path = written(tmp_path, f"500 http://a {word}\n")
        assert urls(path) == []
        assert "signed= names no root file" in problems(path)[0]
